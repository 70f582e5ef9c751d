"""How fast a work item runs on this machine, and where its time goes: the pipeline beside what bounds it.

Three ways to restore the same frames, interleaved in one run, so that the ratios hold on a busy machine: the bare
model loop on decoded frames, the shortest script that a user would write (OpenCV, model, Zarr), and `tasks.enhance` as
a worker runs it. Not covered: the model alone per size (`lednet.bench`), Prefect and Dask.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import psutil
import zarr
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from lednet import Restorer, __version__, quality
from tasks import storage, store
from tasks.enhance import enhance_item, load_restorer
from tasks.plan import plan_night
from tasks.settings import NightSettings
from tasks.types import Camera, NightPlan

NIGHT = "2026-01-15"
FPS = 25
STAGES = ("decode", "restore", "measure", "write")


@dataclass(frozen=True)
class ItemSpeed:
    """Medians over the repeats. Seconds are wall time, CPU seconds those of all threads and of the decoding process."""

    frames: int
    height: int
    width: int
    loop_fps: float
    script_fps: float
    item_fps: float
    share_of_loop: float
    """Median of each repeat's item over its loop, in frames a second; 1 means that all but the model is hidden."""
    share_of_script: float
    cpu_loop_s: float
    cpu_item_s: float
    stages_s: dict[str, float]
    """Seconds within each stage; they overlap. `wait` is what the restoring thread did not restore."""
    quality_share: float
    """Cost of both quality rows of a frame over that of restoring it, each measured alone."""


