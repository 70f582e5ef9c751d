"""A night of many cameras for an hour, through every process of the real stack: does memory stay flat?

    python -m tests.soak --minutes 60 --report soak

Prefect server, Dask scheduler, nanny, worker, its decoder, and the night's command with its own decoder, each a process
of its own, against an object store over HTTP in this one. All cameras have the same generated footage under names of
their own. The network is the least LEDNet that there is, untrained, and the frames are small: what could leak (plans,
receipts, tasks, events, frames, connections) passes at many times a large network's pace, and one frame that is kept of
a thousand shows. When the time is up, the night is interrupted as by Ctrl-C.

Printed is a table; `soak.csv` holds all that was seen, `soak.svg` the memory over time. Exit code 1 if a process grows
by more than 1 MB per 1,000 frames after the warm-up, or opens more and more files, or dies, or if the last quarter is
slower than the second. The measures stand in `tests.soak.record`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from moto.s3.models import S3Backend

from flows import engine
from tests.chaos.night import ARCHIVE, BUCKET, STORE, backend
from tests.chaos.stack import Stack
from tests.soak.picture import draw
from tests.soak.record import Look, Sample, judge, table, write_csv
from tests.tasks.night import NIGHT, pictures, s3_bucket, save_checkpoint, write_clip

EVERY_S = 5.0
PRINT_EVERY_S = 60.0
START_S = 600
"""Longest wait for the first frame."""
LEAVE_S = 120
FPS, RATE, CLIP_S, CLIPS = 10, 5, 60, 8
"""Of the footage and of its slots; a camera's night is so many files of so many seconds."""
CAMERAS_A_MINUTE = 3
"""So many at most are done: the night must not end before the time is up."""

SITE = """
[settings]
checkpoint = "{weights}"
shard_mb = 1
shard_least = 24
shard_most = 24
item_slots = 240
preview_pictures = 16
preview_width = 48
"""
CAMERA = """
[[camera]]
id = "{name}"
name = "{name}"
scene = "outdoor"
timezone = "UTC"
pattern = "{name}/%Y-%m-%d/%H%M%S.*"
rate = {rate}
start = "22:00"
end = "22:{minutes:02d}"
segment_s = {clip}
"""


@dataclass
class Stored:
    """Counts the frames that receipts tell of."""

    frames: int = 0
    manifests: int = 0


@contextmanager
def counted() -> Iterator[Stored]:
    """Count what is written to the store while the context lasts."""
    stored, put = Stored(), S3Backend.put_object

    def counting(self: S3Backend, bucket: str, key: str, value: bytes, *args: object, **options: object) -> object:
        if "/receipts/" in key and key.endswith(".json"):
            stored.frames += sum(count for _, count in json.loads(value)["valid"])
        stored.manifests += key.endswith("manifest.json")
        return put(self, bucket, key, value, *args, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Backend, "put_object", counting)
        yield stored


def film(folder: Path, cameras: int) -> Path:
    """Put every camera's footage into the bucket and describe the site; returns cameras.toml."""
    clips = [write_clip(folder / f"{k}.mp4", pictures(FPS * CLIP_S, seed=k)).read_bytes() for k in range(4)]
    text = SITE.format(weights=save_checkpoint(folder))
    for camera in range(cameras):
        name = f"camera-{camera:03d}"
        text += CAMERA.format(name=name, rate=RATE, minutes=CLIPS * CLIP_S // 60, clip=CLIP_S)
        for k in range(CLIPS):
            at = k * CLIP_S
            key = f"archive/{name}/{NIGHT}/22{at // 60:02d}{at % 60:02d}.mp4"
            backend().put_object(BUCKET, key, clips[(camera + k) % len(clips)])
    site = folder / "cameras.toml"
    site.write_text(text)
    return site


def look(name: str, process: psutil.Process) -> Iterator[Look]:
    """A process, where it still runs."""
    with suppress(psutil.NoSuchProcess), process.oneshot():
        spent = process.cpu_times()
        yield Look(
            name, process.pid, process.memory_info().rss / 2**20, process.num_fds(), spent.user + spent.system
        )  # fmt: skip


def looks(stack: Stack) -> Iterator[Look]:
    """Every process of the night."""
    names = {"server": "Prefect server", "scheduler": "Dask scheduler", "worker": "nanny", "flow": "flow"}
    parents = [(names[k], psutil.Process(p.pid)) for k, p in stack.running.items() if p.poll() is None]
    parents += [("worker", process) for process in stack.workers()]
    for name, process in parents:
        yield from look(name, process)
        with suppress(psutil.NoSuchProcess):
            for child in process.children():
                if any("decode_worker" in part for part in child.cmdline()):
                    yield from look(f"decoder of the {name}", child)


def watch(stack: Stack, night: subprocess.Popen[bytes], stored: Stored, minutes: float) -> list[Sample]:
    """Look until the time is up or the night is done; the clock starts with the first frame."""
    began = time.monotonic()
    while not stored.frames and night.poll() is None and time.monotonic() < began + START_S:
        time.sleep(0.2)
    samples, printed = list[Sample](), 0.0
    began = time.monotonic()
    while night.poll() is None and time.monotonic() < began + 60 * minutes:
        samples.append(Sample(time.monotonic() - began, stored.frames, tuple(looks(stack))))
        if samples[-1].seconds >= printed:
            printed += PRINT_EVERY_S
            memory = ", ".join(f"{one.name} {one.memory_mb:.1f}" for one in samples[-1].looks)
            print(f"{samples[-1].seconds:6.0f} s {stored.frames:7d} frames, MB: {memory}", flush=True)
        time.sleep(EVERY_S)
    return samples


def soak(root: Path, minutes: float, report: Path) -> int:
    """Run it and write what was seen; the exit code."""
    with s3_bucket(), counted() as stored, pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SERVER_START_S", START_S)
        site = film(root, int(CAMERAS_A_MINUTE * minutes) + 2)
        arguments = ["enhance", NIGHT, "--site", str(site), "--archive", ARCHIVE, "--store", STORE, "--no-report"]
        stack = Stack(root, os.environ["AWS_ENDPOINT_URL"], arguments, workers=1)
        try:
            night = stack.start_night()
            samples = watch(stack, night, stored, minutes)
            ended = night.poll()
            if ended is None:
                night.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):  # told in the log; `stop` ends it
                    night.wait(LEAVE_S)
        finally:
            stack.stop()
            shutil.copy(root / "flow.log", report.with_suffix(".log"))
    if len(samples) < 8:
        print(f"the night ended with exit code {ended} too early to tell; see {report.with_suffix('.log')}")
        return 1
    verdict = judge(samples)
    write_csv(samples, report.with_suffix(".csv"))
    draw(samples, report.with_suffix(".svg"))
    print(table(verdict))
    print(f"{stored.manifests} cameras published; the night was {'interrupted' if ended is None else f'done: {ended}'}")
    return int(not verdict.passed or ended not in (None, 0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--report", type=Path, default=Path("soak"), help="files of this name: .csv, .svg, .log")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells let background jobs, and so ours, ignore
    root = Path(tempfile.mkdtemp(prefix="lednet-soak-"))
    try:
        return soak(root, options.minutes, options.report)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
