"""A camera and an archive of files that are never opened, for the tests of `tasks.plan`."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from tasks.decode import Header
from tasks.plan import plan_night
from tasks.settings import NightSettings
from tasks.types import NANOSECONDS, Camera, NightPlan, Segment

CAMERA = Camera("pit", "Pit", "outdoor", "UTC", "pit/%H%M%S_%Y%m%d.mp4", Fraction(5), "20:00", "23:00", segment_s=10)
NIGHT = "2026-01-15"
SMALL = NightSettings(shard_mb=1, shard_least=4, shard_most=100, item_slots=300)
START = 1_768_507_200 * NANOSECONDS
"""2026-01-15 20:00 UTC."""
HOUR = 3600


def opens(height: int = 720, width: int = 1280) -> Callable[[str], Header]:
    """A probe that finds frames of this size in every file."""
    return lambda url: Header(None, None, width, height, 25.0)


def put(root: Path, seconds: range, suffix: str = "") -> str:
    """Files that begin so many seconds after the night does."""
    (root / "pit").mkdir(parents=True, exist_ok=True)
    for s in seconds:
        (root / "pit" / f"{20 + s // HOUR:02}{s // 60 % 60:02}{s % 60:02}_20260115{suffix}.mp4").write_bytes(b"video")
    return f"file://{root}"


def plan(
    archive: str,
    camera: Camera = CAMERA,
    settings: NightSettings = SMALL,
    probe: Callable[[str], Header] | None = None,
    store: str = "file:///store",
) -> NightPlan:
    """The plan of that camera's night."""
    return plan_night(camera, NIGHT, archive, store, settings, probe or opens())


def segment(begin: float, end: float, name: str = "a.mp4", etag: str = "1") -> Segment:
    """A file from so many seconds after the night begins to so many."""
    start = START + round(begin * NANOSECONDS)
    return Segment(f"file:///archive/{name}", etag, 9, start, "", START + round(end * NANOSECONDS))
