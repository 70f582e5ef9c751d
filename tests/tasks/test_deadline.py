"""Deadlines: what is proposed meets them, and nothing less would."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.deadline import ALLOWANCE, next_time, outlook, sizes
from tasks.estimate import Estimate

NOW = datetime(2026, 1, 15, 22, 0, tzinfo=UTC)


def camera(name: str, slots: int, fps: float, done: float = 0.0) -> Estimate:
    return Estimate(name, 1, 0, 0, slots, slots, 1, 1.0, 1.0, {"zstd 3": 1.0}, fps, slots * (1 - done) / fps / 3600)


SITES = st.lists(st.tuples(st.integers(1000, 10**6), st.floats(0.1, 200), st.floats(0, 0.9)), min_size=1, max_size=6)


def site(described: list[tuple[int, float, float]]) -> tuple[list[Estimate], dict[str, Fraction]]:
    estimates = [camera(f"c{n}", *d) for n, d in enumerate(described)]
    return estimates, {e.camera: Fraction(5) for e in estimates}


@given(SITES, st.integers(1, 50), st.floats(0.1, 40))
def test_the_proposed_workers_meet_it_and_one_less_would_not(
    described: list[tuple[int, float, float]], workers: int, hours: float
) -> None:
    estimates, rates = site(described)
    deadline = NOW + timedelta(hours=hours)
    needed = outlook(estimates, rates, deadline, NOW, workers).workers_needed
    assert outlook(estimates, rates, deadline, NOW, needed).met
    if needed > 1:
        assert not outlook(estimates, rates, deadline, NOW, needed - 1).met


@given(SITES, st.integers(1, 50), st.floats(1.01, 50))
def test_the_proposed_rates_meet_it_even_for_a_night_begun_anew(
    described: list[tuple[int, float, float]], workers: int, shortage: float
) -> None:
    estimates, rates = site(described)
    deadline = NOW + timedelta(hours=ALLOWANCE * sum(e.hours for e in estimates) / workers / shortage)
    hours = (deadline - NOW) / timedelta(hours=1)
    assume(hours > 0.001)
    told = outlook(estimates, rates, deadline, NOW, workers)
    assert not told.met
    thinned = [camera(e.camera, e.slots, e.frames_per_s * told.every) for e in estimates]
    assert sum(e.hours for e in thinned) * ALLOWANCE <= hours * workers * (1 + 1e-6)
    assert {Fraction(rate) * told.every for rate in told.rates.values()} == {Fraction(5)}


def test_a_plan_that_is_in_time_proposes_nothing() -> None:
    told = outlook([camera("pit", 3600, 1.0)], {"pit": Fraction(5)}, NOW + timedelta(hours=2), NOW)
    assert (told.met, told.workers_needed, told.every, told.rates) == (True, 1, 1, {"pit": "5"})
    assert told.done_by == "2026-01-15T23:12+00:00"  # one hour, and its allowance


def test_a_plan_that_is_late_says_what_would_help() -> None:
    told = outlook([camera("pit", 36000, 1.0)], {"pit": Fraction(5)}, NOW + timedelta(hours=5), NOW, workers=2)
    assert (told.met, told.workers_needed, told.every, told.rates) == (False, 3, 2, {"pit": "5/2"})


def test_the_work_that_is_left_is_told_with_its_allowance_however_many_share_it() -> None:
    told = outlook(
        [camera("pit", 36000, 1.0, done=0.5)], {"pit": Fraction(5)}, NOW + timedelta(hours=9), NOW, workers=2
    )
    assert told.worker_hours == pytest.approx(5 * ALLOWANCE)
    assert told.done_by == "2026-01-16T01:00+00:00"  # they take half of it each


@pytest.mark.parametrize(("slots", "met", "done_by"), [(20_000, True, "06:40"), (22_000, False, "07:20")])
def test_in_the_night_in_which_clocks_are_put_forward_there_is_an_hour_less(
    slots: int, met: bool, done_by: str
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    evening, morning = datetime(2026, 3, 28, 23, 0, tzinfo=zone), datetime(2026, 3, 29, 7, 0, tzinfo=zone)
    told = outlook([camera("pit", slots, 1.0)], {"pit": Fraction(5)}, morning, evening)
    assert (told.met, told.done_by) == (met, f"2026-03-29T{done_by}+02:00")


@pytest.mark.parametrize(("now", "at"), [("00:10", "00:30"), ("00:40", "01:30"), ("01:10", "01:30")])
def test_where_clocks_are_put_back_a_time_of_day_comes_twice(now: str, at: str) -> None:
    of_the_night = "2026-10-25T{}+00:00"  # 02:30 in Berlin is 00:30 and 01:30 in UTC
    found = next_time("02:30", "Europe/Berlin", datetime.fromisoformat(of_the_night.format(now)))
    assert found.astimezone(UTC) == datetime.fromisoformat(of_the_night.format(at))


@pytest.mark.parametrize("over_s", [0, 3600])
def test_when_the_time_is_over_no_number_of_workers_is_proposed(over_s: int) -> None:
    told = outlook([camera("pit", 36000, 1.0)], {"pit": Fraction(5)}, NOW - timedelta(seconds=over_s), NOW)
    assert (told.met, told.workers_needed, told.every) == (False, 0, 0)


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        outlook([], {}, NOW, NOW, workers=0)


@pytest.mark.parametrize(
    ("deadline", "at"), [("06:30", "2026-01-16 06:30"), ("05:59", "2026-01-17 05:59"), ("06:00", "2026-01-17 06:00")]
)
def test_a_time_of_day_is_the_next_one_in_the_cameras_zone(deadline: str, at: str) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    now = datetime(2026, 1, 16, 6, 0, tzinfo=zone)
    assert next_time(deadline, "Asia/Shanghai", now.astimezone(UTC)) == datetime.fromisoformat(at).replace(tzinfo=zone)


@pytest.mark.parametrize("text", ["", "6:30", "25:00", "06-30", "06:30:00", "T0630", "0630Z", "noon"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HH:MM"):
        next_time(text, "UTC", NOW)


def test_a_larger_site_takes_as_many_times_more_as_it_has_cameras() -> None:
    night = [camera("pit", 36000, 2.0), camera("silo", 36000, 1.0, done=0.5)]  # 5 h and 10 h, whatever is done
    ten, thousand = sizes(night, (10, 1000), hours=8)
    assert ten.worker_hours == pytest.approx(10 * 7.5 * ALLOWANCE)
    assert ten.workers == 12  # 90 h in 8
    assert (thousand.gb_in, thousand.gb_stored) == (pytest.approx(1000), pytest.approx(1000))
    assert thousand.worker_hours == pytest.approx(100 * ten.worker_hours)


def test_a_larger_sites_gigabytes_are_those_of_the_codec_that_the_settings_name() -> None:
    night = [replace(camera("pit", 36000, 2.0), gb_in=2.0, gb_stored={"jpeg 95": 3.0, "zstd 1": 9.0, "zstd 9": 1.0})]
    [ten] = sizes(night, (10,), hours=8)
    assert (ten.cameras, ten.gb_in, ten.gb_stored) == (10, 20.0, 30.0)


@pytest.mark.parametrize(("cameras", "hours"), [(0, 8.0), (1, 0.0), (1, -1.0)])
def test_sizing_without_footage_or_time_is_refused(cameras: int, hours: float) -> None:
    with pytest.raises(ValueError, match="sizing needs some"):
        sizes([camera("pit", 36000, 1.0)] * cameras, (10,), hours)