def drawn_clip(path: Path, count: int, height: int, width: int, seed: int = 0) -> None:
    """Write a dark, noisy H.264 clip in which a light wanders."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = 20 + 12 * np.sin(x / 31) * np.cos(y / 17)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for k in range(count):
            light = 160 * np.exp(-((x - 8 * k % width) ** 2 + (y - height / 2) ** 2) / (height * width / 400))
            noisy = (ground + light)[..., None] + rng.standard_normal((height, width, 3), np.float32) * 5
            frame = av.VideoFrame.from_ndarray(noisy.clip(0, 255).astype(np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def measure_item(
    size: str = "small",
    shape: tuple[int, int] = (360, 640),
    frames: int = 50,
    repeats: int = 3,
    settings: NightSettings | None = None,
) -> ItemSpeed:
    """Film a clip in a temporary folder and restore it in all three ways.

    Args:
        size: a shipped checkpoint's name, or a path.
        shape: height and width in pixels, both even.
        frames: of the clip; 25 are a second.
    """
    settings = replace(settings or NightSettings(), checkpoint=size, item_slots=frames)
    with TemporaryDirectory(prefix="lednet-bench-") as name:
        folder = Path(name)
        clip = folder / "archive" / "bench" / f"{NIGHT}_22-00-00.mp4"
        clip.parent.mkdir(parents=True)
        drawn_clip(clip, frames, *shape)
        pictures = _decoded(clip)
        restorer = load_restorer(size, settings.tile_mb)
        restorer.restore(pictures[:1])  # allocates and tunes
        _item(folder / "warm", clip, frames, settings)  # starts the decoding process
        runs = [_once(folder / str(k), clip, pictures, restorer, settings) for k in range(repeats)]
    one = [(_timed(lambda p=p: restorer.restore(p[None]))[0], _timed(lambda p=p: _rows(p))[0]) for p in pictures[:5]]  # type: ignore[misc]
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return ItemSpeed(
        len(pictures), *shape,
        loop_fps=len(pictures) / middle["loop"],
        script_fps=len(pictures) / middle["script"],
        item_fps=len(pictures) / middle["item"],
        share_of_loop=statistics.median(run["loop"] / run["item"] for run in runs),
        share_of_script=statistics.median(run["script"] / run["item"] for run in runs),
        cpu_loop_s=middle["cpu_loop"],
        cpu_item_s=middle["cpu_item"],
        stages_s={s: middle[f"stage_{s}"] for s in (*STAGES, "wait")},
        quality_share=sum(rows for _, rows in one) / sum(restore for restore, _ in one),
    )  # fmt: skip


def words(speed: ItemSpeed) -> str:
    """For people."""
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in speed.stages_s.items())
    return (
        f"a work item of {speed.frames} frames of {speed.width}x{speed.height}, from file to store, in frames/s\n"
        f"bare model loop {speed.loop_fps:.2f}, "
        f"work item {speed.item_fps:.2f} ({speed.share_of_loop:.0%} of the loop), "
        f"shortest script {speed.script_fps:.2f} (the item is {speed.share_of_script:.2f} times it)\n"
        f"CPU seconds: loop {speed.cpu_loop_s:.2f}, item {speed.cpu_item_s:.2f}; seconds by stage: {stages}\n"
        f"quality rows cost {speed.quality_share:.1%} of restoring"
    )


def _once(
    folder: Path, clip: Path, pictures: NDArray[np.uint8], restorer: Restorer, settings: NightSettings
) -> dict[str, float]:
    loop, cpu_loop = _timed(lambda: [restorer.restore(p[None]) for p in pictures])
    script, _ = _timed(lambda: _script(folder / "script.zarr", clip, len(pictures), restorer))
    before = _stages()
    item, cpu_item = _timed(_prepared(folder, clip, len(pictures), settings))
    spent = {f"stage_{s}": seconds - before[s] for s, seconds in _stages().items()}
    wait = {"stage_wait": item - spent["stage_restore"]}
    return {"loop": loop, "script": script, "item": item, "cpu_loop": cpu_loop, "cpu_item": cpu_item} | spent | wait


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    cpu, started = _cpu_s(), time.perf_counter()
    call()
    return time.perf_counter() - started, _cpu_s() - cpu


def _cpu_s() -> float:
    """CPU seconds so far of this process and of the one that decodes."""
    me = psutil.Process()
    return float(sum(sum(p.cpu_times()[:2]) for p in (me, *me.children())))


def _stages() -> dict[str, float]:
    return {s: REGISTRY.get_sample_value("lednet_stage_seconds_total", {"stage": s}) or 0.0 for s in STAGES}


def _rows(picture: NDArray[np.uint8]) -> None:
    for _ in ("before", "after"):
        quality.measure(picture)


def _script(target: Path, clip: Path, count: int, restorer: Restorer) -> None:
    """What a user would write: read, restore, store, one frame after the other."""
    video = cv2.VideoCapture(str(clip))
    height, width = int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(video.get(cv2.CAP_PROP_FRAME_WIDTH))
    array = zarr.create_array(
        target, shape=(count, height, width, 3), chunks=(1, height, width, 3), dtype="uint8", compressors="auto"
    )
    k = 0
    while True:
        more, frame = video.read()
        if not more:
            break
        array[k] = restorer.restore(np.asarray(frame, np.uint8)[None, :, :, ::-1])[0]
        k += 1


def _item(folder: Path, clip: Path, count: int, settings: NightSettings) -> None:
    _prepared(folder, clip, count, settings)()


def _prepared(folder: Path, clip: Path, count: int, settings: NightSettings) -> Callable[[], object]:
    """Plan and lay out the night as the coordinator does; returns the worker's part."""
    plan = _plan(folder, clip, count, settings)
    store.create_run(plan, settings, __version__)

    def run() -> None:
        for item in plan.items:
            enhance_item(item, settings)

    return run


def _plan(folder: Path, clip: Path, count: int, settings: NightSettings) -> NightPlan:
    seconds = -(-count // FPS)
    camera = Camera(
        "bench",
        "Bench",
        "outdoor",
        "UTC",
        "bench/%Y-%m-%d_%H-%M-%S.mp4",
        Fraction(FPS),
        "22:00",
        f"22:{seconds // 60:02d}:{seconds % 60:02d}",
    )
    archive = storage.normalise(str(clip.parent.parent))
    return plan_night(camera, NIGHT, archive, storage.normalise(str(folder)), settings)


def _decoded(clip: Path) -> NDArray[np.uint8]:
    with av.open(str(clip)) as container:
        return np.stack([np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(video=0)])
