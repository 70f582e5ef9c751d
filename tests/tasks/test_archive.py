"""A night's files are found by their names, placed in true time, and those that can't be are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from footage import write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import listing, storage
from tasks.archive import Found, find_segments, pattern_regex, static_prefix, true_time
from tasks.decode import Header, VideoError
from tasks.slots import night_grid
from tasks.types import NANOSECONDS, Camera

SHANGHAI = Camera("pit", "Pit", "outdoor", "Asia/Shanghai", "pit/%Y-%m-%d/%H-%M-%S.mp4", Fraction(5))
BERLIN = replace(SHANGHAI, timezone="Europe/Berlin")
NIGHT = "2026-01-15"


def ns(text: str) -> int:
    """An ISO time with offset -> nanoseconds."""
    return round(datetime.fromisoformat(text).timestamp()) * NANOSECONDS


def header(seconds: float | None = 60.0, created: datetime | None = None) -> Header:
    return Header(seconds, created, 64, 48, 10.0)


def opens(seconds: float | None = 60.0) -> Callable[[str], Header]:
    return lambda url: header(seconds)


def never(url: str) -> Header:
    raise AssertionError(f"{url} was opened")


def put(root: Path, *names: str) -> str:
    """An archive of files that are never opened. Returns its URL."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"video")
    return f"file://{root}"


def find(camera: Camera, archive: str, probe: Callable[[str], Header] = never, night: str = NIGHT) -> Found:
    grid = night_grid(camera, night)
    return find_segments(camera, archive, grid.start_ns, grid.time_ns(grid.slots), probe)


def names(found: Found, archive: str) -> list[str]:
    return [storage.relative(s.url, archive) for s in found.segments]


MINUTES = replace(SHANGHAI, segment_s=60)


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
    monkeypatch.setattr(listing, "find", lambda url: listed.append(url) or [])
    find(MINUTES, f"file://{tmp_path}")
    days = [url.removeprefix(f"file://{tmp_path}/pit/") for url in listed]
    assert {"2026-01-15", "2026-01-16"} <= set(days) <= {f"2026-01-{d}" for d in (13, 14, 15, 16, 17)}
    assert len(days) == len(set(days))


def test_a_clock_that_is_months_off_lists_the_folders_of_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    monkeypatch.setattr(listing, "find", lambda url: listed.append(url) or [])
    find(replace(MINUTES, clock_offset_s=-100 * 86_400.0), f"file://{tmp_path}")
    assert f"file://{tmp_path}/pit/2026-04-25" in listed
    assert len(listed) <= 5


def test_files_that_do_not_match_are_somebody_elses(tmp_path: Path) -> None:
    own = "pit/2026-01-15/22-00-00.mp4"
    archive = put(tmp_path, own, "pit/2026-01-15/22-01-00.txt", "pit/2026-01-15/notes/22-02-00.mp4", "22-03-00.mp4")
    found = find(MINUTES, archive)
    assert names(found, archive) == [own]
    assert found.problems == ()


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


# Clocks


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


walls = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1))
zones = st.sampled_from(
    ["Asia/Shanghai", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
)


def wall_of(time_ns: int, zone: str) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (epoch + timedelta(microseconds=time_ns // 1000)).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


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


# Problems


@pytest.mark.parametrize(
    "written",
    ["2026-02-30 22-00-00", "2026-13-01 22-00-00", "2026-01-15 24-00-00", "0000-01-15 22-00-00", "2026-01-15 22-00-60",
     "0001-01-01 00-00-00", "9999-12-31 23-59-59"],
)  # fmt: skip
def test_a_name_of_an_impossible_time_is_a_problem(written: str, tmp_path: Path) -> None:
    camera = replace(MINUTES, pattern="pit/%Y-%m-%d %H-%M-%S.mp4")
    archive = put(tmp_path, f"pit/{written}.mp4", "pit/2026-01-15 22-00-00.mp4")
    found = find(camera, archive)
    assert names(found, archive) == ["pit/2026-01-15 22-00-00.mp4"]
    (problem,) = found.problems
    assert problem.url == f"{archive}/pit/{written}.mp4"
    assert re.match(f"its name holds no possible time: {written[:10]}", problem.reason)


@pytest.mark.parametrize("folder", ["..", "."])
def test_an_objects_name_that_leads_elsewhere_is_a_problem(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = put(tmp_path, "pit/2026-01-15/a/22-00-00.mp4")
    (good,) = listing.find(archive)
    bad = replace(good, url=f"{archive}/pit/2026-01-15/{folder}/22-01-00.mp4")
    monkeypatch.setattr(listing, "find", lambda _: [good, bad])
    found = find(replace(MINUTES, pattern="pit/%Y-%m-%d/*/%H-%M-%S.mp4"), archive)
    assert [s.url for s in found.segments] == [good.url]
    assert [(p.url, p.reason[:36]) for p in found.problems] == [(bad.url, "its name leads to another place (a p")]


def test_an_empty_file_is_a_problem(tmp_path: Path) -> None:
    archive = put(tmp_path, "pit/2026-01-15/22-00-00.mp4")
    (tmp_path / "pit/2026-01-15/22-01-00.mp4").touch()
    found = find(MINUTES, archive)
    assert len(found.segments) == 1
    assert [(p.url, p.reason) for p in found.problems] == [
        (f"{archive}/pit/2026-01-15/22-01-00.mp4", "the file is empty (0 bytes)")
    ]


def test_files_that_are_no_videos_are_problems_and_the_others_are_found(tmp_path: Path) -> None:
    good = write_clip(tmp_path / "pit/2026-01-15/22-00-00.mp4", range(3))
    archive = put(tmp_path, "pit/2026-01-15/22-00-10.mp4")
    whole = good.read_bytes()
    (good.parent / "22-00-20.mp4").write_bytes(whole[: whole.index(b"moov")])  # the recorder lost power
    grid = night_grid(SHANGHAI, NIGHT)
    found = find_segments(SHANGHAI, archive, grid.start_ns, grid.time_ns(grid.slots))
    assert [s.url for s in found.segments] == [f"{archive}/pit/2026-01-15/22-00-00.mp4"]
    assert [p.url[-12:] for p in found.problems] == ["22-00-10.mp4", "22-00-20.mp4"]
    assert all(p.reason.startswith("not a readable video (") for p in found.problems)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (VideoError("u", "holds no video stream"), "holds no video stream"),
        (PermissionError("no rights"), "cannot be read: no rights"),
        (TimeoutError("too slow"), "cannot be read: too slow"),
    ],
)
def test_a_file_that_cannot_be_opened_is_a_problem_with_the_reason(
    error: Exception, reason: str, tmp_path: Path
) -> None:
    def probe(url: str) -> Header:
        if "22-01" in url:
            raise error
        return header()

    archive = put(tmp_path, "pit/2026-01-15/22-00-00.mp4", "pit/2026-01-15/22-01-00.mp4")
    found = find(SHANGHAI, archive, probe)
    assert names(found, archive) == ["pit/2026-01-15/22-00-00.mp4"]
    assert [p.reason for p in found.problems] == [reason]


def test_broken_files_of_the_afternoon_are_no_problem_of_the_night(tmp_path: Path) -> None:
    def probe(url: str) -> Header:
        raise VideoError(url, "broken")

    archive = put(tmp_path, "pit/2026-01-15/12-00-00.mp4")
    (tmp_path / "pit/2026-01-15/13-00-00.mp4").touch()
    assert find(SHANGHAI, archive, probe) == Found((), ())


# GoPro

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
