"""How fast this machine restores frames: `python -m lednet.bench`, with torch, numpy and OpenCV alone.

Covers the model from uint8 frames to uint8 frames, per size and resolution, interleaved in one run so that the ratios
hold on a busy machine: frames/s, shares of the measured roofline (`lednet.roofline`), peak memory. On a GPU, or with
`--compiled`, both passes, plain and compiled (`lednet.compiled`), and how far their frames are from fp32. As a table,
JSON or a picture. Not covered: decoding and storing (`tasks.bench_item`; `lednet bench --item` prints both).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lednet import checkpoint
from lednet.bars import Bars, bars_picture
from lednet.model import SIZES, LEDNet
from lednet.restorer import Restorer, choose_device
from lednet.roofline import Work, ceilings, peak_memory_mb, seconds
from lednet.transfer import collect

RESOLUTIONS = {"640x360": (360, 640), "720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}

GOALS = {("base", "1080p"): 60, ("small", "1080p"): 120, ("large", "1080p"): 30, ("base", "4K"): 15}
"""Frames/s that are wanted of an H100."""

ON_A_GPU = 8
"""Frames that are timed together on a GPU, where copies overlap the passes; on a CPU they come one by one."""

PLAIN, COMPILED = "plain", "compiled"


@dataclass
class _Run:
    """One size restored by one pass."""

    size: str
    way: str
    restorer: Restorer
    exact: Restorer | None
    """The same in fp32, under a bound of memory that lets it tile alike; None: nothing is compared."""
    times: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    downloads: list[float] = field(default_factory=list)
    work: Work = field(default_factory=Work)
    memory_mb: float = math.nan
    compile_s: float = 0.0
    apart: float = math.nan

    def prepare(self, frames: NDArray[np.uint8]) -> None:
        """The first passes over a size of frames, and all that is measured of them but the time."""
        for kept in (self.times, self.uploads, self.downloads):
            kept.clear()
        one = partial(self.restorer.restore, frames[:1])
        if self.way == COMPILED:
            self.compile_s = seconds(one, self.restorer.device)
            self.memory_mb = peak_memory_mb(one, self.restorer.device)  # on a GPU this pass records the graph
        else:
            self.restorer.restore(frames[:1, :64, :64])  # what a first pass loads is no pass's own memory
            with Work() as self.work:
                self.memory_mb = peak_memory_mb(one, self.restorer.device)
        restored = one()  # tunes
        if self.exact is not None:
            self.apart = float(np.abs(restored.astype(np.int16) - self.exact.restore(frames[:1])).mean())

    def once(self, frames: NDArray[np.uint8]) -> None:
        """Time a stretch of frames, each begun while the one before is under way; then one frame's ways in and out."""

        def stretch() -> None:
            parts = (slice(i, i + 1) for i in range(len(frames)))
            collect(((part, self.restorer.begin(frames[part])) for part in parts), np.empty_like(frames))

        device = self.restorer.device
        self.times.append(seconds(stretch, device) / len(frames))
        image = self.restorer.upload(frames[:1])
        self.uploads.append(seconds(partial(self.restorer.upload, frames[:1]), device))
        self.downloads.append(seconds(partial(self.restorer.download, image), device))


def measure(
    sizes: Sequence[str],
    resolutions: Sequence[str],
    device: str,
    repeats: int,
    compiled: bool = False,
    memory_mb: int = 3072,
) -> list[dict[str, Any]]:
    """Median time a frame of every size at every resolution, by the plain pass and, if wanted, the compiled one.

    `memory_share` and `compute_share` are the times that the ceilings would allow over the measured one, for the plain
    pass's operators.
    """
    runs = [run for size in sizes for run in _runs(size, device, compiled, memory_mb)]
    count = ON_A_GPU if choose_device(device).type == "cuda" else 1
    rows = []
    for name in resolutions:
        frames = np.stack([_frame(*RESOLUTIONS[name], seed) for seed in range(count)])
        for run in runs:
            run.prepare(frames)
        for _ in range(repeats):
            for run in runs:
                run.once(frames)
        works = {run.size: run.work for run in runs if run.way == PLAIN}
        rows += [_row(run, name, works[run.size]) for run in runs]
    return rows


