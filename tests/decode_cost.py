"""What decoding in a process of its own costs: `python -m tests.decode_cost VIDEO`.

Prints CPU milliseconds a frame, from file to RGB, decoded here and apart, the two processes' time together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import psutil

from tasks import decode, decode_process, slots
from tasks.settings import NightSettings
from tasks.types import NANOSECONDS, Grid, Segment


def cpu_s() -> float:
    me = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in [me, *me.children()])


def measure(fill: Callable[[], Iterator[object]]) -> float:
    before = cpu_s()
    frames = sum(isinstance(event, slots.SlotFrame) for event in fill())
    return (cpu_s() - before) / frames * 1000


def main() -> None:
    url = f"file://{Path(sys.argv[1]).resolve()}"
    header = decode.probe(url)
    rate = Fraction(round(header.fps))
    seconds = header.seconds or 10.0
    grid = Grid(0, rate, int(seconds * rate))
    footage = (Segment(url, "", 1, 0, "", int(seconds * NANOSECONDS)),)
    settings = NightSettings()
    list(decode_process.fill_slots(grid, 0, 2, footage, settings))  # starts the helper
    for _ in range(2):
        here = measure(lambda: slots.fill_slots(grid, 0, grid.slots, footage, settings.most_pixels))
        apart = measure(lambda: decode_process.fill_slots(grid, 0, grid.slots, footage, settings))
        print(f"{header.width}x{header.height}: {here:.2f} ms here, {apart:.2f} ms apart")


if __name__ == "__main__":
    main()
