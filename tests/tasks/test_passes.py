"""The passes of a night with a deadline: their order, the choice of the next one, and that each is its own night."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lednet import Restorer
from tasks import enhance, store
from tasks.deadline import ALLOWANCE
from tasks.passes import by_priority, extent, levels, next_pass, slots_left
from tasks.plan import coarser
from tests.tasks import night
from tests.tasks.night import CAMERA, Site

WORK = st.integers(2, 64).flatmap(
    lambda coarsest: st.floats(1, 1e7).map(lambda full: {every: full / every for every in levels(coarsest)})
)
"""Slots by pass, nothing of it done."""


@given(st.lists(st.integers(-5, 5), max_size=12))
def test_cameras_of_higher_priority_come_first_and_equal_ones_as_they_stand(priorities: list[int]) -> None:
    cameras = [replace(CAMERA, id=f"c{n}", priority=p) for n, p in enumerate(priorities)]
    ordered = by_priority(cameras)
    assert sorted(c.id for c in ordered) == sorted(c.id for c in cameras)
    for before, after in pairwise(ordered):
        assert (-before.priority, cameras.index(before)) < (-after.priority, cameras.index(after))


@given(st.integers(1, 10**6))
def test_passes_go_from_the_coarsest_to_every_slot_and_each_is_at_least_twice_as_fine(coarsest: int) -> None:
    found = levels(coarsest)
    assert (found[0], found[-1]) == (coarsest, 1)
    assert all(coarse >= 2 * fine for coarse, fine in pairwise(found))


@given(WORK, st.floats(1e-3, 1e4), st.floats(0.1, 1e6))
def test_the_next_pass_is_the_finest_in_time_or_else_the_full_night(
    work: dict[int, float], rate: float, left_s: float
) -> None:
    done = max(work)
    chosen = next_pass(done, work, rate, left_s)
    in_time = [every for every in work if every < done and ALLOWANCE * work[every] / rate <= left_s * (1 - 1e-9)]
    assert chosen < done
    assert chosen == min(in_time, default=1) or chosen in in_time or chosen == 1
    assert not [every for every in in_time if every < chosen]


@given(WORK, st.floats(1, 1e4), st.floats(0, 1e6))
def test_a_pass_that_takes_what_was_expected_is_whole_by_the_deadline_unless_it_is_the_full_night(
    work: dict[int, float], rate: float, deadline_s: float
) -> None:
    done, now = max(work), work[max(work)] / rate
    while every := next_pass(done, work, rate, deadline_s - now):
        now += work[every] / rate
        assert now <= deadline_s or every == 1
        done = every


def test_nothing_comes_after_the_full_night_or_the_deadline() -> None:
    assert next_pass(1, {}, 5.0, 100.0) == 0
    assert next_pass(16, {1: 10.0, 8: 1.0}, 5.0, 0.0) == 0


def test_where_nothing_tells_the_rate_the_next_coarser_pass_tells_it() -> None:
    assert next_pass(16, {1: 80.0, 4: 20.0, 8: 10.0}, 0.0, 100.0) == 8


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return night.make_site(tmp_path)


@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_pass_is_the_night_of_the_camera_at_that_rate(site: Site, every: int) -> None:
    full = site.plan()
    slower = night.plan(site.archive, site.store, site.settings, replace(CAMERA, rate=CAMERA.rate / every))
    made = coarser(full, every, site.archive, site.store, site.settings)
    assert made == replace(slower, every=every, segments=made.segments, problems=made.problems)
    assert made.run != full.run
    assert coarser(full, 1, site.archive, site.store, site.settings) is full


def test_what_is_kept_of_a_plan_is_its_own(site: Site) -> None:
    planned = site.plan()
    kept = extent(planned)
    assert (kept.camera, kept.run, kept.run_url, kept.rate) == ("pit", planned.run, planned.run_url, CAMERA.rate)
    assert (kept.shards, kept.planned_slots, kept.most_frames) == (7, 25, planned.most_frames)
    assert kept.files == 3


def test_the_slots_that_are_left_are_those_of_the_shards_without_a_receipt(site: Site) -> None:
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    assert slots_left(extent(planned)) == 25
    enhance.enhance_item(planned.items[0], site.settings)  # three of seven shards
    assert slots_left(extent(planned)) == pytest.approx(25 * 4 / 7)


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def pass_frames(self, count: int) -> None:
        self.now += count


def test_an_item_that_meets_its_deadline_keeps_its_whole_shards_and_the_rest_is_done_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    clock, loaded = Clock(), enhance.load_restorer

    def ticking(*known: object) -> Restorer:
        return night.watched(loaded(*known), clock.pass_frames)  # type: ignore[arg-type]

    monkeypatch.setattr(enhance, "time", clock)
    monkeypatch.setattr(enhance, "load_restorer", ticking)
    item = planned.items[0]
    result = enhance.enhance_item(item, site.settings, until_s=clock.now + 6)  # a shard has four slots
    assert (result.shards_done, result.shards_skipped) == (1, 0)
    assert store.done_shards(planned.run_url) == {item.shards[0].index}
    late = enhance.enhance_item(planned.items[1], site.settings, until_s=clock.now)
    assert (late.shards_done, late.frames) == (0, 0)
    before = night.files(site.folder)
    assert enhance.enhance_item(item, site.settings).shards_skipped == 1
    after = night.files(site.folder)
    assert {name: after[name] for name in before} == before
    undisturbed = night.make_site(site.folder.parent / "other")
    again = undisturbed.plan()
    store.create_run(again, undisturbed.settings, "0")
    enhance.enhance_item(again.items[0], undisturbed.settings)
    shards = [s.index for s in item.shards]
    assert [store.read_receipt(planned.run_url, i).sha256 for i in shards] == [
        store.read_receipt(again.run_url, i).sha256 for i in shards
    ]
