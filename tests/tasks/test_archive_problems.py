"""A file that can't be used is told with its reason and never stops the others.

What is found damaged while it is read: `test_decode_damage`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from footage import write_clip

from tasks import listing, storage
from tasks.archive import Found, find_segments
from tasks.decode import Header, VideoError
from tasks.slots import night_grid
from tests.tasks.archives import MINUTES, NIGHT, SHANGHAI, find, header, names, put


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
    monkeypatch.setattr(listing, "find", lambda *_: [good, bad])
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


def test_a_dead_archive_is_no_problem_of_a_file(tmp_path: Path) -> None:
    def probe(url: str) -> Header:
        raise storage.StorageError(f"{url}: failed 8 times")

    archive = put(tmp_path, "pit/2026-01-15/22-00-00.mp4")
    with pytest.raises(storage.StorageError, match="failed 8 times"):
        find(SHANGHAI, archive, probe)


def test_an_empty_file_that_begins_as_the_night_does_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "pit/2026-01-15").mkdir(parents=True)
    (tmp_path / "pit/2026-01-15/18-00-00.mp4").touch()
    assert len(find(SHANGHAI, f"file://{tmp_path}").problems) == 1


def test_broken_files_of_the_day_are_no_problem_of_the_night(tmp_path: Path) -> None:
    def probe(url: str) -> Header:
        raise VideoError(url, "broken")

    archive = put(tmp_path, "pit/2026-01-15/12-00-00.mp4", "pit/2026-01-16/06-00-00.mp4")
    (tmp_path / "pit/2026-01-15/13-00-00.mp4").touch()
    assert find(SHANGHAI, archive, probe) == Found((), ())


def test_a_broken_file_of_the_evening_that_may_reach_into_the_night_is_a_problem(tmp_path: Path) -> None:
    def probe(url: str) -> Header:
        if "-50-00" in url:
            raise VideoError(url, "broken")
        return header(3600.0)

    archive = put(tmp_path, *(f"pit/2026-01-15/{time}.mp4" for time in ("16-50-00", "17-50-00", "18-50-05")))
    assert [p.url[-12:] for p in find(SHANGHAI, archive, probe).problems] == ["17-50-00.mp4"]


@pytest.mark.parametrize(("time", "told"), [("17-58-59", False), ("17-59-00", False), ("17-59-01", True)])
def test_an_empty_file_is_a_problem_of_the_nights_that_its_stated_length_reaches(
    time: str, told: bool, tmp_path: Path
) -> None:
    (tmp_path / "pit/2026-01-15").mkdir(parents=True)
    (tmp_path / f"pit/2026-01-15/{time}.mp4").touch()
    assert len(find(MINUTES, f"file://{tmp_path}").problems) == told


def test_a_file_of_unknown_length_makes_no_problem_of_the_days_broken_ones(tmp_path: Path) -> None:
    def probe(url: str) -> Header:
        if "12-00" in url:
            raise VideoError(url, "broken")
        return header(None)

    archive = put(tmp_path, "pit/2026-01-15/12-00-00.mp4", "pit/2026-01-15/22-00-00.mp4")
    assert find(SHANGHAI, archive, probe).problems == ()
