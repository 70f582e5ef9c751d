"""The time in a file's name becomes true time: zones, wrong clocks, and the nights on which clocks change."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.archive import true_time
from tasks.types import NANOSECONDS, Camera
from tests.tasks.archives import BERLIN, NIGHT, SHANGHAI, find, ns, opens, put, wall_of


def start_of(camera: Camera, tmp_path: Path, name: str, night: str = NIGHT) -> int:
    found = find(replace(camera, segment_s=60), put(tmp_path, name), night=night)
    assert found.problems == ()
    (segment,) = found.segments
    return segment.start_ns


def test_a_local_clock_is_read_in_the_cameras_zone(tmp_path: Path) -> None:
    assert start_of(SHANGHAI, tmp_path, "pit/2026-01-15/22-00-00.mp4") == ns("2026-01-15T22:00:00+08:00")


def test_a_utc_clock_is_read_as_it_stands(tmp_path: Path) -> None:
    camera = replace(SHANGHAI, clock="utc")
    assert start_of(camera, tmp_path, "pit/2026-01-15/14-00-00.mp4") == ns("2026-01-15T22:00:00+08:00")


@pytest.mark.parametrize("offset", [-90.0, 3600.0, 0.25, 40 * 86_400.0, -300 * 86_400.0])
def test_a_wrong_clock_is_set_right(offset: float, tmp_path: Path) -> None:
    true = datetime(2026, 1, 15, 22)
    written = true - timedelta(seconds=offset)
    camera = replace(SHANGHAI, clock_offset_s=offset, pattern="pit/%Y-%m-%d/%H-%M-%S.%f.mp4")
    name = f"pit/{written:%Y-%m-%d/%H-%M-%S.%f}.mp4"
    assert start_of(camera, tmp_path, name) == ns("2026-01-15T22:00:00+08:00")


@pytest.mark.parametrize(("written", "micro"), [("5", 500_000), ("05", 50_000), ("123", 123_000), ("000001", 1)])
def test_fractions_of_a_second_are_read_exactly(written: str, micro: int, tmp_path: Path) -> None:
    camera = replace(SHANGHAI, pattern="pit/%Y%m%d%H%M%S_%f.mp4")
    start = start_of(camera, tmp_path, f"pit/20260115220000_{written}.mp4")
    assert start == ns("2026-01-15T22:00:00+08:00") + micro * 1000


@pytest.mark.parametrize(("pattern", "hour"), [("pit/%Y-%m-%d/%H.mp4", 22), ("pit/%Y-%m-%d.mp4", 0)])
def test_what_a_name_leaves_out_of_its_time_is_zero(pattern: str, hour: int, tmp_path: Path) -> None:
    start = start_of(replace(SHANGHAI, pattern=pattern), tmp_path, f"pit/2026-01-{'15/22' if hour else '16'}.mp4")
    assert start == ns(f"2026-01-{15 if hour else 16}T{hour:02}:00:00+08:00")


walls = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1))
zones = st.sampled_from(
    ["Asia/Shanghai", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
)


@settings(max_examples=200)
@given(walls, zones)
def test_a_wall_time_comes_back_from_its_true_time(wall: datetime, zone: str) -> None:
    time_ns = true_time(wall, replace(SHANGHAI, timezone=zone))
    assert time_ns % 1000 == 0
    aware = wall.replace(tzinfo=ZoneInfo(zone))
    if aware.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) == wall:  # no hour left out
        assert wall_of(time_ns, zone) == wall


@settings(max_examples=50)
@given(walls, st.integers(-(10**7), 10**7))
def test_an_offset_moves_the_true_time_by_itself(wall: datetime, offset: int) -> None:
    moved = true_time(wall, replace(SHANGHAI, clock_offset_s=float(offset)))
    assert moved - true_time(wall, SHANGHAI) == offset * NANOSECONDS


def test_of_two_readings_when_clocks_fall_back_the_first_is_taken(tmp_path: Path) -> None:
    assert start_of(BERLIN, tmp_path, "pit/2026-10-25/02-30-00.mp4", "2026-10-24") == ns("2026-10-25T02:30:00+02:00")


def test_after_clocks_fell_back_the_later_offset_holds(tmp_path: Path) -> None:
    assert start_of(BERLIN, tmp_path, "pit/2026-10-25/03-00-00.mp4", "2026-10-24") == ns("2026-10-25T03:00:00+01:00")


def test_a_time_that_clocks_left_out_is_read_as_if_they_had_not(tmp_path: Path) -> None:
    assert start_of(BERLIN, tmp_path, "pit/2026-03-29/02-30-00.mp4", "2026-03-28") == ns("2026-03-29T02:30:00+01:00")


def test_files_around_spring_forward_follow_one_another(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-03-29/01-59-00.mp4", "pit/2026-03-29/03-00-00.mp4")
    before, after = find(replace(BERLIN, segment_s=60), archive, night="2026-03-28").segments
    assert before.end_ns == after.start_ns


# The hour that clocks repeat

FALL_BACK = "2026-10-24"
"""In Berlin 02:00 to 03:00 of the next morning comes twice: from midnight UTC and from 01:00 UTC."""


def recorded(root: Path, *files: tuple[str, str]) -> str:
    """An archive of files that begin at times of the morning of 25 October, each written at a time in UTC."""
    for name, written in files:
        archive = put(root, f"pit/2026-10-25/{name}.mp4")
        modified = datetime.fromisoformat(f"2026-10-25T{written}:00+00:00").timestamp()
        os.utime(root / f"pit/2026-10-25/{name}.mp4", (modified, modified))
    return archive


def starts(archive: str, minutes: int) -> dict[str, str]:
    """The true time, in UTC, at which each file begins; no file is a problem."""
    found = find(replace(BERLIN, segment_s=60 * minutes), archive, night=FALL_BACK)
    assert found.problems == ()
    return {s.url[-12:-4]: f"{datetime.fromtimestamp(s.start_ns // NANOSECONDS, UTC):%H:%M:%S}" for s in found.segments}


def test_of_two_files_of_the_repeated_hour_the_one_that_was_written_later_is_of_its_second_time(tmp_path: Path) -> None:
    archive = recorded(tmp_path, ("02-30-20", "00:40"), ("02-30-00", "01:40"))
    assert starts(archive, 10) == {"02-30-20": "00:30:20", "02-30-00": "01:30:00"}


def test_files_without_a_break_through_both_hours_follow_one_another(tmp_path: Path) -> None:
    first = [(f"02-{m}-00", f"00:{m + 9}") for m in range(10, 60, 10)]
    second = [(f"02-{m}-05", f"01:{m + 9}") for m in range(10, 60, 10)]
    begin = starts(recorded(tmp_path, ("01-50-00", "00:00"), *first, *second, ("03-00-05", "02:10")), 10)
    assert list(begin.values()) == [
        "23:50:00", *(f"00:{m}:00" for m in range(10, 60, 10)), *(f"01:{m}:05" for m in range(10, 60, 10)), "02:00:05",
    ]  # fmt: skip


def test_a_file_that_reaches_into_the_repeated_hour_has_had_its_first_time(tmp_path: Path) -> None:
    archive = recorded(tmp_path, ("01-30-00", "00:30"), ("02-10-00", "02:10"))
    assert starts(archive, 60) == {"01-30-00": "23:30:00", "02-10-00": "01:10:00"}


def test_files_of_the_repeated_hour_that_do_not_meet_are_of_its_first_time(tmp_path: Path) -> None:
    archive = recorded(tmp_path, ("02-00-00", "00:10"), ("02-10-00", "00:20"), ("02-40-00", "00:50"))
    assert list(starts(archive, 10).values()) == ["00:00:00", "00:10:00", "00:40:00"]


def test_that_nothing_tells_which_time_of_the_repeated_hour_is_meant_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    find(
        replace(BERLIN, segment_s=600),
        recorded(tmp_path, ("02-00-00", "00:10"), ("02-40-00", "00:50")),
        night=FALL_BACK,
    )
    (line,) = caplog.messages
    assert line.startswith("pit: 2 files bear times of the hour that clocks repeat")
    assert line.endswith("taken for its first")


def test_files_that_fill_both_times_of_the_repeated_hour_leave_nothing_to_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    starts(recorded(tmp_path, ("02-30-20", "00:40"), ("02-30-00", "01:40")), 10)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("length_s", "second", "told"),
    [(600, "02-09-55", False), (600, "02-09-45", True), (12, "02-00-10", False), (12, "02-00-06", True)],
)
def test_files_in_the_repeated_hour_that_overlap_by_seconds_only_are_one_recording(
    length_s: int, second: str, told: bool, tmp_path: Path
) -> None:
    archive = recorded(tmp_path, ("02-00-00", "05:00"), (second, "05:00"))
    found = find(replace(BERLIN, segment_s=length_s), archive, night=FALL_BACK)
    assert bool(found.problems) == told


def test_a_clock_that_is_set_back_a_little_in_the_repeated_hour_does_not_begin_its_second_time(tmp_path: Path) -> None:
    archive = recorded(tmp_path, ("02-00-00", "00:10"), ("02-09-00", "00:19"))
    (problem,) = find(replace(BERLIN, segment_s=600), archive, night=FALL_BACK).problems
    assert "which came first is unknown" in problem.reason


def test_the_repeated_hour_is_found_by_what_a_wrong_clock_shows(tmp_path: Path) -> None:
    archive = recorded(tmp_path, ("02-30-00", "01:40"), ("02-30-20", "02:40"))
    camera = replace(BERLIN, segment_s=600, clock_offset_s=3600)
    begin = [s.start_ns for s in find(camera, archive, night=FALL_BACK).segments]
    assert [ns("2026-10-25T01:30:00+00:00"), ns("2026-10-25T02:30:20+00:00")] == begin


def test_files_that_overlap_in_another_hour_are_left_where_they_are(tmp_path: Path) -> None:
    archive = recorded(tmp_path, ("03-30-00", "02:40"), ("03-30-05", "03:40"))
    assert list(starts(archive, 10).values()) == ["02:30:00", "02:30:05"]


def test_files_of_unknown_length_last_until_the_next_one_of_their_own_hour(tmp_path: Path) -> None:
    files = ("02-00-00", "00:09"), ("02-10-00", "00:19"), ("02-00-20", "01:09"), ("02-10-20", "01:19")
    segments = find(BERLIN, recorded(tmp_path, *files), opens(None), FALL_BACK).segments
    assert [(b.start_ns - a.start_ns) // NANOSECONDS for a, b in pairwise(segments)] == [600, 3020, 600]
    assert [a.end_ns for a in segments[:-1]] == [b.start_ns for b in segments[1:]]


def test_a_clock_that_is_utc_repeats_no_hour(tmp_path: Path) -> None:
    archive = recorded(tmp_path, ("00-30-00", "00:40"), ("00-30-20", "01:40"))
    found = find(replace(BERLIN, segment_s=600, clock="utc"), archive, night=FALL_BACK)
    assert [s.start_ns - found.segments[0].start_ns for s in found.segments] == [0, 20 * NANOSECONDS]


@pytest.mark.parametrize("written", [("05:00", "05:00"), ("05:00", "05:01")], ids=["at once", "one after the other"])
def test_where_copying_left_no_time_of_writing_a_file_that_meets_another_in_the_repeated_hour_is_a_problem(
    written: tuple[str, str], tmp_path: Path
) -> None:
    archive = recorded(tmp_path, ("02-30-00", written[0]), ("02-30-20", written[1]))
    found = find(replace(BERLIN, segment_s=600), archive, night=FALL_BACK)
    assert [s.url[-12:-4] for s in found.segments] == ["02-30-00"]
    (problem,) = found.problems
    assert problem.url.endswith("02-30-20.mp4")
    assert "an hour that clocks repeat, and 02-30-00.mp4 fills it: which came first is unknown" in problem.reason


def test_files_of_the_repeated_hour_in_no_order_of_writing_are_problems_where_they_meet(tmp_path: Path) -> None:
    names = ("02-00-00", "02-00-20", "02-10-00", "02-10-20")
    archive = recorded(tmp_path, *((name, f"0{k + 3}:00") for k, name in enumerate(names)))
    found = find(replace(BERLIN, segment_s=600), archive, night=FALL_BACK)
    assert [s.url[-12:-4] for s in found.segments] == ["02-00-00", "02-10-00"]
    assert [p.url[-12:-4] for p in found.problems] == ["02-00-20", "02-10-20"]