def _runs(size: str, device: str, compiled: bool, memory_mb: int) -> list[_Run]:
    def restorer(memory: int, precision: str, compile: bool) -> Restorer:
        return Restorer(_network(size), device=device, precision=precision, memory_mb=memory, compile=compile)

    plain = restorer(memory_mb, "auto", False)
    if not compiled:
        return [_Run(size, PLAIN, plain, None)]
    exact = restorer(memory_mb * 4 // plain.dtype.itemsize, "fp32", False)
    return [_Run(size, PLAIN, plain, exact), _Run(size, COMPILED, restorer(memory_mb, "auto", True), exact)]


def _network(size: str) -> LEDNet:
    """The shipped weights of a size, or random ones with a head that is not zero, so that what is inside shows."""
    if (checkpoint.SHIPPED / f"{size}.safetensors").exists():
        return checkpoint.load(size)[0]
    torch.manual_seed(0)
    network = LEDNet(size)
    torch.nn.init.normal_(network.head.weight, std=0.02)
    return network


def _frame(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A dark, noisy frame [h, w, 3]."""
    y, x = np.mgrid[:height, :width]
    scene = 40 + 25 * np.sin(x / 37) * np.cos(y / 23) + 20 * ((x // 48 + y // 48) % 2)
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 3))
    return np.asarray((scene[..., None] + noise).clip(0, 255), np.uint8)


def _row(run: _Run, resolution: str, work: Work) -> dict[str, Any]:
    height, width = RESOLUTIONS[resolution]
    restorer, took = run.restorer, statistics.median(run.times)
    assert isinstance(restorer.model, LEDNet)
    finest = height * width // 4 * restorer.model.config.channels[0] * restorer.dtype.itemsize
    best = ceilings(restorer.device, restorer.dtype, finest)
    compared = {"compile_s": round(run.compile_s, 1), "levels_from_fp32": round(run.apart, 4)} if run.exact else {}
    return {
        "size": run.size,
        "resolution": resolution,
        "pass": run.way,
        "ms": round(1000 * took, 2),
        "fps": round(1 / took, 2),
        "upload_ms": round(1000 * statistics.median(run.uploads), 2),
        "download_ms": round(1000 * statistics.median(run.downloads), 2),
        "tiled": height * width > restorer.pixels_at_once,
        "failed": restorer.compiled is not None and restorer.compiled.failed,
        "gflop": round(work.flops / 1e9, 2),
        "gb_moved": round(work.bytes / 1e9, 3),
        "ceiling_gflops": round(best.flops_per_s / 1e9, 1),
        "ceiling_gb_s": round(best.bytes_per_s / 1e9, 1),
        "compute_share": round(work.flops / best.flops_per_s / took, 3),
        "memory_share": round(work.bytes / best.bytes_per_s / took, 3),
        "peak_mb": None if math.isnan(run.memory_mb) else round(run.memory_mb),
        "goal_fps_h100": GOALS.get((run.size, resolution)),
    } | compared


def machine(device: torch.device) -> dict[str, Any]:
    """What was measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "torch": torch.__version__, "threads": torch.get_num_threads()}


def _words(row: dict[str, Any], on_gpu: bool) -> str:
    """A line of the table."""
    line = f"{row['size']:6} {row['resolution']:8} {row['pass']:9} {row['ms']:9.1f} {row['fps']:9.2f}"
    line += f" {row['upload_ms']:7.1f} {row['download_ms']:7.1f}"
    line += f" {row['compute_share']:8.0%} {row['memory_share']:8.0%} {row['peak_mb'] or '-':>8}"
    if "compile_s" in row:
        line += f" {row['compile_s']:10.1f} {row['levels_from_fp32']:10.4f}"
    if on_gpu:
        line += f" {row['goal_fps_h100'] or '-':>9}"
    return line + ("  tiled" if row["tiled"] else "") + ("  could not be compiled" if row["failed"] else "")


def bars(rows: Sequence[dict[str, Any]]) -> list[Bars]:
    """What the picture shows of the rows."""
    names = [f"{row['size']} {row['resolution']} {row['pass']}" for row in rows]
    shown = {"frames/s": "fps", "share of the compute ceiling": "compute_share",
             "share of the memory ceiling": "memory_share", "peak memory, MB": "peak_mb"}  # fmt: skip
    return [
        Bars(title, {n: row[key] for n, row in zip(names, rows, strict=True) if row[key] is not None})
        for title, key in shown.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lednet bench", description=__doc__.split("\n")[0])
    parser.add_argument("--size", action="append", choices=sorted(SIZES), help="default: small and base")
    of_a_cpu = list(RESOLUTIONS)[:2]
    parser.add_argument(
        "--resolution", action="append", choices=list(RESOLUTIONS), help="default: all; on a CPU 640x360 and 720p"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="also the compiled pass; on a GPU always")
    parser.add_argument(
        "--memory-mb", type=int, default=3072, help="of a pass; what needs more is tiled, five times over"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path, help="PNG to draw the rows into")
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    on_gpu = device.type == "cuda"
    sizes = options.size or ["small", "base"]
    resolutions = options.resolution or (list(RESOLUTIONS) if on_gpu else of_a_cpu)
    compiled = options.compiled or on_gpu
    rows = measure(sizes, resolutions, options.device, options.repeats, compiled, options.memory_mb)
    if options.picture:
        checkpoint.write_atomically(options.picture, bars_picture(bars(rows)))
    if options.json:
        print(json.dumps(machine(device) | {"rows": rows}))
        return 0
    print(", ".join(f"{key} {value}" for key, value in machine(device).items()))
    head = f"{'size':6} {'frame':8} {'pass':9} {'ms':>9} {'frames/s':>9} {'in ms':>7} {'out ms':>7}"
    head += f" {'compute':>8} {'memory':>8} {'peak MB':>8}"
    head += f" {'compile s':>10} {'from fp32':>10}" if compiled else ""
    print(head + (f" {'H100 goal':>9}" if on_gpu else ""))
    for row in rows:
        print(_words(row, on_gpu))
    return 0


if __name__ == "__main__":
    sys.exit(main())
