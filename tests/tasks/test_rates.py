"""What a night's work items took: added up by run, stored when the run is published, read back for the next plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks import storage
from tasks.rates import Took, last_rate, rate_url, words_of
from tasks.types import ItemResult, NightPlan
from tests.tasks.night import NIGHT, make_site


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> NightPlan:
    return make_site(tmp_path_factory.mktemp("night"), (10,)).plan()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return storage.normalise(str(tmp_path))


def took(plan: NightPlan, *items: tuple[int, float]) -> Took:
    told = Took()
    for frames, seconds in items:
        told.add(words_of(plan.run_url, ItemResult("pit", 1, 0, frames, seconds)))
    return told


def test_a_nights_rate_is_its_frames_by_the_seconds_of_its_items(plan: NightPlan, root: str) -> None:
    took(plan, (30, 2.0), (10, 3.0)).keep(plan, root)
    rate = last_rate(root, plan)
    assert rate is not None
    assert (rate.night, rate.model, rate.frames_per_s) == (NIGHT, plan.model["name"], pytest.approx(8.0))


def test_a_run_counts_by_itself_and_one_that_restored_nothing_leaves_the_last_rate(plan: NightPlan, root: str) -> None:
    told = took(plan, (30, 2.0))
    told.keep(plan, root)
    other = replace(plan, run_url=f"{plan.run_url}0", night="2026-01-16")
    told.keep(other, root)
    took(other, (0, 0.5)).keep(other, root)
    rate = last_rate(root, plan)
    assert rate is not None
    assert (rate.night, rate.frames) == (NIGHT, 30)


def test_a_coarse_pass_is_told_only_where_no_whole_night_is_known(plan: NightPlan, root: str) -> None:
    coarse = replace(plan, every=16, run_url=f"{plan.run_url}1")
    told = took(plan, (30, 2.0))
    told.add(words_of(coarse.run_url, ItemResult("pit", 1, 0, 3, 2.0)))
    for at_work, wanted in ((coarse, 3), (plan, 30), (coarse, 30)):
        told.keep(at_work, root)
        rate = last_rate(root, plan)
        assert rate is not None
        assert rate.frames == wanted


def test_frames_of_another_size_say_nothing_of_these(plan: NightPlan, root: str) -> None:
    took(plan, (30, 2.0)).keep(plan, root)
    assert last_rate(root, replace(plan, height=2 * plan.height)) is None


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"[]",
        b"{}",
        b'{"night": "n", "seconds": "fast"}',
        b'{"night": "n", "height": 48, "width": 64, "model": "m", "frames": 1, "seconds": 0}',
    ],
)
def test_what_is_missing_or_damaged_counts_as_no_rate(
    plan: NightPlan, root: str, data: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    if data is not None:
        storage.write(rate_url(root, "pit"), data)
    assert last_rate(root, plan) is None
    assert (data is None) == ("not a rate" not in caplog.text)


def test_a_damaged_rate_is_not_repeated_in_the_log(
    plan: NightPlan, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage.write(rate_url(root, "pit"), b"\xff" * 100_000)
    assert last_rate(root, plan) is None
    assert len(caplog.text) < 1000


def test_a_rate_that_can_not_be_stored_costs_no_night(
    plan: NightPlan, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    (tmp_path / "rates").write_text("no folder")
    took(plan, (30, 2.0)).keep(plan, storage.normalise(str(tmp_path)))
    assert "its rate was not stored" in caplog.text
