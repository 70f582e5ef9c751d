"""What the I/O layer costs above plain s3fs and plain files: `python -m tests.bench.bench_storage [MB] [ROUNDS]`.

Objects of so many megabytes are written and read through `tasks.storage` and through s3fs itself, in turns, against one
S3 server over HTTP; printed is the median of each and its share of plain s3fs. Then shards of so many megabytes of
frames are written as a night writes them, with each codec, to a folder and to that server, in turns with a plain copy
of the same frames, raw: the megabytes are of frames in both. The frames are cut from README's picture.

The server is moto's, a process of its own on this machine, so the megabytes a second are its and this machine's; the
share is what counts. Read by ranges is as the decoder reads a segment. Not covered: a real network.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import boto3
import cv2
import numpy as np
import s3fs

from flows.engine import free_port, stop_group
from tasks import codecs, storage, store
from tasks.settings import NightSettings
from tasks.types import Camera, Grid, NightPlan, Shard, WorkItem

BUCKET = "bench"
PICTURE = Path(__file__).resolve().parents[2] / "docs/images/before_after.jpg"
RANGE = 2**20
"""Bytes that one read asks for."""
START_S = 300


def start_server() -> tuple[subprocess.Popen[bytes], str]:
    """moto's server in a process of its own, so that it does not share this one's interpreter."""
    port = str(free_port())
    program = str(Path(sys.executable).parent / "moto_server")
    process = subprocess.Popen(
        [program, "--host", "127.0.0.1", "--port", port],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + START_S
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/moto-api/").close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                stop_group(process)
                raise
            time.sleep(0.2)
        else:
            return process, f"http://127.0.0.1:{port}"


def read_by_ranges(url: str) -> bytes:
    with storage.open_seekable(url) as file:
        return b"".join(iter(lambda: file.read(RANGE), b""))


def plain_by_ranges(fs: s3fs.S3FileSystem, path: str) -> bytes:
    with fs.open(path, "rb", block_size=RANGE, cache_type="none") as file:
        return b"".join(iter(lambda: file.read(RANGE), b""))


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure(size: int, rounds: int) -> None:
    """Print one line for each way of moving `size` bytes."""
    data, url, path = os.urandom(size), f"s3://{BUCKET}/ours", f"{BUCKET}/theirs"
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "write": (lambda: storage.write(url, data), lambda: fs.pipe_file(path, data)),
        "read whole": (lambda: storage.read(url), lambda: fs.cat_file(path)),
        "read by ranges": (lambda: read_by_ranges(url), lambda: plain_by_ranges(fs, path)),
    }
    for name, (ours, theirs) in pairs.items():
        ours(), theirs()  # the first call connects
        seconds = [(timed(ours), timed(theirs)) for _ in range(rounds)]
        own, plain = (size / 1e6 / median(column) for column in zip(*seconds, strict=True))
        print(f"{name:15} {own:7.1f} MB/s, plain s3fs {plain:7.1f} MB/s: {own / plain:.0%}")
    assert storage.read(url) == read_by_ranges(url) == data


def copy_to_file(path: Path, data: bytes) -> None:
    """As plainly as it can be kept through a power cut."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def some_frames(size: int) -> np.ndarray:
    """About `size` bytes of restored frames that all differ, uint8 [n, h, w, 3]."""
    picture = cv2.imread(str(PICTURE))
    assert picture is not None
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    frame = picture[:height, width:, ::-1]
    return np.stack([np.roll(frame, 3 * k, 1) for k in range(max(1, size // frame.nbytes))])


def shard_writer(root: str, settings: NightSettings, frames: np.ndarray) -> Callable[[], object]:
    """Lays out a night of one shard under a URL; what is returned writes that shard."""
    count, height, width, _ = frames.shape
    camera, night = Camera("bench", "Bench", "outdoor", "UTC", "", Fraction(5)), "2026-01-15"
    grid, shard, url = Grid(0, camera.rate, count), Shard(0, 0, count), f"{root}/{settings.codec}-{settings.zstd_level}"
    item = WorkItem(camera.id, night, url, grid, height, width, count, (shard,), (), "small", 1)
    plan = NightPlan(camera, night, "run", url, grid, height, width, count, (), (), (), (item,), 1, {})
    store.create_run(plan, settings, "bench")
    return lambda: store.write_shard(item, shard, frames)


def measure_shards(size: int, rounds: int, folder: Path) -> None:
    """Print one line for each codec and place."""
    frames = some_frames(size)
    raw, fs = frames.tobytes(), s3fs.S3FileSystem(use_listings_cache=False)
    copies: dict[str, Callable[[], object]] = {
        f"file://{folder}": lambda: copy_to_file(folder / "copy", raw),
        f"s3://{BUCKET}": lambda: fs.pipe_file(f"{BUCKET}/copy", raw),
    }
    for root, copy in copies.items():
        for settings in codecs.choices(NightSettings()):
            write = shard_writer(root, settings, frames)
            write(), copy()
            seconds = [(timed(write), timed(copy)) for _ in range(rounds)]
            own, plain = (len(raw) / 1e6 / median(column) for column in zip(*seconds, strict=True))
            print(f"{root.split(':')[0]:4} {codecs.label(settings):29} {own:7.1f} MB/s, raw copy {plain:7.1f} MB/s: "
                  f"{own / plain:.0%}")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("megabytes", nargs="?", type=int, default=16)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    options = parser.parse_args()
    size, rounds = options.megabytes * 2**20, options.rounds
    process, endpoint = start_server()
    os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    try:
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        measure(size, rounds)
        with TemporaryDirectory() as folder:
            measure_shards(size, rounds, Path(folder))
    finally:
        stop_group(process)
    return 0


if __name__ == "__main__":
    sys.exit(main())
