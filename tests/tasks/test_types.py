"""The grid's arithmetic is exact, whatever the rate; what is counted from a plan or a receipt adds up."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.types import NANOSECONDS, Camera, Grid, NightPlan, Receipt

START = 1_768_471_200 * NANOSECONDS
rates = st.one_of(
    st.integers(1, 240).map(Fraction),
    st.sampled_from([Fraction(30000, 1001), Fraction(24000, 1001), Fraction(1, 60), Fraction(25, 2)]),
    st.fractions(Fraction(1, 3600), 240, max_denominator=100_000),
)
starts = st.integers(0, 4_000_000_000).map(lambda s: s * NANOSECONDS)
slots = st.integers(0, 240 * 25 * 3600)


@settings(max_examples=200)
@given(starts, rates, slots)
def test_the_slot_at_a_slots_time_is_that_slot(start: int, rate: Fraction, slot: int) -> None:
    grid = Grid(start, rate, slot + 1)
    assert grid.slot_at(grid.time_ns(slot)) == slot


@settings(max_examples=200)
@given(starts, rates, slots)
def test_a_slots_time_is_the_nearest_nanosecond(start: int, rate: Fraction, slot: int) -> None:
    assert Grid(start, rate, slot + 1).time_ns(slot) == start + round(Fraction(slot * NANOSECONDS) / rate)


@pytest.mark.parametrize(("slot", "time"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_half_a_nanosecond_goes_to_the_even_one(slot: int, time: int) -> None:
    assert Grid(0, Fraction(2 * NANOSECONDS), 10).time_ns(slot) == time


@settings(max_examples=200)
@given(rates, slots, st.integers(-(10**15), 10**15))
def test_the_slot_at_a_time_is_the_nearest(rate: Fraction, slot: int, off: int) -> None:
    grid = Grid(START, rate, 10)
    time = START + off
    found = grid.slot_at(time)
    exact = (START + Fraction(found * NANOSECONDS) / rate) - time
    assert -Fraction(NANOSECONDS) / rate / 2 < exact <= Fraction(NANOSECONDS) / rate / 2


@pytest.mark.parametrize(("time", "slot"), [(-100_000_001, -1), (-100_000_000, 0), (99_999_999, 0), (100_000_000, 1)])
def test_a_time_between_two_slots_belongs_to_the_later_one(time: int, slot: int) -> None:
    assert Grid(START, Fraction(5), 10).slot_at(START + time) == slot


def test_thirty_thousand_by_a_thousand_and_one_does_not_drift_in_half_a_day() -> None:
    grid = Grid(START, Fraction(30000, 1001), 1_300_000)
    assert grid.time_ns(30_000 * 43) == START + 1001 * 43 * NANOSECONDS


def test_what_travels_between_the_rooms_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Grid(START, Fraction(5), 10).slots = 11  # type: ignore[misc]


def test_a_receipts_frames_are_the_sum_of_its_runs() -> None:
    assert Receipt(3, "", 0, ((30, 4), (37, 1), (39, 1))).frames == 6
    assert Receipt(3, "", 0, ()).frames == 0


def plan_of(gaps: tuple[tuple[int, int], ...]) -> NightPlan:
    camera = Camera("c", "C", "outdoor", "UTC", "%Y.mp4", Fraction(5))
    grid = Grid(START, Fraction(5), 3000)
    return NightPlan(camera, "2026-01-15", "run", "file:///run", grid, 9, 16, 100, (), (), gaps, (), 0, {})


def test_slots_that_footage_should_fill_are_the_nights_less_the_gaps() -> None:
    gap = (START + 100 * NANOSECONDS, START + 220 * NANOSECONDS)
    assert plan_of(()).planned_slots == 3000
    assert plan_of((gap,)).planned_slots == 3000 - 600
