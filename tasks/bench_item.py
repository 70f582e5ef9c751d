"""How fast a work item runs on this machine, and where its time goes: `python -m tasks.bench_item`.

Three ways to restore the same frames, interleaved in one run, so that the ratios hold on a busy machine: the bare
model loop on decoded frames, the shortest script that a user would write (OpenCV, model, Zarr), and `tasks.enhance` as
a worker runs it. All three restore the same way: steadily by default, as a night is. As many workers do it side by side
as a night starts here, each with its share of the cores, and each way is begun by all of them at once: a core that
nothing else uses would hide what an item costs beyond the model. `--restorer gamma` takes a fixed curve instead of the
network, so that decoding, measuring and writing are all there is to do, by one worker with the whole machine.

    share of the loop     frames/s of the items over those of the loops
    share of the script   frames/s of the item over those of the script
    quality rows          seconds that both rows of a frame take over those of restoring it, each measured alone

Not covered: the model alone per size (`lednet.bench`), Prefect and Dask.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import av
import cv2
import numpy as np
import psutil
import torch
import zarr
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from lednet import Restorer, __version__, bench_output, checkpoint, quality
from lednet.bars import Bars
from lednet.model import SMALLEST
from lednet.transfer import Pending
from lednet.video import VideoRestorer
from tasks import storage, store
from tasks.bench_clip import FPS, NIGHT, drawn_clip
from tasks.enhance import enhance_item, load_restorer
from tasks.plan import plan_night
from tasks.settings import FRAME_WISE, NightSettings
from tasks.types import Camera, NightPlan
from tasks.worker_memory import local_workers

STAGES = ("decode", "restore", "fetch", "measure", "write")
GAMMA = "gamma"
"""The restorer that costs next to nothing."""
FRAMES = {"small": 96, GAMMA: 1552}
"""Some tens of seconds with a network on two cores, and ten with none, of which a night's item has 1,500."""
SHARDS = {"small": 3, GAMMA: 8}
"""Of the item: all but the last are written while frames are restored, and before each the frames that precede it are
looked at. A night's hold 194 frames of this size, as here without a network; with one both weigh less in a night."""
SIDES = (360, 640)
STRAGGLER_S = 1800
"""A worker that the others wait for longer has died."""
WAYS = ("loop", "script", "item")

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class ItemSpeed:
    """Medians over the repeats. Seconds are wall time, CPU seconds those of all threads and of the decoding process;
    both are a worker's. Frames a second are those of all workers together."""

    restorer: str
    workers: int
    threads: int
    """Of torch, in each worker."""
    frames: int
    """That each worker restores."""
    height: int
    width: int
    loop_fps: float
    script_fps: float
    item_fps: float
    share_of_loop: float
    """Median of each repeat's item over its loop, in frames a second; 1 means that all but the model is hidden."""
    share_of_script: float
    cpu_loop_s: float
    cpu_script_s: float
    cpu_item_s: float
    stages_s: dict[str, float]
    """Seconds within each stage; they overlap. `fetch` is what another thread waited for frames that a GPU was still at
    work on, `wait` what the restoring thread did not restore."""
    quality_share: float
    """Cost of both quality rows of a frame over that of restoring it, each measured alone."""


class FixedCurve:
    """Takes a restorer's place: every level to the power of 1 / 2.2."""

    TABLE = (255 * np.linspace(0, 1, 256) ** (1 / 2.2)).round().astype(np.uint8)

    def restore(self, frames: Frames) -> Frames:
        """As `Restorer.restore`."""
        return cast(Frames, cv2.LUT(frames.reshape(-1, *frames.shape[2:]), self.TABLE).reshape(frames.shape))

    def begin(self, frames: Frames) -> Pending:
        """As `Restorer.begin`."""
        restored = self.restore(frames)
        return lambda: restored


