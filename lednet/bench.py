"""How fast this machine restores frames: `python -m lednet.bench`, with torch, numpy and OpenCV alone.

Covers the model from uint8 frames to uint8 frames, per size and resolution, interleaved in one run so that the ratios
hold on a busy machine: frames/s, shares of the measured roofline (`lednet.roofline`), peak memory. Not covered:
decoding and storing (`tasks.bench_item`; `lednet bench --item` prints both).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lednet.model import SIZES, LEDNet
from lednet.restorer import Restorer, choose_device
from lednet.roofline import Work, ceilings, peak_memory_mb, seconds

RESOLUTIONS = {"640x360": (360, 640), "720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}


def measure(sizes: Sequence[str], resolutions: Sequence[str], device: str, repeats: int) -> list[dict[str, Any]]:
    """Median time a frame of every size at every resolution. Speed does not depend on the weights: random ones do.

    `memory_share` and `compute_share` are the times that the ceilings would allow over the measured one.
    """
    restorers = {size: Restorer(LEDNet(size), device=device) for size in sizes}
    rng = np.random.default_rng(0)
    rows = []
    for name in resolutions:
        frame = rng.integers(0, 256, (1, *RESOLUTIONS[name], 3), np.uint8)
        work, memory = {}, {}
        for size, restorer in restorers.items():
            restorer.restore(frame[:, :64, :64])  # what a first pass loads is no pass's own memory
            with Work() as work[size]:
                memory[size] = peak_memory_mb(partial(restorer.restore, frame), restorer.device)
            restorer.restore(frame)  # tunes
        times: dict[str, list[float]] = {size: [] for size in sizes}
        for _ in range(repeats):
            for size, restorer in restorers.items():
                times[size].append(seconds(partial(restorer.restore, frame), restorer.device))
        for size, restorer in restorers.items():
            rows.append(_row(size, name, restorer, statistics.median(times[size]), work[size], memory[size]))
    return rows


def _row(size: str, resolution: str, restorer: Restorer, took: float, work: Work, memory_mb: float) -> dict[str, Any]:
    height, width = RESOLUTIONS[resolution]
    finest = height * width // 4 * restorer.model.config.channels[0] * restorer.dtype.itemsize
    best = ceilings(restorer.device, restorer.dtype, finest)
    return {
        "size": size,
        "resolution": resolution,
        "ms": round(1000 * took, 2),
        "fps": round(1 / took, 2),
        "tiled": height * width > restorer.pixels_at_once,
        "gflop": round(work.flops / 1e9, 2),
        "gb_moved": round(work.bytes / 1e9, 3),
        "ceiling_gflops": round(best.flops_per_s / 1e9, 1),
        "ceiling_gb_s": round(best.bytes_per_s / 1e9, 1),
        "compute_share": round(work.flops / best.flops_per_s / took, 3),
        "memory_share": round(work.bytes / best.bytes_per_s / took, 3),
        "peak_mb": round(memory_mb),
    }


def machine(device: torch.device) -> dict[str, Any]:
    """What was measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "torch": torch.__version__, "threads": torch.get_num_threads()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lednet bench", description=__doc__.split("\n")[0])
    parser.add_argument("--size", action="append", choices=sorted(SIZES), help="default: small and base")
    parser.add_argument("--resolution", action="append", choices=list(RESOLUTIONS), help="default: 640x360 and 720p")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = measure(
        options.size or ["small", "base"], options.resolution or ["640x360", "720p"], options.device, options.repeats
    )
    if options.json:
        print(json.dumps(machine(choose_device(options.device)) | {"rows": rows}))
        return 0
    print(", ".join(f"{key} {value}" for key, value in machine(choose_device(options.device)).items()))
    print(f"{'size':6} {'frame':8} {'ms':>9} {'frames/s':>9} {'compute':>8} {'memory':>8} {'peak MB':>8}")
    for r in rows:
        shares = f"{r['compute_share']:8.0%} {r['memory_share']:8.0%} {r['peak_mb']:8}"
        tiled = "  tiled" if r["tiled"] else ""
        print(f"{r['size']:6} {r['resolution']:8} {r['ms']:9.1f} {r['fps']:9.2f} {shares}{tiled}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
