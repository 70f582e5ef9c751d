"""A night's files are found by their names: patterns, the folders that are listed, and which files a night needs.

Not covered: clocks (`test_archive_clocks`), files that can't be used (`test_archive_problems`), chapters
(`test_archive_gopro`).
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import listing
from tasks.archive import Found, pattern_regex, static_prefix
from tasks.slots import night_grid
from tasks.types import NANOSECONDS
from tests.tasks.archives import MINUTES, NIGHT, SHANGHAI, find, names, never, ns, opens, put, wall_of

# Patterns


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("%Y%m%d_%H.mp4", ["20260115_22.mp4"], ["20260115_2.mp4", "x20260115_22.mp4", "a/20260115_22.mp4",
                                                "20260115_22.mp4.tmp", "20260115_22xmp4"]),
        ("*/%Y.mp4", ["a/2026.mp4", "/2026.mp4"], ["2026.mp4", "a/b/2026.mp4"]),
        ("*.mp4", ["a b.mp4", ".mp4", "北.mp4"], ["a/b.mp4", "a.MP4"]),
        ("%Y-%m-%d/%Y%m%d.mp4", ["2026-01-15/20260115.mp4"], ["2026-01-15/20260116.mp4"]),
        ("a+b (1) [x] {y} $^|.mp4", ["a+b (1) [x] {y} $^|.mp4"], ["aab (1) [x] {y} $^|.mp4", "a+b 1 x y .mp4"]),
        ("GX{chapter}{clip}.MP4", ["GX010119.MP4"], ["GX01119.MP4", "GH010119.MP4", "GXab0119.MP4"]),
        ("北坡 露天/%Y年%m月%d日.mp4", ["北坡 露天/2026年01月15日.mp4"], ["北坡露天/2026年01月15日.mp4"]),
        ("%S.%f.mp4", ["01.5.mp4", "01.123456.mp4"], ["01..mp4", "01.1234567.mp4"]),
        ("100%/%d%%.mp4", ["100%/15%%.mp4"], ["100%/15%.mp4"]),
    ],
)  # fmt: skip
def test_a_pattern_matches_whole_paths_and_stands_for_itself_but_for_its_tokens(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    regex = pattern_regex(pattern)
    assert [p for p in (*matching, *others) if regex.fullmatch(p)] == matching


@settings(max_examples=100)
@given(st.text(st.characters(exclude_characters="%*{}", exclude_categories=["Cs"]), max_size=20))
def test_text_without_tokens_matches_itself_alone(text: str) -> None:
    assert pattern_regex(text).fullmatch(text)
    assert not pattern_regex(text).fullmatch(text + "x")


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("pit/%Y-%m-%d/%H%M%S.mp4", "pit/2026-01-05"),
        ("pit/%Y/%m/%d/%H/%M.mp4", "pit/2026/01/05"),
        ("pit/%Y%m%d%H/%M.mp4", "pit"),
        ("*/%Y-%m-%d/%H.mp4", ""),
        ("pit/*/%Y-%m-%d/%H.mp4", "pit"),
        ("pit/cam*/%Y.mp4", "pit"),
        ("%Y%m%d_%H%M%S.mp4", ""),
        ("DCIM/100GOPRO/GX{chapter}{clip}.MP4", "DCIM/100GOPRO"),
        ("北坡 1/%Y年/%d.mp4", "北坡 1/2026年"),
    ],
)
def test_the_prefix_is_every_folder_that_the_date_decides(pattern: str, prefix: str) -> None:
    assert static_prefix(pattern, date(2026, 1, 5)) == prefix


def test_only_the_folders_of_the_days_around_the_night_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    monkeypatch.setattr(listing, "find", lambda url, _: listed.append(url) or [])
    find(MINUTES, f"file://{tmp_path}")
    days = [url.removeprefix(f"file://{tmp_path}/pit/") for url in listed]
    assert {"2026-01-15", "2026-01-16"} <= set(days) <= {f"2026-01-{d}" for d in (13, 14, 15, 16, 17)}
    assert len(days) == len(set(days))


def test_a_clock_that_is_months_off_lists_the_folders_of_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    monkeypatch.setattr(listing, "find", lambda url, _: listed.append(url) or [])
    find(replace(MINUTES, clock_offset_s=-100 * 86_400.0), f"file://{tmp_path}")
    assert f"file://{tmp_path}/pit/2026-04-25" in listed
    assert len(listed) <= 5


def test_files_that_do_not_match_are_somebody_elses(tmp_path: Path) -> None:
    own = "pit/2026-01-15/22-00-00.mp4"
    archive = put(tmp_path, own, "pit/2026-01-15/22-01-00.txt", "pit/2026-01-15/notes/22-02-00.mp4", "22-03-00.mp4")
    found = find(MINUTES, archive)
    assert names(found, archive) == [own]
    assert found.problems == ()


@pytest.mark.parametrize("folder", ["", "north/pit/"])
def test_folders_too_deep_for_the_pattern_need_not_be_readable(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = put(tmp_path, f"{folder}pit-2026-01-15-20-00-00.mp4", f"{folder}lost+found/pit-2026-01-15-21-00-00.mp4")
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", closed)
    camera = replace(MINUTES, pattern=f"{folder}pit-%Y-%m-%d-%H-%M-%S.mp4")
    assert names(find(camera, archive), archive) == [f"{folder}pit-2026-01-15-20-00-00.mp4"]


def test_an_archive_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert find(MINUTES, f"file://{tmp_path}/nowhere") == Found((), ())


def test_files_are_found_under_names_of_any_letters(tmp_path: Path) -> None:
    root = tmp_path / "存 档 #1 100% a?b [x]"
    camera = replace(MINUTES, pattern="北坡 (1)+/%Y年%m月%d日/*_%H%M%S.mp4")
    name = "北坡 (1)+/2026年01月15日/主 摄#像%20机?_220000.mp4"
    archive = put(root, name)
    assert names(find(camera, archive), archive) == [name]


def test_files_come_in_the_order_of_time_and_not_of_names(tmp_path: Path) -> None:
    camera = replace(MINUTES, pattern="pit/%S%M%H_%d%m%Y.mp4")
    archive = put(tmp_path, "pit/000123_15012026.mp4", "pit/300022_15012026.mp4", "pit/000001_16012026.mp4")
    assert names(find(camera, archive), archive) == [
        "pit/300022_15012026.mp4", "pit/000123_15012026.mp4", "pit/000001_16012026.mp4",
    ]  # fmt: skip


def test_a_segment_carries_the_files_size_and_tag_and_time_as_written(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-01-15/22-00-05.mp4")
    (segment,) = find(MINUTES, archive).segments
    entry = next(listing.find(archive))
    assert (segment.url, segment.size, segment.etag) == (entry.url, 5, entry.etag)
    assert segment.raw_time == "2026-01-15 22:00:05.000000"


# Which files a night needs


def test_files_of_other_nights_are_left_out(tmp_path: Path) -> None:
    archive = put(
        tmp_path,
        "pit/2026-01-15/17-58-00.mp4",
        "pit/2026-01-15/18-00-00.mp4",
        "pit/2026-01-16/05-59-00.mp4",
        "pit/2026-01-16/06-00-00.mp4",
        "pit/2026-01-16/18-00-00.mp4",
    )
    assert names(find(MINUTES, archive), archive) == ["pit/2026-01-15/18-00-00.mp4", "pit/2026-01-16/05-59-00.mp4"]


def test_a_file_that_reaches_into_the_night_is_found(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-01-15/17-59-01.mp4", "pit/2026-01-15/17-59-00.mp4")
    assert names(find(MINUTES, archive), archive) == ["pit/2026-01-15/17-59-01.mp4"]


@pytest.mark.parametrize(
    "zone", ["Asia/Shanghai", "America/Los_Angeles", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"]
)
@pytest.mark.parametrize("clock", ["local", "utc"])
def test_a_file_of_a_whole_day_that_reaches_into_the_night_is_found_in_every_zone(
    zone: str, clock: str, tmp_path: Path
) -> None:
    camera = replace(SHANGHAI, timezone=zone, clock=clock)
    start = night_grid(camera, NIGHT).start_ns - (23 * 3600 + 1800) * NANOSECONDS
    written = wall_of(start, zone if clock == "local" else "UTC")
    archive = put(tmp_path, f"pit/{written:%Y-%m-%d/%H-%M-%S}.mp4")
    (segment,) = find(camera, archive, opens(24 * 3600.0)).segments
    assert segment.start_ns == start


@pytest.mark.parametrize("day", ["2026-01-12/18-30-00", "2026-01-14/00-00-00"])
def test_files_of_several_days_are_found_where_the_camera_states_their_length(day: str, tmp_path: Path) -> None:
    archive = put(tmp_path, f"pit/{day}.mp4")
    assert len(find(replace(SHANGHAI, segment_s=3 * 86_400.0), archive).segments) == 1


def test_a_file_of_the_day_before_that_ends_before_the_night_is_not_found(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-01-15/12-00-00.mp4")
    assert find(SHANGHAI, archive, opens(5 * 3600.0)) == Found((), ())


# Lengths


def test_files_of_a_camera_of_known_length_are_never_opened(tmp_path: Path) -> None:
    archive = put(tmp_path, *(f"pit/2026-01-15/22-{m:02}-00.mp4" for m in range(5)))
    segments = find(MINUTES, archive, never).segments
    assert [s.end_ns - s.start_ns for s in segments] == [60 * NANOSECONDS] * 5


def test_other_files_are_asked_for_their_length(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-01-15/22-00-00.mp4")
    (segment,) = find(SHANGHAI, archive, opens(12.5)).segments
    assert segment.end_ns - segment.start_ns == 12_500_000_000


def test_a_file_of_unknown_length_ends_where_the_next_begins(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-01-15/22-00-00.mp4", "pit/2026-01-15/22-17-00.mp4")
    first, last = find(SHANGHAI, archive, opens(None)).segments
    assert first.end_ns == last.start_ns
    assert last.end_ns > ns("2026-01-16T06:00:00+08:00")


def test_a_file_of_unknown_length_of_the_evening_before_the_night_reaches_into_it(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-01-15/16-00-00.mp4", "pit/2026-01-15/17-00-00.mp4", "pit/2026-01-15/19-00-00.mp4")
    found = find(SHANGHAI, archive, opens(None))
    assert names(found, archive) == ["pit/2026-01-15/17-00-00.mp4", "pit/2026-01-15/19-00-00.mp4"]


def test_two_files_of_unknown_length_and_one_time_do_not_end_before_they_begin(tmp_path: Path) -> None:
    camera = replace(SHANGHAI, pattern="pit/%Y-%m-%d/%H-%M-%S_*.mp4")
    archive = put(tmp_path, "pit/2026-01-15/22-00-00_a.mp4", "pit/2026-01-15/22-00-00_b.mp4")
    found = find(camera, archive, opens(None))
    assert len(found.segments) == 2
    assert all(s.end_ns > s.start_ns for s in found.segments)
