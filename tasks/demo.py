"""The embedded sample archive: two drawn scenes, filmed and degraded by our own synthesis, so that the truth is known.

Covers the cameras, their recorders' files, cameras.toml and the truth. Not covered: what is filmed
(`tasks.demo_scene`), how (`tasks.demo_film`), and what is then done with the archive.

    python -m tasks.demo OUT

    OUT/cameras.toml
    OUT/archive/pit-north/2026-01-15/22-00-00.mp4 ...    local clock; the last file of the night is broken
    OUT/archive/NVR2/silo1_20260115T140000Z.mp4 ...      UTC clock
    OUT/truth/<camera>.zarr       group: frames uint8 (time, y, x, channel), sRGB; time_ns int64, Unix, UTC
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import torch
import zarr

from lednet.degrade import Recipe
from tasks import storage
from tasks.demo_draw import Picture
from tasks.demo_film import Film, write_video
from tasks.demo_scene import HEIGHT, WIDTH, make_scene
from tasks.types import NANOSECONDS

log = logging.getLogger(__name__)

START = "22:00:00"
"""Local time of day at which the night begins."""
GAP_S = 2.0
"""Without footage between a camera's two segments; longer where whole seconds, as in the file names, need it."""
BROKEN_S = 2.0
"""Of the night after the second segment: where the broken file stands."""
BROKEN_SHARE = 0.5
"""Of the broken file's bytes are there; its index, at its end, is not."""
SLOTS_A_SECOND = 5
HEADER = "# The sample that `lednet demo` films by itself; written anew each time."


@dataclass(frozen=True)
class DemoCamera:
    """A camera of the sample: its entry in cameras.toml and the night that it sees."""

    id: str
    name: str
    scene: Literal["outdoor", "indoor"]
    timezone: str
    pattern: str
    clock: Literal["local", "utc"]
    recipe: Recipe
    broken: bool = False
    """Whether a third file, cut off in the middle, stands in its archive."""


CAMERAS = (
    DemoCamera(
        "pit-north",
        "Pit, north face",
        "outdoor",
        "Asia/Shanghai",
        "pit-north/%Y-%m-%d/%H-%M-%S.mp4",
        "local",
        Recipe(
            "demo pit",
            gain=(0.8, 0.8),
            gamma=(2.3, 2.3),
            highlight_boost=(5.0, 5.0),
            shot_noise=(0.0012, 0.0012),
            read_noise=(0.0012, 0.0012),
        ),
        broken=True,
    ),
    DemoCamera(
        "silo-1",
        "Silo 1, receiving hall",
        "indoor",
        "Asia/Shanghai",
        "NVR2/silo1_%Y%m%dT%H%M%SZ.mp4",
        "utc",
        Recipe(
            "demo silo",
            gain=(0.75, 0.75),
            gamma=(2.4, 2.4),
            highlight_boost=(4.0, 4.0),
            shot_noise=(0.0016, 0.0016),
            read_noise=(0.0014, 0.0014),
        ),
    ),
)


@dataclass(frozen=True)
class DemoArchive:
    """Where the sample stands."""

    archive: str
    """URL of the archive: what the cameras' patterns are relative to."""
    cameras_toml: Path
    truth: dict[str, Path]
    """Camera id -> Zarr group of the sharp, well-lit frames and their times."""
    night: str
    """Local date on which the night starts, YYYY-MM-DD."""


@dataclass(frozen=True)
class Footage:
    """When a camera films: the same for all cameras of the sample."""

    frames: int
    """Of each segment."""
    starts_s: tuple[int, int]
    """Of the two segments, after the night's start."""
    broken_s: int
    """Start of the broken one."""
    end_s: int
    """The night's end."""


