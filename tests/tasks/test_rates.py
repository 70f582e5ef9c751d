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


@pytest.mark.parametrize("every", [2, 16])
def test_a_coarse_pass_is_told_only_where_no_whole_night_is_known(plan: NightPlan, root: str, every: int) -> None:
    coarse = replace(plan, every=every, run_url=f"{plan.run_url}1")
    told = took(plan, (30, 2.0))
    told.add(words_of(coarse.run_url, ItemResult("pit", 1, 0, 3, 2.0)))
    for at_work, wanted in ((coarse, 3), (plan, 30), (coarse, 30)):
        told.keep(at_work, root)
        rate = last_rate(root, plan)
        assert rate is not None
        assert rate.frames == wanted


@pytest.mark.parametrize(("higher", "wider"), [(2, 1), (1, 2)])
def test_frames_of_another_size_say_nothing_of_these(plan: NightPlan, root: str, higher: int, wider: int) -> None:
    other = replace(plan, height=higher * plan.height, width=wider * plan.width)
    took(plan, (30, 2.0)).keep(plan, root)
    assert last_rate(root, other) is None
    took(other, (3, 2.0)).keep(replace(other, every=16), root)  # so a coarse pass is the best that is known of it
    assert last_rate(root, other) is not None


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"[]",
        b"{}",
        b'{"night": "n", "seconds": "fast"}',
        b'{"night": "n", "height": 48, "width": 64, "model": "m", "frames": 1, "seconds": 0}',
        b'{"night": "n", "height": 48, "width": 64, "model": "m", "frames": 0, "seconds": 1}',
        b'{"night": "n", "height": 48, "width": 64, "model": "m", "frames": 1, "seconds": 1e999}',
        b'{"night": "n", "height": 48, "width": 64, "model": "m", "frames": 1%s, "seconds": 1}' % (b"0" * 400),
        b"[" * 100_000,
    ],
    ids=range(10),
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


@pytest.mark.parametrize(("call", "every"), [("write", 1), ("write", 16), ("read", 16)])
def test_a_rate_that_can_not_be_stored_costs_no_night(
    plan: NightPlan, root: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, call: str, every: int
) -> None:
    def refused(url: str, *_: object) -> None:
        raise PermissionError(f"{url}: check the rights of this user or key")

    monkeypatch.setattr(storage, call, refused)
    took(plan, (30, 2.0)).keep(replace(plan, every=every), root)
    assert "its rate was not stored" in caplog.text