def measure_item(
    restorer: str = "small",
    shape: tuple[int, int] = SIDES,
    frames: int = 0,
    repeats: int = 3,
    settings: NightSettings | None = None,
    workers: int = 0,
) -> ItemSpeed:
    """Film a clip in a temporary folder and restore it in all three ways.

    Args:
        restorer: a shipped checkpoint's name, a path, or `gamma`.
        shape: height and width in pixels, both even.
        frames: of the clip; 25 are a second. 0: as many as suit the restorer.
        repeats: the ways come in another order in each; of three, each way is once the first.
        workers: processes side by side. 0: as many as a night starts on this machine; with `gamma`, one.
    """
    frames = frames or FRAMES.get(restorer, FRAMES["small"])
    cores = os.cpu_count() or 1
    workers = workers or (1 if restorer == GAMMA else local_workers())
    with TemporaryDirectory(prefix="lednet-bench-") as name:
        clip = Path(name) / "archive" / "bench" / f"{NIGHT}_22-00-00.mp4"
        clip.parent.mkdir(parents=True)
        drawn_clip(clip, frames, *shape)
        given = settings_of(restorer, frames, settings or NightSettings())
        jobs = [_Job(clip, Path(name) / f"worker-{i}", restorer, given, repeats, cores // workers or 1)
                for i in range(workers)]  # fmt: skip
        done = _side_by_side(jobs)
    rounds = [of_all([worker[k] for worker in done], frames) for k in range(repeats)]
    middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    return ItemSpeed(
        restorer, workers, jobs[0].threads, frames, *shape,
        loop_fps=middle["loop"],
        script_fps=middle["script"],
        item_fps=middle["item"],
        share_of_loop=statistics.median(r["item"] / r["loop"] for r in rounds),
        share_of_script=statistics.median(r["item"] / r["script"] for r in rounds),
        cpu_loop_s=middle["cpu_loop"],
        cpu_script_s=middle["cpu_script"],
        cpu_item_s=middle["cpu_item"],
        stages_s={s: middle[f"stage_{s}"] for s in (*STAGES, "wait")},
        quality_share=middle["quality_share"],
    )  # fmt: skip


def settings_of(restorer: str, frames: int, settings: NightSettings) -> NightSettings:
    """A night's settings for one work item of so many frames."""
    length = max(1, -(-frames // SHARDS.get(restorer, SHARDS["small"])))
    video, weights = (FRAME_WISE, settings.checkpoint) if restorer == GAMMA else (settings.video, restorer)
    return replace(
        settings, checkpoint=weights, video=video, item_slots=frames, shard_least=1, shard_most=length,
        preview_pictures=1,  # a night keeps some hundreds of a million frames, and this item is a short night
    )  # fmt: skip


def of_all(workers: Sequence[dict[str, float]], frames: int) -> dict[str, float]:
    """What all workers measured in one round: frames/s of each way together, all else as means."""
    means = {key: statistics.mean(w[key] for w in workers) for key in workers[0]}
    return means | {way: sum(frames / w[way] for w in workers) for way in WAYS}


@dataclass(frozen=True)
class _Job:
    """What one worker is to measure."""

    clip: Path
    folder: Path
    restorer: str
    settings: NightSettings
    repeats: int
    threads: int


def _side_by_side(jobs: Sequence[_Job]) -> list[list[dict[str, float]]]:
    """Each job's rounds; with several, each in a process of its own, and all of them in step."""
    if len(jobs) == 1:
        return [_measured(jobs[0])]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(jobs))
    with ProcessPoolExecutor(len(jobs), context, _keep_step, (barrier,)) as pool:
        return list(pool.map(_measured, jobs))


_in_step: Callable[[], object] = lambda: None  # noqa: E731
"""Waits until all workers have come so far."""


def _keep_step(barrier: Barrier) -> None:
    global _in_step  # a process of the pool has this one job
    _in_step = partial(barrier.wait, STRAGGLER_S)


def _measured(job: _Job) -> list[dict[str, float]]:
    """One worker's rounds: wall and CPU seconds of each way."""
    torch.set_num_threads(job.threads)
    bench = _Bench(job.clip, _decoded(job.clip), job.restorer, job.settings)
    bench.restoration()(bench.pictures[0], 0)  # allocates and tunes
    bench.prepared(job.folder / "warm")()  # starts the decoding process
    rounds = [bench.once(job.folder / str(k), k) for k in range(job.repeats)]
    return [r | {"quality_share": bench.quality_share()} for r in rounds]


def words(speed: ItemSpeed) -> str:
    """For people."""
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in speed.stages_s.items())
    return (
        f"a work item of {speed.frames} frames of {speed.width}x{speed.height}, restored by {speed.restorer}, "
        f"from file to store, by {speed.workers} worker(s) with {speed.threads} thread(s) each, in frames/s of all\n"
        f"bare loop {speed.loop_fps:.2f}, "
        f"work item {speed.item_fps:.2f} ({speed.share_of_loop:.1%} of the loop), "
        f"shortest script {speed.script_fps:.2f} (the item is {speed.share_of_script:.2f} times it)\n"
        f"a worker's CPU seconds: "
        f"loop {speed.cpu_loop_s:.2f}, script {speed.cpu_script_s:.2f}, item {speed.cpu_item_s:.2f}; "
        f"its seconds by stage: {stages}\n"
        f"quality rows take {speed.quality_share:.1%} of the time that restoring takes"
    )


def bars(speeds: Sequence[ItemSpeed]) -> list[Bars]:
    """What a picture shows of them: for each restorer the ways' frames/s, and where a worker's time went."""
    return [
        panel
        for speed in speeds
        for panel in (
            Bars(f"frames/s of {speed.workers} worker(s), {speed.restorer}, {speed.width}x{speed.height}",
                 {"bare loop": speed.loop_fps, "shortest script": speed.script_fps, "work item": speed.item_fps}),
            Bars("a worker's seconds within each stage, which overlap", speed.stages_s),
        )
    ]  # fmt: skip


@dataclass
class _Bench:
    """A clip, and the three ways to restore it."""

    clip: Path
    pictures: Frames
    """Its frames, decoded."""
    restorer: str
    settings: NightSettings

    def load(self, checkpoint: str, memory_mb: int, precision: str, compiled: bool) -> Restorer:
        """What restores, loaded once."""
        if self.restorer == GAMMA:
            return cast(Restorer, FixedCurve())
        return load_restorer(checkpoint, memory_mb, precision, compiled)

    def beginning(self) -> Callable[[Frames, int], Pending]:
        """What begins to restore one frame after the other, given the frame and its number."""
        restorer = self.load(self.restorer, self.settings.tile_mb, self.settings.precision, self.settings.compile)
        if self.settings.video == FRAME_WISE:
            return lambda frame, _k: restorer.begin(frame[None])
        video = VideoRestorer(restorer)
        return lambda frame, k: video.begin(frame[None], [k / FPS])

    def restoration(self) -> Callable[[Frames, int], Frames]:
        """As `beginning`, each frame waited for."""
        begin = self.beginning()
        return lambda frame, k: begin(frame, k)()[0]

    def once(self, folder: Path, turn: int) -> dict[str, float]:
        """Wall and CPU seconds of each way; `turn` says which comes first."""
        seconds: dict[str, float] = {}
        item = self.prepared(folder)
        calls: dict[str, Callable[[], object]] = {
            "loop": self.loop,
            "script": lambda: self.script(folder),
            "item": item,
        }
        for way in (*WAYS[turn % 3 :], *WAYS[: turn % 3]):
            before = _stages()
            _in_step()
            seconds[way], seconds[f"cpu_{way}"] = _timed(calls[way])
            if way == "item":
                seconds |= {f"stage_{s}": spent - before[s] for s, spent in _stages().items()}
        return seconds | {"stage_wait": seconds["item"] - seconds["stage_restore"]}

    def loop(self) -> None:
        """The model on decoded frames, and nothing else; as in an item, a GPU never waits for the next frame."""
        begin, last = self.beginning(), None
        for k, picture in enumerate(self.pictures):
            begun = begin(picture, k)
            if last:
                last()
            last = begun
        if last:
            last()

    def quality_share(self) -> float:
        """Seconds of both quality rows of a frame over those of restoring it, each measured alone."""
        restore = self.restoration()
        one = [(_timed(lambda k=k, p=p: restore(p, k))[0], _timed(lambda p=p: _rows(p))[0])  # type: ignore[misc]
               for k, p in enumerate(self.pictures[:9])][1:]  # fmt: skip
        return sum(rows for _, rows in one) / sum(seconds for seconds, _ in one)

    def script(self, folder: Path) -> None:
        """What a user would write: read, restore, store, one frame after the other."""
        restore = self.restoration()
        video = cv2.VideoCapture(str(self.clip))
        frame = self.pictures.shape[1:]
        array = zarr.create_array(
            folder / "script.zarr", shape=self.pictures.shape, chunks=(1, *frame), dtype="uint8", compressors="auto"
        )
        k = 0
        while True:
            more, picture = video.read()
            if not more:
                break
            array[k] = restore(np.ascontiguousarray(np.asarray(picture, np.uint8)[:, :, ::-1]), k)
            k += 1

    def prepared(self, folder: Path) -> Callable[[], object]:
        """Plan and lay out the night as the coordinator does; returns the worker's part."""
        plan = _plan(folder, self.clip, len(self.pictures), self.settings)
        store.create_run(plan, self.settings, __version__)

        def run() -> None:
            for item in plan.items:
                enhance_item(item, self.settings, load=self.load)

        return run


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


def parse_shape(text: str) -> tuple[int, int]:
    """HxW -> height and width. Raises argparse.ArgumentTypeError."""
    try:
        height, width = (int(side) for side in text.split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < SMALLEST or height % 2 or width % 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; write HEIGHTxWIDTH, even and from {SMALLEST} px up, as 360x640"
        )
    return height, width


def _need_weights(restorer: str) -> str:
    """The name of what restores, if it is to be had. Raises argparse.ArgumentTypeError."""
    try:
        if restorer != GAMMA:
            checkpoint.identify(restorer)
    except checkpoint.CheckpointError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return restorer


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--restorer", action="append", type=_need_weights, help="default: small and gamma")
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="default: as many as a night starts here; for gamma, 1")
    parser.add_argument("--shape", type=parse_shape, default=SIDES, metavar="HxW", help="in pixels; default: 360x640")
    bench_output.add_options(parser)
    options = parser.parse_args(arguments)
    for name, least in (("frames", 2), ("repeats", 1), ("workers", 1)):
        if getattr(options, name) < least and getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name} must be at least {least}")
    bench_output.refuse_unwritable(parser, options)
    speeds = []
    for restorer in options.restorer or FRAMES:
        speeds.append(measure_item(restorer, options.shape, options.frames, options.repeats, workers=options.workers))
        if options.json != bench_output.PRINTED:
            print(words(speeds[-1]), flush=True)
    bench_output.write(options, [asdict(speed) for speed in speeds], bars(speeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
