"""Night after night with the real pieces: does memory stay flat, do files stay closed, does the pace hold?

    python -m tests.soak --minutes 60

A small night is filmed once and done again and again by an untrained network of the least size, each time in an empty
store. Printed are, for this process and its decoder, resident memory and open files as they go, and at the end the
slope of memory in MB per 1,000 frames over the second half, and the pace and the cost of the last quarter against those
of the second: on a machine that others share, the cost in CPU time says more than the pace. Exit code 1 if a slope is
above 1 MB.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from tests.tasks.night import make_site

MOST_SLOPE_MB = 1.0
PRINT_EVERY_S = 20.0


@dataclass(frozen=True)
class Sample:
    """One look."""

    seconds: float
    frames: int
    memory_mb: tuple[float, float]
    """Of this process and of its decoder."""
    files: int
    """Open in both."""
    cpu_s: float
    """Spent by both so far."""


def look(began: float, frames: int) -> Sample:
    me = psutil.Process()
    decoders = [p for p in me.children() if any("decode_worker" in part for part in p.cmdline())]
    memory = tuple(sum(p.memory_info().rss for p in group) / 2**20 for group in ([me], decoders))
    spent = [p.cpu_times() for p in [me, *decoders]]
    cpu_s = sum(s.user + s.system for s in spent)
    return Sample(time.monotonic() - began, frames, memory, sum(p.num_fds() for p in [me, *decoders]), cpu_s)  # type: ignore[arg-type]


def slope(samples: list[Sample], which: int) -> float:
    """Growth of memory in MB per 1,000 frames, by least squares over the second half."""
    half = samples[len(samples) // 2 :]
    return float(np.polyfit([s.frames / 1000 for s in half], [s.memory_mb[which] for s in half], 1)[0])


def pace(samples: list[Sample], first: float, last: float) -> float:
    """Frames a second between two shares of the run."""
    a, b = samples[int(len(samples) * first)], samples[int((len(samples) - 1) * last)]
    return (b.frames - a.frames) / max(b.seconds - a.seconds, 1e-9)


def cost(samples: list[Sample], first: float, last: float) -> float:
    """Milliseconds of CPU a frame between two shares of the run."""
    a, b = samples[int(len(samples) * first)], samples[int((len(samples) - 1) * last)]
    return 1000 * (b.cpu_s - a.cpu_s) / max(b.frames - a.frames, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    root = Path(tempfile.mkdtemp(prefix="lednet-soak-"))
    try:
        site = make_site(root)
        began, frames, samples, printed = time.monotonic(), 0, list[Sample](), 0.0
        while time.monotonic() - began < minutes * 60 or len(samples) < 8:
            frames += site.run().frames
            shutil.rmtree(site.folder)
            samples.append(look(began, frames))
            if samples[-1].seconds - printed > PRINT_EVERY_S:
                printed = samples[-1].seconds
                print(samples[-1], flush=True)
        slopes = [slope(samples, which) for which in (0, 1)]
        print(f"{frames} frames in {samples[-1].seconds:.0f} s, {len(samples)} nights")
        print(f"memory: {slopes[0]:+.3f} MB per 1,000 frames, decoder {slopes[1]:+.3f}")
        print(f"open files: {samples[len(samples) // 2].files} half-way, {samples[-1].files} at the end")
        print(f"pace: {pace(samples, 0.25, 0.5):.2f} frames/s in the second quarter, {pace(samples, 0.75, 1):.2f} last")
        early, late = cost(samples, 0.25, 0.5), cost(samples, 0.75, 1)
        print(f"cost: {early:.1f} ms of CPU a frame in the second quarter, {late:.1f} last")
        return int(max(slopes) > MOST_SLOPE_MB)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
