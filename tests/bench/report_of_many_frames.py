"""The report of a night of many frames: time and peak memory, which must not grow with the number of cameras.

    python -m tests.bench.report_of_many_frames [CAMERAS] [FRAMES]

Publishes made-up quality rows and manifests of ten-second files in a temporary folder, twelve hours at five frames a
second by default, then collects and writes the report as the evaluate flow does. Building is not timed. Not covered:
judging (`tests.bench.evaluate_many_nights`) and pictures.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time

import numpy as np
import pandas as pd
import zarr

from tasks import storage, store
from tasks.publish import summary
from tasks.report import collect, write_page
from tasks.shards import row_columns
from tests.tasks.report_example import NIGHT, SECOND, START, manifest

RATE = 5
FILE_S = 10


def publish(url: str, camera: str, frames: int, seed: int) -> dict[str, object]:
    """Store a night without its pictures and shards; returns its manifest."""
    run_url = storage.join(url, "enhanced", camera, NIGHT, "run")
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({name: rng.random(frames) for name in row_columns() if name not in store.PICTURE_COLUMNS})
    slots = np.arange(frames)
    storage.write(
        store.quality_url(run_url), store.parquet_bytes(rows.assign(slot=slots, time_ns=START + slots * SECOND // RATE))
    )
    group = zarr.create_group(storage.zarr_store(store.frames_url(run_url)), zarr_format=3)
    group.create_array("frames", shape=(frames, 1, 1, 3), chunks=(1, 1, 1, 3), shards=(100, 1, 1, 3), dtype="uint8")
    files = [{"url": f"file:///archive/{camera}/{n:06}.mp4", "etag": "ab" * 16, "frames": RATE * FILE_S}
             for n in range(frames // (RATE * FILE_S))]  # fmt: skip
    told = manifest(camera.title(), camera, slots=frames, frames=frames, run="run", shards=[], every=1,
                    start_ns=START, segments=files)  # fmt: skip
    storage.write(store.manifest_url(url, camera, NIGHT), store.sealed(told))
    return told


def main() -> None:
    """Build, collect, write, print."""
    cameras, frames = (int(a) for a in (sys.argv[1:3] + ["12", "216000"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        url = storage.normalise(folder)
        nights = [publish(url, f"camera-{n:03}", frames, n) for n in range(cameras)]
        outcomes = [summary(told, "published", url) for told in nights]
        built = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started = time.perf_counter()
        page = collect(NIGHT, url, outcomes, {})
        collected = time.perf_counter()
        write_page(page)
        written = time.perf_counter()
    assert len(page.sections) == cameras
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{cameras} cameras of {frames} frames: collected in {collected - started:.1f} s, ", end="")
    print(f"written in {written - collected:.1f} s; peak memory {peak:.0f} MB, {built:.0f} MB of it while building")


if __name__ == "__main__":
    main()
