"""GoPro's chapters, whose names hold no time, are placed in order by their headers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from footage import write_clip

from tasks.archive import Found, find_segments
from tasks.decode import Header
from tasks.slots import night_grid
from tasks.types import NANOSECONDS, Camera
from tests.tasks.archives import BERLIN, NIGHT, SHANGHAI, find, header, names, ns, put

BERLIN_GOPRO = replace(BERLIN, pattern="DCIM/GX{chapter}{clip}.MP4")
FALL_BACK = "2026-10-24"
"""In Berlin 02:00 to 03:00 of the next morning comes twice: from midnight UTC and from 01:00 UTC."""
GOPRO = replace(SHANGHAI, pattern="DCIM/GX{chapter}{clip}.MP4")


def probe_of(table: dict[str, tuple[float | None, str]]) -> Callable[[str], Header]:
    """A probe by file name: (seconds, creation time)."""

    def probe(url: str) -> Header:
        seconds, created = table[url.rpartition("/")[2]]
        return header(seconds, datetime.fromisoformat(created) if created else None)

    return probe


def gopro(tmp_path: Path, table: dict[str, tuple[float | None, str]], camera: Camera = GOPRO) -> Found:
    return find(camera, put(tmp_path, *(f"DCIM/{name}" for name in table)), probe_of(table))


def test_chapters_follow_one_another_and_are_not_mixed_with_other_clips(tmp_path: Path) -> None:
    table = {
        "GX010119.MP4": (600.0, "2026-01-15T22:00:00Z"),
        "GX010120.MP4": (300.0, "2026-01-15T23:00:00Z"),
        "GX020119.MP4": (600.0, "2026-01-15T22:00:00Z"),
        "GX030119.MP4": (100.0, "2026-01-15T22:00:00Z"),
    }
    found = gopro(tmp_path, table)
    assert found.problems == ()
    assert [s.url[-12:-4] for s in found.segments] == ["GX010119", "GX020119", "GX030119", "GX010120"]
    minutes = [(s.start_ns - ns("2026-01-15T22:00:00+08:00")) / 60 / NANOSECONDS for s in found.segments]
    assert minutes == [0, 10, 20, 60]
    assert [s.raw_time for s in found.segments][:2] == ["2026-01-15T22:00:00+00:00", "chapter 2 of clip 0119"]


def test_chapters_are_placed_by_the_headers_of_real_files(tmp_path: Path) -> None:
    for name, created in (("GX010119", "22:00:00"), ("GX020119", "22:00:00"), ("GX010120", "23:00:00")):
        stamp = {"creation_time": f"2026-01-15T{created}.000000Z"}
        write_clip(tmp_path / f"DCIM/{name}.MP4", [k / 10 for k in range(15)], metadata=stamp, container="mp4")
    grid = night_grid(GOPRO, NIGHT)
    found = find_segments(GOPRO, f"file://{tmp_path}", grid.start_ns, grid.time_ns(grid.slots))
    assert found.problems == ()
    seconds = [(s.start_ns - ns("2026-01-15T22:00:00+08:00")) / NANOSECONDS for s in found.segments]
    assert seconds == pytest.approx([0, 1.5, 3600], abs=0.01)


def test_creation_times_are_read_by_the_cameras_clock(tmp_path: Path) -> None:
    table = {"GX010119.MP4": (60.0, "2026-01-15T14:00:00Z")}
    found = gopro(tmp_path, table, replace(GOPRO, clock="utc", clock_offset_s=7.0))
    assert found.segments[0].start_ns == ns("2026-01-15T22:00:07+08:00")


def test_a_clip_number_that_returns_in_another_folder_is_another_clip(tmp_path: Path) -> None:
    camera = replace(GOPRO, pattern="*/GX{chapter}{clip}.MP4")
    archive = put(tmp_path, "a/GX010001.MP4", "a/GX020001.MP4", "b/GX010001.MP4", "b/GX020001.MP4")
    found = find(camera, archive, lambda url: header(600.0, datetime(2026, 1, 15, 22 if "/a/" in url else 23)))
    assert names(found, archive) == ["a/GX010001.MP4", "a/GX020001.MP4", "b/GX010001.MP4", "b/GX020001.MP4"]


def test_clips_whose_numbers_began_anew_come_in_the_order_of_time(tmp_path: Path) -> None:
    table = {"GX010001.MP4": (60.0, "2026-01-15T23:00:00Z"), "GX019999.MP4": (60.0, "2026-01-15T22:00:00Z")}
    assert [s.url[-12:] for s in gopro(tmp_path, table).segments] == ["GX019999.MP4", "GX010001.MP4"]


@pytest.mark.parametrize("lost", ["GX010119.MP4", "GX020119.MP4"])
def test_a_chapter_after_a_lost_one_is_a_problem_rather_than_at_a_wrong_time(lost: str, tmp_path: Path) -> None:
    table = {f"GX0{k}0119.MP4": (600.0, "2026-01-15T22:00:00Z") for k in (1, 2, 3)}
    del table[lost]
    found = gopro(tmp_path, table)
    assert [s.url[-12:] for s in found.segments] == [n for n in table if n < lost]
    assert [p.url[-12:] for p in found.problems] == [n for n in table if n > lost]
    assert found.problems[0].reason == f"when it begins is unknown: chapter {lost[3]} of its clip is not usable"


@pytest.mark.parametrize("created", ["", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"])
def test_a_file_that_says_nowhere_when_it_was_recorded_is_a_problem(created: str, tmp_path: Path) -> None:
    found = gopro(tmp_path, {"GX010119.MP4": (60.0, created)})
    assert found.segments == ()
    assert [p.reason for p in found.problems] == ["neither its name nor its header says when it was recorded"]


def test_clips_of_other_nights_are_left_out(tmp_path: Path) -> None:
    table = {
        "GX010001.MP4": (600.0, "2026-01-14T22:00:00Z"),
        "GX010002.MP4": (600.0, "2026-01-15T22:00:00Z"),
        "GX010003.MP4": (600.0, "2026-01-16T22:00:00Z"),
    }
    assert [s.url[-12:] for s in gopro(tmp_path, table).segments] == ["GX010002.MP4"]


OF_OTHER_TIMES: dict[str, tuple[float | None, str]] = {
    "GX010001.MP4": (600.0, "2025-10-26T02:10:00Z"),
    "GX010002.MP4": (600.0, "2025-10-26T02:15:00Z"),
    "GX010999.MP4": (600.0, "2027-07-01T12:00:00Z"),
}
"""Clips that no folder of their day keeps apart from the others; the first two meet in an hour that clocks repeat."""


def repeated(
    tmp_path: Path, written: dict[str, str], table: dict[str, tuple[float | None, str]], night: str = FALL_BACK
) -> Found:
    """Clips of the morning of 25 October in Berlin, by name: when written, in UTC; seconds and time of the header."""
    times = {name: (seconds, f"2026-10-25T{clock}Z") for name, (seconds, clock) in table.items()}
    archive = put(tmp_path, *(f"DCIM/{name}" for name in (*table, *OF_OTHER_TIMES)))
    for name in table:
        modified = datetime.fromisoformat(f"2026-10-25T{written[name]}:00+00:00").timestamp()
        os.utime(tmp_path / f"DCIM/{name}", (modified, modified))
    return find(BERLIN_GOPRO, archive, probe_of(times | OF_OTHER_TIMES), night)


ONE_CLIP_OVER_ANOTHER: dict[str, tuple[float | None, str]] = {
    "GX010119.MP4": (1200.0, "02:10:00"),
    "GX020119.MP4": (600.0, "02:10:00"),
    "GX010120.MP4": (300.0, "02:35:00"),
    "GX020120.MP4": (300.0, "02:35:00"),
}
"""The second begins within the first one's other chapter."""


