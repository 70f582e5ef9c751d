"""A grid, clips placed on it, and what fills its slots, for the tests of `tasks.slots`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from tasks.slots import Damage, SlotFrame, fill_slots
from tasks.types import NANOSECONDS, Grid, Segment
from tests.tasks.footage import number_of

START = 1_768_471_200 * NANOSECONDS
LIMIT = 10**6
"""Pixels of a frame."""


def segment(path: Path, offset_s: Fraction | float = 0.0, seconds: float = 4.0) -> Segment:
    """A clip that begins `offset_s` after the grid."""
    start = START + round(Fraction(offset_s) * NANOSECONDS)
    return Segment(f"file://{path}", "etag", 1, start, "", start + round(seconds * NANOSECONDS))


def grid_of(slots: int, rate: Fraction | int = 5) -> Grid:
    """A grid that begins at START."""
    return Grid(START, Fraction(rate), slots)


def fill(grid: Grid, *segments: Segment, first: int = 0, last: int | None = None) -> list[SlotFrame | Damage]:
    """What `fill_slots` gives for some slots, in order and none outside."""
    events = list(fill_slots(grid, first, grid.slots if last is None else last, segments, LIMIT))
    slots = [e.slot for e in events]
    assert slots == sorted(slots)
    assert all(first <= s < (grid.slots if last is None else last) for s in slots)
    return events


def filled(grid: Grid, *segments: Segment, first: int = 0, last: int | None = None) -> list[tuple[int, int]]:
    """(slot, number shown by its frame); no damage."""
    found = []
    for event in fill(grid, *segments, first=first, last=last):
        assert isinstance(event, SlotFrame)
        found.append((event.slot, number_of(event.pixels)))
    assert len({s for s, _ in found}) == len(found)
    return found
