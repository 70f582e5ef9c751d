"""The time in a file's name becomes true time: zones, wrong clocks, and the nights on which clocks change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.archive import true_time
from tasks.types import NANOSECONDS, Camera
from tests.tasks.archives import BERLIN, NIGHT, SHANGHAI, find, ns, put, wall_of


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
