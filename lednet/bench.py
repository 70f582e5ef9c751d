"""How fast this machine restores frames: `python -m lednet.bench`, with torch, numpy and OpenCV alone.

Covers the model from uint8 frames to uint8 frames, per size and resolution, interleaved in one run so that the ratios
hold on a busy machine. Not covered: decoding and storing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lednet.model import SIZES, LEDNet
from lednet.restorer import Restorer

RESOLUTIONS = {"640x360": (360, 640), "720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's queue drained before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(sizes: Sequence[str], resolutions: Sequence[str], device: str, repeats: int) -> list[dict[str, Any]]:
    """Median time a frame of every size at every resolution. Speed does not depend on the weights: random ones do."""
    restorers = {size: Restorer(LEDNet(size), device=device) for size in sizes}
    rng = np.random.default_rng(0)
    rows = []
    for name in resolutions:
        frame = rng.integers(0, 256, (1, *RESOLUTIONS[name], 3), np.uint8)
        times: dict[str, list[float]] = {size: [] for size in sizes}
        for repeat in range(repeats + 1):
            for size, restorer in restorers.items():
                took = seconds(partial(restorer.restore, frame), restorer.device)
                if repeat:  # the first pass allocates and tunes
                    times[size].append(took)
        for size in sizes:
            median = statistics.median(times[size])
            rows.append(
                {
                    "size": size,
                    "resolution": name,
                    "ms": round(1000 * median, 2),
                    "fps": round(1 / median, 2),
                    "tiled": frame[0, :, :, 0].size > restorers[size].pixels_at_once,
                }
            )
    return rows


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
        print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows}))
        return 0
    print(f"{'size':8} {'frame':9} {'ms':>10} {'frames/s':>10}")
    for r in rows:
        print(f"{r['size']:8} {r['resolution']:9} {r['ms']:10.1f} {r['fps']:10.2f}{'  tiled' if r['tiled'] else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
