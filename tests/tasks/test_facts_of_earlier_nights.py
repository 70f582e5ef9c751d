"""What a night's facts take from the nights before it: their still scene and their figures, where those fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import camera_facts, facts, storage, store
from tasks.camera_facts import FactsJob
from tasks.health import HealthSettings
from tasks.settings import NightSettings
from tasks.types import Camera
from tests.tasks.made_facts import LAST, made_row, night_name

PIT = Camera("pit", "Pit", "outdoor", "UTC", "pit/%Y.mp4", Fraction(5))


@pytest.fixture
def job(tmp_path: Path) -> FactsJob:
    return FactsJob(PIT, (LAST,), storage.normalise(str(tmp_path)), NightSettings(), HealthSettings(history_nights=28))


@pytest.mark.parametrize(
    ("before", "since"), [([29, 40], None), ([28, 40], 28), ([5, 3, 9], 3), ([0, -1], None), ([0, 4], 4)]
)
def test_a_scene_is_compared_with_the_last_one_before_it_that_counts_as_history(
    job: FactsJob, before: list[int], since: int | None
) -> None:
    for days in before:
        night = (date.fromisoformat(LAST) - timedelta(days=days)).isoformat()
        storage.write(facts.scene_url(job.store_url, "pit", night), b"a scene")
        facts.write_facts(job.store_url, made_row(before_last=days))
    assert camera_facts._earlier_scene(job, LAST) == ("" if since is None else night_name(since))


@pytest.mark.parametrize(
    "other",
    [{"model_sha": "bbbb"}, {"reference_key": "other daylight"}, {"reference_count": 0}],
    ids=lambda o: next(iter(o)),
)
def test_figures_of_the_synthesised_night_are_not_taken_from_a_night_that_differs(
    job: FactsJob, other: dict[str, Any]
) -> None:
    facts.write_facts(job.store_url, made_row(before_last=2, psnr=21.0))
    facts.write_facts(job.store_url, made_row(before_last=1, psnr=99.0, **other))
    known = camera_facts._known_figures(job, LAST, "aaaa", "daylight")
    assert known is not None
    assert known["psnr"] == 21.0


def test_figures_of_the_synthesised_night_are_not_taken_from_beyond_the_history(job: FactsJob) -> None:
    facts.write_facts(job.store_url, made_row(before_last=29))
    assert camera_facts._known_figures(job, LAST, "aaaa", "daylight") is None


def test_a_camera_is_called_as_the_site_calls_it_today(job: FactsJob, monkeypatch: pytest.MonkeyPatch) -> None:
    none = pd.DataFrame({"slot": [], "time_ns": [], "before_jpeg": []})
    monkeypatch.setattr(store, "read_quality", lambda *_: none)
    monkeypatch.setattr(camera_facts, "kept_pictures", lambda *_: none)
    manifest = {
        "camera": {"id": "pit", "name": "Old pit", "scene": "indoor", "timezone": "UTC", "rate": "5"},
        "night": LAST, "run": "r", "model": {"name": "small", "sha256": "aaaa"}, "frames": 0, "slots": 60,
        "coverage": 0.0, "problems": [], "segments": [], "start_ns": 0, "gaps": [],
        "frames_url": "file:///store/r/frames.zarr",
    }  # fmt: skip
    row = camera_facts.night_facts(replace(job, camera=replace(PIT, name="North pit")), manifest)
    assert (row["name"], row["scene"]) == ("North pit", "outdoor")
    assert facts.checked(pd.DataFrame([row]))["missing"].tolist() == [1.0]
