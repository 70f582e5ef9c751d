"""Archives for the tests of `tasks.archive`: cameras, empty files under dated names, and what is found among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

from tasks import storage
from tasks.archive import Found, find_segments
from tasks.decode import Header
from tasks.slots import night_grid
from tasks.types import NANOSECONDS, Camera

SHANGHAI = Camera("pit", "Pit", "outdoor", "Asia/Shanghai", "pit/%Y-%m-%d/%H-%M-%S.mp4", Fraction(5))
BERLIN = replace(SHANGHAI, timezone="Europe/Berlin")
MINUTES = replace(SHANGHAI, segment_s=60)
"""A camera whose files are never opened, since their length is known."""
NIGHT = "2026-01-15"


def ns(text: str) -> int:
    """An ISO time with offset -> nanoseconds."""
    return round(datetime.fromisoformat(text).timestamp()) * NANOSECONDS


def header(seconds: float | None = 60.0, created: datetime | None = None) -> Header:
    """Of a file of this length; None where it states none."""
    return Header(seconds, created, 64, 48, 10.0)


def opens(seconds: float | None = 60.0) -> Callable[[str], Header]:
    """A probe that finds this length in every file."""
    return lambda url: header(seconds)


def never(url: str) -> Header:
    """A probe that must not be asked."""
    raise AssertionError(f"{url} was opened")


def put(root: Path, *names: str) -> str:
    """An archive of files that are never opened. Returns its URL."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"video")
    return f"file://{root}"


def find(camera: Camera, archive: str, probe: Callable[[str], Header] = never, night: str = NIGHT) -> Found:
    """What an archive holds of a camera's night."""
    grid = night_grid(camera, night)
    return find_segments(camera, archive, grid.start_ns, grid.time_ns(grid.slots), probe)


def names(found: Found, archive: str) -> list[str]:
    """Their paths below the archive, in the order of what was found."""
    return [storage.relative(s.url, archive) for s in found.segments]


def wall_of(time_ns: int, zone: str) -> datetime:
    """What a right clock of the zone shows at a true time."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (epoch + timedelta(microseconds=time_ns // 1000)).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
