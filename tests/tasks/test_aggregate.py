"""Aggregation and verdicts: what must be called so is, a healthy camera is not, and intervals are Student's."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.aggregate import HEADLINES, SUMMARY_COLUMNS, aggregate, camera_summary, changes, group_table
from tasks.health import HealthSettings
from tasks.types import Camera
from tasks.wording import say
from tests.tasks.made_facts import LAST, made_facts, made_row, night_name

CAMERAS = ("gate", "hall", "pit", "trail")


def summary_of(facts: pd.DataFrame, camera: str = "pit") -> pd.Series[Any]:
    summary = camera_summary(facts, LAST).set_index("camera")
    return summary.loc[camera]


def kinds(row: pd.Series[Any]) -> list[str]:
    return [f.kind for f in row["findings"]]


def test_healthy_cameras_are_good_and_nothing_is_said_of_them() -> None:
    summary = camera_summary(made_facts(cameras=CAMERAS), LAST)
    assert summary["verdict"].tolist() == ["good"] * 4
    assert sum(map(len, summary["findings"])) == 0


@settings(max_examples=4)  # each validates and judges a month
@given(st.integers(1, 10_000))
def test_weather_alone_is_no_finding(seed: int) -> None:
    facts = made_facts(*(made_row("pit", k, seed) for k in range(30)))
    assert summary_of(facts)["verdict"] == "good"


def test_a_covered_camera_is_bad() -> None:
    covered = made_row(covered_share=0.9, flat=1.0, dark=0.3, edge_width=float("nan"), sharpness_after=0.01)
    row = summary_of(made_facts(covered, cameras=CAMERAS))
    assert (row["verdict"], kinds(row)) == ("bad", ["covered"])


def test_a_frozen_camera_is_bad() -> None:
    row = summary_of(made_facts(made_row(frozen_s=900.0, frozen_at="23:10:00"), cameras=CAMERAS))
    assert (row["verdict"], kinds(row)) == ("bad", ["frozen"])


def test_its_neighbours_stay_good() -> None:
    summary = camera_summary(made_facts(made_row(covered_share=0.9), cameras=CAMERAS), LAST)
    assert summary["camera"].tolist()[0] == "pit"
    assert summary["verdict"].tolist() == ["bad", "good", "good", "good"]


@pytest.mark.parametrize("nights_since", [1, 2, 5])
def test_a_worse_model_is_called_so_on_every_night_since_the_change(nights_since: int) -> None:
    rows = [made_row("pit", k, psnr=22.0, model_sha="bbbb") for k in range(nights_since)]
    row = summary_of(made_facts(*rows))
    assert (row["verdict"], kinds(row)) == ("bad", ["worse"])
    assert row["findings"][0].values["metric"] == "psnr"
    assert row["findings"][0].values["value"] == pytest.approx(22.0)


def test_a_better_model_is_good_and_told() -> None:
    row = summary_of(made_facts(made_row(psnr=24.0, model_sha="bbbb")))
    assert (row["verdict"], kinds(row)) == ("good", ["better"])


def test_another_model_that_is_as_good_is_neither() -> None:
    row = summary_of(made_facts(made_row(psnr=22.95, model_sha="bbbb")))
    assert (row["verdict"], kinds(row)) == ("good", [])


def test_a_drop_within_what_the_nights_vary_is_no_worse_model() -> None:
    vary = np.random.default_rng(0).normal(0, 0.8, 30)
    rows = [made_row("pit", k, psnr=23 + vary[k]) for k in range(1, 30)]
    row = summary_of(made_facts(*rows, made_row(psnr=22.0, model_sha="bbbb")))
    assert kinds(row) == []


def retrained(changes: list[float]) -> pd.Series[Any]:
    """A camera whose new model restores its daylight frames better or worse by so many dB each."""
    old = [made_row(before_last=k, psnr=23.0, **{f"psnr_frame_{i}": 23.0 for i in range(8)}) for k in range(1, 30)]
    frames = {f"psnr_frame_{i}": 23.0 + change for i, change in enumerate(changes)}
    new = made_row(psnr=23 + float(np.mean(changes)), ssim=0.75, model_sha="bbbb", **frames)
    return summary_of(made_facts(*old, new))


def test_a_model_that_is_as_good_but_renders_some_frames_otherwise_is_not_blamed() -> None:
    assert kinds(retrained([1.1, -1.9, 0.8, -1.2, 0.3, -1.5, 0.9, -0.9])) == []


def test_a_model_that_is_worse_by_little_on_every_frame_is_called_so() -> None:
    assert kinds(retrained([-0.4, -0.6, -0.3, -0.5, -0.4, -0.7, -0.2, -0.5])) == ["worse"]


def test_models_are_never_compared_over_different_daylight() -> None:
    row = summary_of(made_facts(made_row(psnr=20.0, model_sha="bbbb", reference_key="another day")))
    assert kinds(row) == []


def without_truth(nights_since: int, **figures: float) -> pd.Series[Any]:
    """A camera without daylight, under another model since some nights."""
    nothing = {"psnr": float("nan"), "ssim": float("nan"), "reference_count": 0, "reference_key": ""}
    rows = [made_row(before_last=k, **nothing) for k in range(30)]
    new = [made_row(before_last=k, model_sha="bbbb", **nothing, **figures) for k in range(nights_since)]
    return summary_of(made_facts(*rows, *new))


@pytest.mark.parametrize("nights_since", [1, 3, 10])
@pytest.mark.parametrize("figures", [{"sharpness_after": 0.5}, {"contrast_after": 0.08}, {"noise_after": 0.03}])
def test_a_worse_model_asks_for_attention_where_no_daylight_proves_it(
    nights_since: int, figures: dict[str, float]
) -> None:
    row = without_truth(nights_since, **figures)
    assert (row["verdict"], kinds(row)) == ("attention", ["worse"])
    assert "look at the restored pictures" in say(row["findings"][0], "en")


def test_another_model_whose_pictures_look_alike_is_not_called_worse() -> None:
    assert without_truth(3, sharpness_after=1.1)["verdict"] == "good"


COVERED = {"covered_share": 1.0, "flat": 1.0, "sharpness_after": 0.02, "contrast_after": 0.01}


def test_a_new_model_is_not_blamed_for_nights_on_which_the_lens_was_covered() -> None:
    nothing = {"psnr": float("nan"), "ssim": float("nan"), "reference_count": 0, "reference_key": ""}
    old = [made_row(before_last=k, **nothing) for k in range(7, 30)]
    new = [made_row(before_last=k, model_sha="bbbb", **nothing, **(COVERED if 0 < k < 6 else {})) for k in range(7)]
    row = summary_of(made_facts(*old, *new))
    assert (row["verdict"], kinds(row)) == ("good", [])


def test_nights_on_which_the_lens_was_covered_are_no_usual_ones() -> None:
    covered = [made_row(before_last=k, **COVERED) for k in range(5, 15)]
    row = summary_of(made_facts(*covered, made_row(sharpness_after=0.3)))
    assert (row["verdict"], kinds(row)) == ("attention", ["worse"])
    assert row["findings"][0].values["nights"] == 18


def test_a_picture_much_less_sharp_than_usual_asks_for_attention() -> None:
    row = summary_of(made_facts(made_row(sharpness_after=0.3)))
    assert (row["verdict"], kinds(row)) == ("attention", ["worse"])


def test_a_camera_without_a_night_is_missing_and_stands_first() -> None:
    cameras = [Camera(i, i.title(), "indoor", "UTC", "*", Fraction(5)) for i in ("lost", "pit")]
    summary = camera_summary(made_facts(), LAST, cameras)
    assert summary["camera"].tolist() == ["lost", "pit"]
    assert summary["verdict"].tolist() == ["missing", "good"]
    assert summary.loc[0, "frames"] == 0


def test_a_camera_that_is_still_being_restored_is_under_way_and_not_missing() -> None:
    cameras = [Camera(i, i.title(), "indoor", "UTC", "*", Fraction(5)) for i in ("late", "pit")]
    summary = camera_summary(made_facts(), LAST, cameras, under_way={"late", "pit"})
    assert dict(zip(summary["camera"], summary["verdict"], strict=True)) == {"late": "under way", "pit": "good"}


def test_an_empty_store_makes_every_camera_missing() -> None:
    facts = made_facts().iloc[:0]
    summary = camera_summary(facts, LAST, [Camera("pit", "Pit", "outdoor", "UTC", "*", Fraction(5))])
    assert summary["verdict"].tolist() == ["missing"]


def test_the_summary_has_the_columns_that_the_report_reads() -> None:
    summary = camera_summary(made_facts(cameras=CAMERAS), LAST)
    figures = [f"{m}{s}" for m in HEADLINES for s in ("", "_low", "_high", "_change7", "_change28")]
    assert list(summary.columns) == [*SUMMARY_COLUMNS, *figures, "findings", "verdict"]


def test_changes_are_against_the_mean_of_the_nights_before() -> None:
    facts = made_facts(*(made_row("pit", k, brightness_after=0.3 if k < 8 else 0.2) for k in range(29)))
    facts.loc[facts["night"] == LAST, "brightness_after"] = 0.4
    row = summary_of(facts)
    assert row["brightness_after_change7"] == pytest.approx(0.1)
    assert row["brightness_after_change28"] == pytest.approx(0.4 - (7 * 0.3 + 21 * 0.2) / 28)


def test_fewer_than_three_nights_before_give_no_change_and_no_interval() -> None:
    row = summary_of(made_facts(nights=2))
    assert np.isnan([row["psnr_change7"], row["psnr_change28"], row["psnr_low"], row["psnr_high"]]).all()
    assert np.isfinite(row["psnr"])


@settings(max_examples=6)
@given(st.lists(st.floats(10, 40), min_size=3, max_size=20))
def test_the_interval_is_students_over_nights(values: list[float]) -> None:
    facts = made_facts(*(made_row("pit", k, psnr=v) for k, v in enumerate(values)), nights=len(values))
    table = aggregate(facts, ["camera"]).set_index("metric").loc["psnr"]
    wanted = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values) + 1e-300)
    assert table["count"] == len(values)
    assert (table["low"], table["high"]) == pytest.approx(wanted, abs=1e-6)


def test_a_night_counts_once_however_many_cameras_a_scene_has() -> None:
    table = aggregate(made_facts(nights=5, cameras=CAMERAS), ["scene"]).set_index("metric")
    assert table.loc["psnr", "count"] == 5


def test_nights_without_a_metric_do_not_count_for_it() -> None:
    facts = made_facts(*(made_row("pit", k, psnr=float("nan")) for k in range(4)), nights=10)
    counts = aggregate(facts, ["camera"]).set_index("metric")["count"]
    assert (counts["psnr"], counts["ssim"]) == (6, 10)


def test_the_coverage_of_a_group_is_the_mean_of_its_nights() -> None:
    table = aggregate(made_facts(made_row(coverage=0.4), nights=3), ["camera"])
    assert set(table["coverage"].round(9)) == {0.8}


def test_three_nights_before_are_enough_for_a_change_and_a_range() -> None:
    row = summary_of(made_facts(nights=4))
    assert np.isfinite([row[f"psnr_{name}"] for name in ("change7", "change28", "low", "high")]).all()
    assert np.isfinite(aggregate(made_facts(nights=3), ["camera"])["low"]).all()


def test_the_gravest_is_told_first_of_a_camera_and_of_the_cameras() -> None:
    bad, dark = (
        made_row("gate", frozen_s=900.0, frozen_at="23:10:00", blown=0.5, colour=0.0),
        made_row("hall", dark=1.0),
    )
    cameras = [Camera(i, i.title(), "indoor", "UTC", "*", Fraction(5)) for i in ("gate", "hall", "pit", "trail")]
    summary = camera_summary(made_facts(bad, dark, cameras=("gate", "hall", "pit")), LAST, cameras)
    assert summary["camera"].tolist() == ["trail", "gate", "hall", "pit"]
    assert [f.severity for f in summary.loc[1, "findings"]] == ["bad", "attention", "attention"]


def test_what_does_not_hinder_seeing_does_not_explain_a_worse_picture() -> None:
    rows = [made_row(before_last=k, colour=0.0) for k in range(1, 30)]
    assert kinds(summary_of(made_facts(*rows, made_row(colour=0.0, sharpness_after=0.3)))) == ["worse", "infrared"]


def test_a_camera_is_not_its_own_neighbour() -> None:
    covered = made_row(covered_share=1.0, flat=1.0, dark=0.99)
    assert kinds(summary_of(made_facts(covered, nights=1, cameras=("gate", "pit")))) == ["covered"]


def test_nights_before_those_that_the_settings_ask_for_are_not_compared_with() -> None:
    summary = camera_summary(
        made_facts(made_row(contrast_after=0.05)), LAST, settings=HealthSettings(history_nights=10)
    )
    assert [f.values["nights"] for f in summary.loc[0, "findings"]] == [10]


def test_groups_are_cameras_scenes_models_and_nights() -> None:
    facts = made_facts(*(made_row("hall", k, scene="indoor") for k in range(30)), cameras=("pit", "hall"))
    table = group_table(facts, LAST)
    groups = table.groupby("level")["group"].unique().map(set)
    assert groups["camera"] == {"pit", "hall"}
    assert groups["scene"] == {"indoor", "outdoor"}
    assert groups["model_sha"] == {"aaaa"}
    assert len(groups["night"]) == 28


def test_a_late_night_changes_the_changes() -> None:
    late = [made_row("pit", k, psnr=20.0) for k in range(1, 8)]
    before, after = (changes(made_facts(*rows), LAST, ["camera"]).set_index("metric") for rows in ((), late))
    assert after.loc["psnr", "change7"] > before.loc["psnr", "change7"] + 2


def test_nights_to_come_are_left_out() -> None:
    facts = pd.concat([made_facts(), made_facts(made_row("pit", -1, psnr=1.0)).tail(1)])
    assert night_name(-1) in set(facts["night"])
    pd.testing.assert_frame_equal(camera_summary(facts, LAST), camera_summary(made_facts(), LAST))


def test_the_range_of_a_camera_is_that_of_its_nights_before_and_an_odd_night_lies_outside() -> None:
    before = [made_row("pit", k, brightness_after=0.30 + 0.002 * (k % 3)) for k in range(1, 30)]
    facts = made_facts(*before, made_row("pit", 0, brightness_after=0.10))
    row, known = summary_of(facts), facts.loc[facts["night"] < LAST, "brightness_after"]
    assert known.between(row["brightness_after_low"], row["brightness_after_high"]).mean() >= 0.95
    assert row["brightness_after"] < row["brightness_after_low"]


@pytest.mark.parametrize("nights", [3, 20])
def test_a_further_night_falls_into_the_range_as_often_as_is_said(nights: int) -> None:
    values = np.random.default_rng(nights).normal(20, 1, nights)
    facts = made_facts(*(made_row("pit", k + 1, psnr=v) for k, v in enumerate(values)), nights=nights + 1)
    row = summary_of(facts)
    wanted = stats.t.interval(0.95, nights - 1, values.mean(), values.std(ddof=1) * np.sqrt(1 + 1 / nights))
    assert (row["psnr_low"], row["psnr_high"]) == pytest.approx(wanted)


def test_a_sentence_says_how_many_nights_it_rests_on_and_shares_in_per_cent() -> None:
    rows = [made_row("pit", k, contrast_after=0.20) for k in range(1, 6)]
    row = summary_of(made_facts(*rows, made_row("pit", 0, contrast_after=0.05), nights=6))
    assert "contrast after restoration (%) fell to 5," in say(row["findings"][0], "en")
    assert "20 on average of 5 nights before" in say(row["findings"][0], "en")


def test_a_night_is_compared_with_as_many_as_the_settings_say() -> None:
    facts = made_facts(made_row(contrast_after=0.05), nights=50)
    summary = camera_summary(facts, LAST, settings=HealthSettings(history_nights=59))
    [worse] = [f for f in summary.loc[0, "findings"] if f.kind == "worse"]
    assert dict(worse.values)["nights"] == 49
