"""What fills a slot depends on the footage alone: the nearest frame, from one file or several, and damage is told.

Not covered: the grid itself (`test_night_grid`), a night that is cut into parts (`test_slots_cut`).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from footage import number_of, paced, write_clip

from tasks.decode import read_frames
from tasks.slots import Damage, FrameReader, SlotFrame, fill_slots
from tasks.types import NANOSECONDS
from tests.tasks.damaged import astray
from tests.tasks.filling import LIMIT, START, fill, filled, grid_of, segment

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


def test_a_file_that_begins_where_a_stretch_ends_tells_its_damage_in_the_next(tmp_path: Path) -> None:
    bad = segment(broken(tmp_path / "bad.mp4"), 2)
    assert fill(grid_of(100), bad, last=10) == []
    assert len(fill(grid_of(100), bad, first=10)) == 1


def test_one_timestamp_far_ahead_of_its_neighbours_hides_no_later_frame(tmp_path: Path) -> None:
    clip = astray(write_clip(tmp_path / "a.mp4", paced(100, 10)), tmp_path / "b.mp4", 50)
    whole = fill(grid_of(60), segment(clip))
    parts = fill(grid_of(60), segment(clip), last=30) + fill(grid_of(60), segment(clip), first=30)
    for events in (whole, parts):
        assert [e.slot for e in events if isinstance(e, SlotFrame)] == list(range(50))
        assert any("far ahead" in e.cause for e in events if isinstance(e, Damage))


def test_a_row_of_timestamps_far_ahead_of_their_neighbours_hides_no_later_frame(tmp_path: Path) -> None:
    clip = astray(write_clip(tmp_path / "a.mp4", paced(100, 10)), tmp_path / "b.mp4", 50, count=6)
    whole = fill(grid_of(60), segment(clip))
    parts = fill(grid_of(60), segment(clip), last=30) + fill(grid_of(60), segment(clip), first=30)
    for events in (whole, parts):
        assert [e.slot for e in events if isinstance(e, SlotFrame)] == [s for s in range(50) if s not in (26, 27)]
        assert any("far ahead" in e.cause for e in events if isinstance(e, Damage))


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


def test_a_slot_that_is_sought_after_the_last_frame_was_shown_stays_empty(tmp_path: Path) -> None:
    # The last frame, of 34.5 s, is shown up to 36 s; the one before it, which tells so, lies beyond the first seek.
    path = write_clip(tmp_path / "a.mp4", [Fraction(3 * k, 2) for k in range(24)])
    assert [slot for slot, _ in chosen(path, Fraction(1, 12), 5)] == [0, 1, 2]
