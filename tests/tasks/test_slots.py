"""A night is a regular grid, and what fills a slot depends on the footage alone, never on where reading begins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from footage import number_of, paced, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.decode import read_frames
from tasks.slots import Damage, FrameReader, SlotFrame, fill_slots, night_grid, slot_times
from tasks.types import NANOSECONDS, Camera, Grid, Segment

START = 1_768_471_200 * NANOSECONDS
LIMIT = 10**6
FIVE = Fraction(5)
CAMERA = Camera("pit", "Pit", "outdoor", "Europe/Berlin", "%Y.mp4", FIVE)


def camera(zone: str = "Europe/Berlin", start: str = "18:00", end: str = "06:00", rate: Fraction = FIVE) -> Camera:
    return Camera("pit", "Pit", "outdoor", zone, "%Y.mp4", rate, start, end)


def segment(path: Path, offset_s: Fraction | float = 0.0, seconds: float = 4.0) -> Segment:
    """A clip that begins `offset_s` after the grid."""
    start = START + round(Fraction(offset_s) * NANOSECONDS)
    return Segment(f"file://{path}", "etag", 1, start, "", start + round(seconds * NANOSECONDS))


def grid_of(slots: int, rate: Fraction | int = 5) -> Grid:
    return Grid(START, Fraction(rate), slots)


def fill(grid: Grid, *segments: Segment, first: int = 0, last: int | None = None) -> list[SlotFrame | Damage]:
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


# The night


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


# One file


def test_ten_frames_a_second_fill_five_slots_a_second_with_every_other_frame(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(100, 10))
    assert filled(grid_of(100), segment(clip)) == [(s, 2 * s) for s in range(50)]


def test_four_seconds_of_footage_fill_twenty_slots_and_no_more(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(100, 25), fps=25)
    assert [s for s, _ in filled(grid_of(100), segment(clip))] == list(range(20))


def test_footage_at_the_grids_own_rate_fills_every_slot_with_its_own_frame(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(75, 25), fps=25)
    assert filled(grid_of(100, 25), segment(clip)) == [(s, s) for s in range(75)]


def test_footage_of_a_broken_rate_fills_its_own_grid_without_a_hole(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    clip = write_clip(tmp_path / "a.mkv", [k / rate for k in range(150)], fps=30)  # Matroska rounds to milliseconds
    assert filled(grid_of(200, rate), segment(clip)) == [(s, s) for s in range(150)]


def test_slow_footage_leaves_holes_in_a_faster_grid(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(8, 2))
    assert filled(grid_of(40, 10), segment(clip)) == [(5 * k, k) for k in range(8)]


@pytest.mark.parametrize(
    ("offset", "first", "last"),
    [(0.0, 0, 19), (0.099, 0, 20), (0.1, 1, 20), (0.13, 1, 20), (0.2, 1, 20), (1.05, 5, 25), (-0.5, 0, 17)],
)
def test_a_file_that_begins_off_the_grid_fills_the_slots_nearest_to_its_frames(
    offset: float, first: int, last: int, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(40, 10))
    slots = filled(grid_of(100), segment(clip, offset))
    assert [s for s, _ in slots] == list(range(first, last + 1))
    for slot, number in slots:
        assert abs(slot / 5 - (offset + number / 10)) <= 0.05 + 1e-9 or slot in (first, last)


def test_a_single_frame_fills_a_single_slot(tmp_path: Path) -> None:
    assert filled(grid_of(100), segment(write_clip(tmp_path / "a.mp4", [0]), 2.04)) == [(10, 0)]


def test_a_frame_keeps_its_slot_in_spite_of_two_close_ones_before_a_long_pause(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [0, 0.2, 0.94, 0.95, 3.0])
    for first in (0, 3, 5):
        slots = [s for s, _ in filled(grid_of(100), segment(clip), first=first)]
        assert slots == [s for s in (0, 1, 5, 15) if s >= first]
    assert [s for s, _ in filled(grid_of(100), segment(clip), first=3, last=6)] == [5]


def test_the_night_takes_what_reaches_into_it_from_both_sides(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(100, 10))
    assert filled(grid_of(20), segment(clip, -3)) == [(s, 30 + 2 * s) for s in range(20)]


def test_timestamps_that_jump_back_never_give_slots_out_of_order(tmp_path: Path) -> None:
    for k, times in enumerate((paced(30, 10), paced(30, 10))):
        write_clip(tmp_path / f"{k}.ts", times, first=100 * k)
    (tmp_path / "c.ts").write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    slots = [e.slot for e in fill(grid_of(100), segment(tmp_path / "c.ts")) if isinstance(e, SlotFrame)]
    assert slots[:14] == list(range(14))
    assert len(slots) == len(set(slots))


# Several files


def test_files_that_follow_one_another_fill_the_night_without_a_seam(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{k}.mp4", paced(20, 10), first=20 * k) for k in range(4)]
    segments = [segment(clip, 2 * k, 2.0) for k, clip in enumerate(clips)]
    assert filled(grid_of(40), *segments) == [(s, 2 * s) for s in range(40)]


def test_a_gap_between_files_stays_empty(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{k}.mp4", paced(20, 10)) for k in range(2)]
    slots = filled(grid_of(100), segment(clips[0]), segment(clips[1], 10))
    assert [s for s, _ in slots] == [*range(10), *range(50, 60)]


def test_a_file_that_stands_twice_fills_its_slots_once(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{k}.mp4", paced(20, 10), first=100 * k) for k in range(2)]
    assert filled(grid_of(40), segment(clips[0]), segment(clips[1])) == [(s, 2 * s) for s in range(10)]


def test_of_two_files_that_overlap_the_earlier_one_keeps_its_slots(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{k}.mp4", paced(20, 10), first=100 * k) for k in range(2)]
    slots = filled(grid_of(40), segment(clips[0]), segment(clips[1], 1))
    assert slots == [(s, 2 * s) for s in range(10)] + [(s, 100 + 2 * (s - 5)) for s in range(10, 15)]


def test_a_file_fills_the_holes_of_an_earlier_one(tmp_path: Path) -> None:
    sparse = write_clip(tmp_path / "a.mp4", [0, 1, 2, 3])
    dense = write_clip(tmp_path / "b.mp4", paced(20, 10), first=100)
    slots = dict(filled(grid_of(40), segment(sparse), segment(dense, 0.4)))
    assert [slots[s] for s in (0, 5, 10, 15)] == [0, 1, 2, 3]
    assert [s for s, n in slots.items() if n >= 100] == [2, 3, 4, 6, 7, 8, 9, 11]


def test_files_of_different_sizes_and_kinds_may_follow_one_another(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.mp4", paced(10, 10))
    large = write_clip(tmp_path / "b.mkv", paced(10, 10), pictures=[np.full((96, 128, 3), 90, np.uint8)] * 10)
    events = fill(grid_of(20), segment(small), segment(large, 1))
    assert [e.pixels.shape for e in events if isinstance(e, SlotFrame)] == [(48, 64, 3)] * 5 + [(96, 128, 3)] * 5


def test_nothing_fills_a_stretch_without_footage(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(20, 10))
    assert fill(grid_of(100), segment(clip), first=30, last=60) == []
    assert fill(grid_of(100)) == []


# Splitting


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


@settings(max_examples=40)
@given(placed=st.lists(st.tuples(st.integers(0, 3), offsets), min_size=1, max_size=4), cut=st.integers(1, 24))
def test_any_overlap_of_files_cut_anywhere_is_filled_as_in_one_go(
    placed: list[tuple[int, Fraction]], cut: int, small_clips: list[Path]
) -> None:
    grid = grid_of(25)
    segments = tuple(sorted((segment(small_clips[k], at) for k, at in placed), key=lambda s: (s.start_ns, s.url)))
    whole = filled(grid, *segments)
    assert filled(grid, *segments, last=cut) + filled(grid, *segments, first=cut) == whole


# Damage


def broken(path: Path, content: bytes = b"no video") -> Path:
    path.write_bytes(content)
    return path


def test_a_file_that_cannot_be_read_is_told_and_the_others_fill_their_slots(tmp_path: Path) -> None:
    good = [write_clip(tmp_path / f"{k}.mp4", paced(20, 10), first=100 * k) for k in range(2)]
    bad = broken(tmp_path / "bad.mp4", b"no video" * 100)
    gone = tmp_path / "gone.mp4"
    events = fill(grid_of(100), segment(good[0]), segment(bad, 2), segment(gone, 4), segment(good[1], 6))
    assert [e.slot for e in events if isinstance(e, SlotFrame)] == [*range(10), *range(30, 40)]
    damage = [e for e in events if isinstance(e, Damage)]
    assert [d.url for d in damage] == [f"file://{bad}", f"file://{gone}"]
    assert damage[0].cause.startswith("not a readable video (")
    assert damage[1].cause.startswith("cannot be read: ")


@pytest.mark.parametrize(("first", "last"), [(0, 100), (5, 15), (60, 61), (99, 100)])
def test_damage_is_told_within_the_slots_that_were_asked_for(first: int, last: int, tmp_path: Path) -> None:
    segments = [segment(broken(tmp_path / f"{k}.mp4"), 0.5 * k) for k in range(6)]
    events = fill(grid_of(100), *segments, first=first, last=last)
    assert {type(e) for e in events} == {Damage}
    assert len(events) == len([s for s in segments if s.start_ns - START < last / 5 * NANOSECONDS])


def damaged_clip(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 200, (48, 64, 3), np.uint8) for _ in range(100)]
    clip = write_clip(folder / "a.mp4", paced(100, 10), pictures=pictures, gop=10)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = rng.bytes(2000)
    clip.write_bytes(data)
    return clip


def test_damage_within_a_file_is_told_near_its_place_once_and_the_rest_is_used(tmp_path: Path) -> None:
    events = fill(grid_of(100), segment(damaged_clip(tmp_path)))
    damage = [e for e in events if isinstance(e, Damage)]
    assert damage
    assert len({d.cause for d in damage}) == len(damage)
    assert all(20 <= d.slot <= 30 for d in damage)
    assert len(events) - len(damage) >= 44


def test_a_stretch_after_the_damage_tells_none(tmp_path: Path) -> None:
    clip = damaged_clip(tmp_path)
    assert all(isinstance(e, SlotFrame) for e in fill(grid_of(100), segment(clip), first=40, last=50))


def test_frames_above_the_limit_are_told(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", paced(10, 10))
    (event,) = fill_slots(grid_of(20), 0, 20, (segment(clip),), 64 * 48 - 1)
    assert isinstance(event, Damage)
    assert "64x48 are above the limit of 3071 pixels" in event.cause


@given(
    rate=st.fractions(min_value=Fraction(1, 600), max_value=240, max_denominator=1001),
    slots=st.integers(0, 4000),
    start=st.integers(0, 2 * 10**18),
)
def test_the_times_of_all_slots_are_those_of_each(rate: Fraction, slots: int, start: int) -> None:
    grid = Grid(start, rate, slots)
    assert slot_times(grid).tolist() == [grid.time_ns(i) for i in range(slots)]


def chosen(path: Path, rate: Fraction, slots: int, read: FrameReader = read_frames) -> list[tuple[int, int]]:
    """(slot, number of its frame) of a clip that begins with the grid."""
    grid = grid_of(slots, rate)
    events = fill_slots(grid, 0, slots, (segment(path, 0, 1000),), LIMIT, read)
    return [(e.slot, number_of(e.pixels)) for e in events if isinstance(e, SlotFrame)]


@pytest.mark.parametrize("times", [
    [Fraction(k, 10) for k in range(400)],
    [Fraction(k * k, 100) for k in range(64)],
    [Fraction(k, 10) for k in (*range(90), *range(250, 400))],
], ids=["steady", "ever slower", "a gap"])  # fmt: skip
def test_slots_far_apart_are_sought_and_filled_as_if_all_were_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: list[Fraction]
) -> None:
    path, rate, seen = write_clip(tmp_path / "long.mp4", times, gop=20), Fraction(1, 12), []

    def counted(*arguments: Any) -> Iterator[tuple[float, VideoFrame]]:
        for found in read_frames(*arguments):
            seen.append(found[0])
            yield found

    sought = chosen(path, rate, 5, counted)
    count = len(seen)
    monkeypatch.setattr("tasks.slots.SEEK_STEP_S", 1000.0)
    assert sought == chosen(path, rate, 5)
    assert count < len(times) / 2