def test_clips_that_meet_in_the_repeated_hour_are_told_apart_by_when_they_were_written(tmp_path: Path) -> None:
    written = dict(zip(ONE_CLIP_OVER_ANOTHER, ("00:30", "00:40", "01:40", "01:45"), strict=True))
    found = repeated(tmp_path, written, ONE_CLIP_OVER_ANOTHER)
    assert found.problems == ()
    begin = [datetime.fromtimestamp(s.start_ns // NANOSECONDS, UTC) for s in found.segments]
    assert [f"{b:%H:%M}" for b in begin] == ["00:10", "00:30", "01:35", "01:40"]


def test_a_clip_that_meets_another_in_the_repeated_hour_is_a_problem_where_copying_left_no_time_of_writing(
    tmp_path: Path,
) -> None:
    found = repeated(tmp_path, dict.fromkeys(ONE_CLIP_OVER_ANOTHER, "05:00"), ONE_CLIP_OVER_ANOTHER)
    assert [s.url[-12:] for s in found.segments] == ["GX010119.MP4", "GX020119.MP4"]
    assert [p.url[-12:] for p in found.problems] == ["GX010120.MP4", "GX020120.MP4"]
    assert "an hour that clocks repeat, and GX010119.MP4 fills it: which came first" in found.problems[0].reason
    assert found.problems[1].reason == "when it begins is unknown: GX010120.MP4 of its clip is not usable"


def test_the_night_after_is_not_told_of_the_hour_that_clocks_repeated_before_it(tmp_path: Path) -> None:
    found = repeated(tmp_path, dict.fromkeys(ONE_CLIP_OVER_ANOTHER, "05:00"), ONE_CLIP_OVER_ANOTHER, "2026-10-25")
    assert found == Found((), ())


def test_a_clip_that_goes_on_into_the_repeated_hour_has_no_doubtful_chapter(tmp_path: Path) -> None:
    table: dict[str, tuple[float | None, str]] = {
        "GX010119.MP4": (1200.0, "01:50:00"),
        "GX020119.MP4": (600.0, "01:50:00"),
    }
    found = repeated(tmp_path, dict.fromkeys(table, "05:00"), table)
    begin = [datetime.fromtimestamp(s.start_ns // NANOSECONDS, UTC) for s in found.segments]
    assert [f"{b:%H:%M}" for b in begin] == ["23:50", "00:10"]
