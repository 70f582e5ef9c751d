"""What fills a slot never depends on where reading begins: a night cut anywhere is filled as in one go."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from footage import paced, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.slots import Damage, SlotFrame, fill_slots
from tasks.types import Grid, Segment
from tests.tasks.filling import LIMIT, START, filled, grid_of, segment


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, tuple[Segment, ...]]:
    """Twenty seconds at 7 slots a second: gaps, overlaps, doubles, uneven rates, and every kind of file."""
    folder = tmp_path_factory.mktemp("night")
    uneven = [0, 0.03, 0.05, 0.5, 0.51, 0.9, 1.4, 2.6, 2.61, 2.62, 3.3]
    made = [
        (segment(write_clip(folder / "a.mp4", paced(50, 10), gop=300), -0.7), "long GOP, begins before the night"),
        (segment(write_clip(folder / "b.mkv", uneven, first=100), 4.0), "uneven"),
        (segment(write_clip(folder / "c.ts", paced(60, 25), fps=25, gop=200, first=200), 5.333), "overlaps"),
        (segment(write_clip(folder / "d.ts", paced(60, 25), fps=25, first=300), 5.333), "its double"),
        (segment(write_clip(folder / "e.mp4", paced(5, 1), first=400), 6.1), "sparse"),
        (segment(write_clip(folder / "f.avi", paced(90, 15), fps=15, first=500, codec="mjpeg", pix_fmt="yuvj420p",
                            base=Fraction(1, 15)), 9.05), "after a gap"),
        (segment(write_clip(folder / "g.mp4", paced(60, 10), first=700, options={"bf": "2"}), 14.49), "leaves it"),
    ]  # fmt: skip
    return Grid(START, Fraction(7), 140), tuple(s for s, _ in made)


def stream(events: Iterator[SlotFrame | Damage]) -> list[tuple[int, bytes]]:
    return [(e.slot, e.pixels.tobytes()) for e in events if isinstance(e, SlotFrame)]


@pytest.fixture(scope="module")
def in_one_go(night: tuple[Grid, tuple[Segment, ...]]) -> list[tuple[int, bytes]]:
    grid, segments = night
    return stream(fill_slots(grid, 0, grid.slots, segments, LIMIT))


def test_the_mixed_night_is_mostly_full(in_one_go: list[tuple[int, bytes]]) -> None:
    slots = [s for s, _ in in_one_go]
    assert slots == sorted(set(slots))
    assert 100 < len(slots) < 140


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 139), max_size=4, unique=True))
def test_a_night_cut_anywhere_is_filled_as_in_one_go(
    cuts: list[int], night: tuple[Grid, tuple[Segment, ...]], in_one_go: list[tuple[int, bytes]]
) -> None:
    grid, segments = night
    bounds = [0, *sorted(cuts), grid.slots]
    parts = [
        slot for first, last in pairwise(bounds) for slot in stream(fill_slots(grid, first, last, segments, LIMIT))
    ]
    assert parts == in_one_go


def test_every_single_slot_is_filled_as_in_one_go(
    night: tuple[Grid, tuple[Segment, ...]], in_one_go: list[tuple[int, bytes]]
) -> None:
    grid, segments = night
    wanted = dict(in_one_go)
    for slot in range(17, grid.slots, 19):
        assert stream(fill_slots(grid, slot, slot + 1, segments, LIMIT)) == [
            (s, wanted[s]) for s in (slot,) if s in wanted
        ]


offsets = st.integers(0, 400).map(lambda n: Fraction(n, 100))


@pytest.fixture(scope="module")
def small_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("small")
    rates = ((6, 3), (12, 10), (20, 25), (3, 1))
    return [write_clip(folder / f"{k}.mp4", paced(n, fps), fps=fps, first=100 * k) for k, (n, fps) in enumerate(rates)]


@settings(max_examples=16)
@given(placed=st.lists(st.tuples(st.integers(0, 3), offsets), min_size=1, max_size=4), cut=st.integers(1, 24))
def test_any_overlap_of_files_cut_anywhere_is_filled_as_in_one_go(
    placed: list[tuple[int, Fraction]], cut: int, small_clips: list[Path]
) -> None:
    grid = grid_of(25)
    segments = tuple(sorted((segment(small_clips[k], at) for k, at in placed), key=lambda s: (s.start_ns, s.url)))
    whole = filled(grid, *segments)
    assert filled(grid, *segments, last=cut) + filled(grid, *segments, first=cut) == whole


def test_a_slot_after_the_last_frame_was_shown_is_empty_wherever_reading_begins(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(19, 20), fps=20)
    late = segment(clip, 0.03)  # its last frame is shown from 0.93 s to 0.98 s, before the slot at 1 s that is nearest
    assert [slot for slot, _ in filled(grid_of(10), late)] == list(range(5))
    assert filled(grid_of(10), late, first=5) == []
