"""A night is a regular grid over its true hours, on every day of the year and at any rate."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.slots import night_grid, slot_times
from tasks.types import NANOSECONDS, Camera, Grid

FIVE = Fraction(5)


def camera(zone: str = "Europe/Berlin", start: str = "18:00", end: str = "06:00", rate: Fraction = FIVE) -> Camera:
    return Camera("pit", "Pit", "outdoor", zone, "%Y.mp4", rate, start, end)


@pytest.mark.parametrize(
    ("night", "hours"),
    [
        ("2026-01-15", 12),
        ("2026-03-28", 11),
        ("2026-10-24", 13),
        ("2025-12-31", 12),
        ("2028-02-28", 12),
        ("2028-02-29", 12),
    ],
)
def test_a_night_has_as_many_slots_as_its_true_hours_hold(night: str, hours: int) -> None:
    assert night_grid(camera(), night).slots == hours * 3600 * 5


def test_a_night_begins_at_its_local_time() -> None:
    grid = night_grid(camera("Asia/Shanghai"), "2025-12-31")
    assert grid.start_ns == datetime(2025, 12, 31, 10, tzinfo=UTC).timestamp() * NANOSECONDS
    assert grid.time_ns(grid.slots) == datetime(2025, 12, 31, 22, tzinfo=UTC).timestamp() * NANOSECONDS


def test_a_night_of_the_leap_day_begins_on_it_and_ends_in_march() -> None:
    grid = night_grid(camera("UTC"), "2028-02-29")
    assert datetime.fromtimestamp(grid.start_ns / NANOSECONDS, UTC) == datetime(2028, 2, 29, 18, tzinfo=UTC)
    assert datetime.fromtimestamp(grid.time_ns(grid.slots) / NANOSECONDS, UTC) == datetime(2028, 3, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [("20:00", "23:30", 3.5), ("18:00", "18:00", 24), ("00:00", "06:00", 6), ("18:00:30", "18:01", 1 / 120)],
)
def test_a_night_ends_at_the_next_such_time(start: str, end: str, hours: float) -> None:
    assert night_grid(camera("UTC", start, end), "2026-01-15").slots == hours * 3600 * 5


@pytest.mark.parametrize(("start", "end"), [("02:00", "03:00"), ("02:30", "03:10")])
def test_a_night_within_the_hour_that_clocks_leave_out_has_no_slots(start: str, end: str) -> None:
    assert night_grid(camera(start=start, end=end), "2026-03-29").slots == 0


def test_slots_of_a_broken_rate_are_whole_ones() -> None:
    grid = night_grid(camera("UTC", rate=Fraction(30000, 1001)), "2026-01-15")
    assert grid.slots == 12 * 3600 * 30000 // 1001
    assert grid.time_ns(grid.slots) <= grid.start_ns + 12 * 3600 * NANOSECONDS < grid.time_ns(grid.slots + 1)


@given(
    rate=st.fractions(min_value=Fraction(1, 600), max_value=240, max_denominator=1001),
    slots=st.integers(0, 4000),
    start=st.integers(0, 2 * 10**18),
)
def test_the_times_of_all_slots_are_those_of_each(rate: Fraction, slots: int, start: int) -> None:
    grid = Grid(start, rate, slots)
    assert slot_times(grid).tolist() == [grid.time_ns(i) for i in range(slots)]
