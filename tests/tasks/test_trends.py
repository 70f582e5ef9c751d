"""Worse and better: which nights are compared, the limit to the digit, and what is said of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tasks.findings import Finding
from tasks.health import HealthSettings
from tasks.trends import trend_findings
from tasks.wording import say
from tests.tasks.made_facts import made_facts, made_row

SETTINGS = HealthSettings()
NO_TRUTH = {"psnr": math.nan, "ssim": math.nan, "reference_count": 0, "reference_key": ""}


def findings(night: dict[str, Any], *before: dict[str, Any]) -> list[Finding]:
    """Of a night after those before, of which it takes no others."""
    return trend_findings(night, made_facts(*before, nights=0), SETTINGS, hindered=False)


def told(night: dict[str, Any], *before: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f.kind, str(f.values["metric"])) for f in findings(night, *before)]


def nights(figures: list[float], metric: str, first: int = 1, **changes: Any) -> list[dict[str, Any]]:
    return [made_row(before_last=first + k, **{metric: v}, **changes) for k, v in enumerate(figures)]


def limit(values: list[float], nights_since: int, confidence: float) -> float:
    """How far the mean of so many more nights may lie from theirs."""
    n = len(values)
    t = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    return t * float(np.std(values, ddof=1)) * math.sqrt(1 / nights_since + 1 / n)


VARIED = [22.0, 23.0, 24.0, 23.5, 22.5]


@pytest.mark.parametrize("nights_since", [1, 3])
@pytest.mark.parametrize(("psnr", "kind"), [(15.0, "worse"), (31.0, "better")])
def test_the_limit_of_a_new_model_is_that_of_students_interval(nights_since: int, psnr: float, kind: str) -> None:
    new = [made_row(before_last=k, psnr=psnr, model_sha="bbbb") for k in range(nights_since)]
    (finding,) = findings(new[0], *new[1:], *nights(VARIED, "psnr", nights_since))
    by = limit(VARIED, nights_since, SETTINGS.model_confidence)
    assert finding.kind == kind
    assert finding.values["threshold"] == pytest.approx(23.0 + (by if psnr > 23 else -by))
    assert (finding.values["before"], finding.values["after"]) == ("small (aaaa)", "small (bbbb)")


def test_the_limit_of_frames_is_that_of_students_interval_of_their_differences() -> None:
    apart = [-2.0, -3.0, -2.5, -1.5]
    old = [made_row(before_last=k, psnr=23.0, **{f"psnr_frame_{i}": 23.0 for i in range(4)}) for k in range(1, 5)]
    new = {f"psnr_frame_{i}": 23.0 + d for i, d in enumerate(apart)}
    (finding,) = findings(made_row(psnr=20.75, model_sha="bbbb", **new), *old)
    half = float(stats.t.ppf(0.975, 3)) * float(np.std(apart, ddof=1)) / 2
    assert finding.values["threshold"] == pytest.approx(23.0 - half)


def test_a_model_is_held_against_the_one_before_it_and_no_other() -> None:
    first, second = nights([24.0] * 20, "psnr", 4), nights([23.0] * 3, "psnr", 1, model_sha="bbbb")
    assert told(made_row(psnr=23.0, model_sha="cccc"), *first, *second) == []
    assert told(made_row(psnr=22.0, model_sha="cccc"), *first, *second) == [("worse", "psnr")]


def test_where_daylight_proves_a_model_the_looks_of_its_pictures_are_not_held_against_it() -> None:
    old = [made_row(before_last=k) for k in range(1, 10)]
    assert told(made_row(sharpness_after=0.5, model_sha="bbbb"), *old) == []


@pytest.mark.parametrize(("metric", "usual", "worse"), [("sharpness_after", 1.0, 0.3), ("noise_after", 0.01, 0.02)])
def test_the_limit_of_an_unproven_model_lies_between_the_usual_and_what_is_worse(
    metric: str, usual: float, worse: float
) -> None:
    old = nights([usual] * 5, metric, **NO_TRUTH)
    (finding,) = findings(made_row(model_sha="bbbb", **{metric: worse}, **NO_TRUTH), *old)
    by = SETTINGS.trend_change * usual
    assert finding.values["threshold"] == pytest.approx(usual + (by if worse > usual else -by))
    assert "from small (aaaa) to small (bbbb)" in say(finding, "en")


def test_noise_is_said_in_per_cent_as_the_page_shows_it() -> None:
    old = nights([0.01] * 5, "noise_after", **NO_TRUTH)
    (finding,) = findings(made_row(model_sha="bbbb", noise_after=0.02, **NO_TRUTH), *old)
    assert "noise after restoration (%) is 2 instead of 1 (limit 1.3)" in say(finding, "en")


@pytest.mark.parametrize(("sharpness", "kind", "severity"), [(0.2, "worse", "attention"), (1.8, "better", "note")])
def test_a_night_is_told_beyond_its_limit_either_way(sharpness: float, kind: str, severity: str) -> None:
    (finding,) = findings(made_row(sharpness_after=sharpness), *nights([1.0] * 5, "sharpness_after"))
    assert (finding.kind, finding.severity) == (kind, severity)
    assert finding.values["threshold"] == pytest.approx(1.3 if sharpness > 1 else 0.7)


def test_a_night_of_a_camera_that_varies_much_is_not_told_for_a_third() -> None:
    figures = [0.6, 1.4, 0.7, 1.3, 1.0, 0.8, 1.2]
    assert limit(figures, 1, SETTINGS.trend_confidence) > 0.4
    assert told(made_row(sharpness_after=0.6), *nights(figures, "sharpness_after")) == []
    assert told(made_row(model_sha="b", sharpness_after=0.6, **NO_TRUTH),
                *nights(figures, "sharpness_after", **NO_TRUTH)) == []  # fmt: skip


def test_a_night_is_held_against_nights_under_its_own_model() -> None:
    assert told(made_row(model_sha="bbbb", sharpness_after=0.5), *nights([1.2] * 9, "sharpness_after")) == []
