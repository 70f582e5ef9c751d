"""A night judged: by the facts of the site's cameras, of as many nights as need be, in the tables' own language."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from tasks import storage
from tasks.facts import write_facts
from tasks.health import HealthSettings
from tasks.judge import HISTORY_NIGHTS, Judgement, judge_night
from tasks.types import Camera
from tasks.wording import say
from tests.tasks.made_facts import LAST, made_row, night_name

PIT = Camera("pit", "Pit", "outdoor", "UTC", "pit/%Y.mp4", Fraction(5))


@pytest.fixture
def store(tmp_path: Path) -> str:
    return storage.normalise(str(tmp_path))


def ailing(store: str, camera: str = "pit") -> None:
    """Facts of a night in which two things are wrong with a camera."""
    stood = {"frozen_s": 900.0, "frozen_at": "23:10:00"}
    write_facts(store, made_row(camera, **stood, missing=0.3, gaps_s=600.0, longest_gap="01:00 to 01:10"))


def tables(folder: Path) -> list[pd.DataFrame]:
    """The summary in both of its formats."""
    path = folder / "reports" / LAST
    return [pd.read_parquet(path / "summary.parquet"), pd.read_csv(path / "summary.csv")]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_tables_give_the_reasons_in_the_language_of_the_report(store: str, tmp_path: Path, language: str) -> None:
    ailing(store)
    judged = judge_night(store, LAST, [PIT], HealthSettings(), language)
    assert {f.kind for f in judged.findings} == {"frozen", "missing_hours"}
    for table in tables(tmp_path):
        assert table["verdict"].tolist() == ["bad"]
        assert table["reasons"].tolist() == [" ".join(say(f, language) for f in judged.findings)]
        assert "findings" not in table


def test_the_summary_of_a_judgement_is_that_of_the_tables(store: str, tmp_path: Path) -> None:
    ailing(store)
    judged = judge_night(store, LAST, [PIT], HealthSettings())
    pd.testing.assert_frame_equal(judged.summary, tables(tmp_path)[0].drop(columns="reasons"))


def test_the_findings_carry_their_pictures(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.evidence._picture_at", lambda *_: b"a picture")
    ailing(store)
    judged = judge_night(store, LAST, [PIT], HealthSettings())
    assert [f.picture for f in judged.findings if "slot" in f.values] == [b"a picture"]


def test_the_findings_are_those_of_all_cameras(store: str) -> None:
    for camera in ("hall", "pit"):
        ailing(store, camera)
    judged = judge_night(store, LAST, [PIT, replace(PIT, id="hall")], HealthSettings())
    assert [f.camera for f in judged.findings] == ["hall"] * 2 + ["pit"] * 2


def test_the_sites_own_thresholds_decide(store: str) -> None:
    ailing(store)
    lenient = HealthSettings(frozen_s=1000.0, missing_share=0.4)
    assert judge_night(store, LAST, [PIT], lenient).summary["verdict"].tolist() == ["good"]


def nights(judged: Judgement) -> list[str]:
    return judged.history["night"].tolist()


@pytest.mark.parametrize("needed", [28, HISTORY_NIGHTS + 11], ids=["trends", "comparisons"])
def test_as_many_nights_are_read_as_the_trends_show_and_the_comparisons_need(store: str, needed: int) -> None:
    first = max(HISTORY_NIGHTS, needed)
    for before in (first + 1, first, 0, -1):
        write_facts(store, made_row(before_last=before))
    judged = judge_night(store, LAST, [PIT], HealthSettings(history_nights=needed))
    assert nights(judged) == [night_name(first), LAST]


def test_facts_of_a_run_that_another_took_the_place_of_are_not_of_this_night(store: str) -> None:
    """Neither its verdict nor its findings may stand beside the newer run's pictures. Nights before stay."""
    write_facts(store, made_row(before_last=1, run="old"))
    ailing(store)
    for published, known in (({"pit": "newer"}, [night_name(1)]), ({}, [night_name(1)])):
        judged = judge_night(store, LAST, [PIT], HealthSettings(), published=published)
        assert (judged.summary["verdict"].tolist(), judged.findings, nights(judged)) == (["missing"], (), known)
    same = judge_night(store, LAST, [PIT], HealthSettings(), published={"pit": made_row()["run"]})
    assert (same.summary["verdict"].tolist(), nights(same)) == (["bad"], [night_name(1), LAST])


def test_cameras_that_the_site_no_longer_has_are_not_judged(store: str) -> None:
    for camera in ("pit", "sold"):
        write_facts(store, made_row(camera))
    judged = judge_night(store, LAST, [PIT], HealthSettings())
    assert judged.history["camera"].tolist() == judged.summary["camera"].tolist() == ["pit"]


def test_groups_are_those_of_the_night(store: str, tmp_path: Path) -> None:
    for before in (0, 28):
        write_facts(store, made_row(before_last=before))
    judge_night(store, LAST, [PIT], HealthSettings())
    groups = pd.read_parquet(tmp_path / "reports" / LAST / "groups.parquet")
    assert groups[groups["level"] == "night"]["group"].unique().tolist() == [LAST]


def test_what_lacks_frames_is_not_called_as_what_lacks_files_and_is_not_0_where_nothing_is_known(
    store: str, tmp_path: Path
) -> None:
    ailing(store)
    judge_night(store, LAST, [PIT, replace(PIT, id="silo")], HealthSettings())
    for table in tables(tmp_path):
        assert "gaps_s" not in table  # in cameras.csv the seconds without a recorded file
        lacking = dict(zip(table["camera"], table["no_frame_s"], strict=True))
        assert lacking["pit"] == 600
        assert math.isnan(lacking["silo"])


def test_the_broken_files_of_a_camera_without_facts_are_not_known(store: str, tmp_path: Path) -> None:
    write_facts(store, made_row("pit", quarantined=2))
    judge_night(store, LAST, [PIT, replace(PIT, id="gate")], HealthSettings())
    told = csv.DictReader((tmp_path / "reports" / LAST / "summary.csv").read_text().splitlines())
    assert {row["camera"]: row["quarantined"] for row in told} == {"pit": "2", "gate": ""}
