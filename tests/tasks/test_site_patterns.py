"""cameras.toml as people write it: patterns that can't be what was meant are refused, an editor's marks do no harm.

Everything else of the file: `test_site`. What a pattern matches: `test_archive`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.site import Site, SiteError, parse_site, read_site

NORTH = {
    "id": "north", "name": "North", "scene": "outdoor", "timezone": "Asia/Shanghai",
    "pattern": "north/%Y-%m-%d/%H%M%S.mp4", "rate": 5,
}  # fmt: skip


def site_of(*cameras: dict[str, Any]) -> Site:
    return parse_site({"camera": [{**NORTH, **c} for c in cameras]}, "mine/cameras.toml")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("./north/%Y.mp4", "must stay below the archive; write it relative, without . or .."),
        ("north/%y%m%d_%T.mp4", "holds %y, %T, which no name would fit"),
    ],
)
def test_a_pattern_that_fits_no_file_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(SiteError) as refused:
        site_of({"pattern": pattern})
    assert str(refused.value).startswith("mine/cameras.toml, camera 1: pattern")
    assert words in str(refused.value)


def test_percent_signs_of_a_name_may_stand() -> None:
    assert site_of({"pattern": "50% off/100%25/%%Y.mp4"}).cameras[0].pattern == "50% off/100%25/%%Y.mp4"


@pytest.mark.parametrize(
    ("pattern", "other"),
    [
        ("*/%Y-%m-%d/%H%M%S.mp4", "south/%Y-%m-%d/%H%M%S.mp4"),
        ("pit*/%Y%m%d.mp4", "pit-2/%Y%m%d.mp4"),
        ("*_%Y%m%d_%H%M%S*", "south_%Y%m%d_%H%M%S_*.mp4"),
        ("*", "GX{chapter}{clip}.MP4"),
    ],
)
def test_a_pattern_that_catches_another_cameras_files_is_refused(pattern: str, other: str) -> None:
    for order in (1, -1):
        with pytest.raises(SiteError, match=r"mine/cameras\.toml: camera wide: .* also catches the files of south"):
            site_of(*[{"id": "wide", "pattern": pattern}, {"id": "south", "pattern": other}][::order])


def test_a_camera_with_anothers_pattern_and_hours_is_refused() -> None:
    with pytest.raises(SiteError, match=r"camera south: its pattern 'north/.*' and hours are those of north"):
        site_of({}, {"id": "south"})


def test_one_cameras_files_may_be_of_two_shifts() -> None:
    assert len(site_of({}, {"id": "north-day", "start": "06:00", "end": "18:00"}).cameras) == 2


def test_patterns_that_part_their_files_are_taken() -> None:
    patterns = ["north/%Y%m%d/*.mp4", "north/%Y-%m-%d/*.mp4", "south/%Y%m%d/*.mp4", "*/%H.mp4", "GX{chapter}{clip}.MP4"]
    site = site_of(*({"id": f"c{k}", "pattern": pattern} for k, pattern in enumerate(patterns)))
    assert [c.pattern for c in site.cameras] == patterns


def test_a_mark_before_the_text_is_no_part_of_it(tmp_path: Path) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in NORTH.items()]
    (tmp_path / "cameras.toml").write_text("\n".join(["[[camera]]", *lines]), encoding="utf-8-sig")
    assert read_site(str(tmp_path / "cameras.toml")).cameras[0].id == NORTH["id"]


def test_a_file_in_another_encoding_is_told_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "cameras.toml").write_text('[[camera]]\nname = "北坡"', encoding="gbk")
    with pytest.raises(SiteError, match=r"cameras\.toml: not a TOML file: not UTF-8 .*; save it as UTF-8"):
        read_site(str(tmp_path / "cameras.toml"))