def build_demo_archive(
    root: Path,
    seconds: float = 8.0,
    fps: int = 10,
    subframes: int = 8,
    seed: int = 0,
    night: str = "2026-01-15",
    width: int = WIDTH,
    height: int = HEIGHT,
) -> DemoArchive:
    """Film the sample into a folder; one that an earlier call filled is emptied first.

    Args:
        seconds: of footage a camera, in two segments.
        fps: frames a second that the recorders keep.
        subframes: sharp pictures that each frame's exposure, all of 1 / fps, is averaged from.
        width, height: of the frames, even.

    Raises:
        ValueError: for a size, rate or length that cannot be filmed.
        FileExistsError: if the folder holds an archive that is not the demo's.
    """
    if width % 2 or height % 2 or min(width, height, fps, subframes) < 1 or round(seconds / 2 * fps) < 1:
        raise ValueError(
            f"cannot film {seconds} s of {width} x {height} at {fps} x {subframes} a second; "
            "width and height must be even, and each segment one frame at least"
        )
    half = math.ceil(seconds / 2)
    second = math.ceil(seconds / 2 + GAP_S)
    footage = Footage(round(seconds / 2 * fps), (0, second), second + half, second + half + math.ceil(BROKEN_S))
    archive, cameras_toml = root / "archive", root / "cameras.toml"
    _clear(root, cameras_toml)
    cameras_toml.write_text(_describe(footage), encoding="utf-8")
    truth = {camera.id: root / "truth" / f"{camera.id}.zarr" for camera in CAMERAS}
    with _one_thread():
        for number, camera in enumerate(CAMERAS):
            scene = make_scene(camera.scene, width, height, seed)
            film = Film(scene, camera.recipe, fps, subframes, seed + number)
            _record(camera, film, footage, archive, truth[camera.id], night)
    return DemoArchive(storage.normalise(str(archive)), cameras_toml, truth, night)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Pictures so small cost more to share out among threads than to compute: three times as much on busy cores."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def _clear(root: Path, cameras_toml: Path) -> None:
    """Make room for the sample, but never at the cost of somebody's archive."""
    ours = cameras_toml.exists() and cameras_toml.read_text(encoding="utf-8").startswith(HEADER)
    for folder in (root / "archive", root / "truth"):
        if folder.exists() and any(folder.iterdir()) and not ours:
            raise FileExistsError(f"{folder} is not the demo's; name an empty folder for the sample")
        if ours:
            shutil.rmtree(folder, ignore_errors=True)
    if cameras_toml.exists() and not ours:
        raise FileExistsError(f"{cameras_toml} is not the demo's; name an empty folder for the sample")
    root.mkdir(parents=True, exist_ok=True)


def _describe(footage: Footage) -> str:
    end = (datetime.fromisoformat(f"2000-01-01T{START}") + timedelta(seconds=footage.end_s)).time().isoformat()
    lines = [HEADER]
    for camera in CAMERAS:
        fields: dict[str, Any] = {
            "id": camera.id,
            "name": camera.name,
            "scene": camera.scene,
            "timezone": camera.timezone,
            "pattern": camera.pattern,
            "rate": SLOTS_A_SECOND,
            "start": START,
            "end": end,
            "clock": camera.clock,
        }
        lines += ["", "[[camera]]", *(f"{name} = {json.dumps(value)}" for name, value in fields.items())]
    return "\n".join(lines) + "\n"


def _record(camera: DemoCamera, film: Film, footage: Footage, archive: Path, truth: Path, night: str) -> None:
    """Film one camera's night into its recorder's files and the truth beside them."""
    start = datetime.fromisoformat(f"{night}T{START}").replace(tzinfo=ZoneInfo(camera.timezone)).astimezone(UTC)
    start_ns = int(start.timestamp()) * NANOSECONDS
    height, width, _ = film.truth(0.0).shape
    count = footage.frames * len(footage.starts_s)
    group = zarr.open_group(str(truth), mode="w", zarr_format=3)
    frames = group.create_array(
        "frames",
        shape=(count, height, width, 3),
        chunks=(1, height, width, 3),
        dtype="uint8",
        dimension_names=("time", "y", "x", "channel"),
    )
    times_ns: list[int] = []

    def shots(begin_s: int) -> Iterator[Picture]:
        for k in range(footage.frames):
            t = begin_s + k / film.fps
            frames[len(times_ns)] = film.truth(t)
            times_ns.append(start_ns + begin_s * NANOSECONDS + k * NANOSECONDS // film.fps)
            yield film.shoot(t)

    for begin_s in footage.starts_s:
        path = archive / _file_name(camera, start + timedelta(seconds=begin_s))
        write_video(path, shots(begin_s), film.fps)
        log.info("%s: filmed %s, %d of %d frames", camera.id, path.name, len(times_ns), count)
    time_ns = group.create_array("time_ns", shape=(count,), chunks=(count,), dtype="int64", dimension_names=("time",))
    time_ns[:] = np.array(times_ns, np.int64)
    if camera.broken:
        whole = path.read_bytes()
        broken = archive / _file_name(camera, start + timedelta(seconds=footage.broken_s))
        broken.write_bytes(whole[: int(len(whole) * BROKEN_SHARE)])
        log.info("%s: cut %s off, as a recorder that lost its power does", camera.id, broken.name)


def _file_name(camera: DemoCamera, moment: datetime) -> str:
    zone = UTC if camera.clock == "utc" else ZoneInfo(camera.timezone)
    return moment.astimezone(zone).strftime(camera.pattern)


def main() -> None:
    """Build the sample in the folder that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tasks.demo OUT")
    sample = build_demo_archive(Path(sys.argv[1]))
    log.info("archive %s, cameras %s, night %s", sample.archive, sample.cameras_toml, sample.night)


if __name__ == "__main__":
    main()
