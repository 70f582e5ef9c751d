"""How fast this machine restores frames: `python -m lednet.bench`, with torch, numpy and OpenCV alone.

Covers the model from uint8 frames to uint8 frames, per size and resolution, interleaved in one run so that the ratios
hold on a busy machine: frames/s, shares of the measured roofline (`lednet.roofline`), peak memory. On a GPU, or with
`--compiled`, both passes, plain and compiled (`lednet.compiled`), and how far their frames are from fp32. As a table,
whose lines come as they are measured, as JSON and as a picture. Not covered: decoding and storing (`tasks.bench_item`;
`lednet bench --item` prints both).
"""

from __future__ import annotations

import argparse
import logging
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lednet import bench_output, checkpoint
from lednet.bars import Bars
from lednet.model import SIZES, LEDNet
from lednet.restorer import Restorer, choose_device
from lednet.roofline import Kernel, Work, ceilings, costliest, peak_memory_mb, seconds
from lednet.transfer import collect

RESOLUTIONS = {"640x360": (360, 640), "720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}

GOALS = {("small", "1080p"): 120, ("base", "1080p"): 60, ("base", "4K"): 15, ("large", "1080p"): 30}
"""Frames/s that are wanted of an H100: what is measured on a GPU if nothing is asked for, in the order of its cost."""

MEMORY_MB = {"cpu": 3072, "cuda": 16384}
"""Bound of a pass if none is asked for: Restorer's own; on a GPU one that keeps a 4K frame whole."""

LONG_S = 30.0
"""After so many seconds a case is not timed again: frames in 4K take a CPU minutes a pass."""

ON_A_GPU = 8
"""Frames that are timed together on a GPU, where copies overlap the passes; on a CPU they come one by one."""

PLAIN, COMPILED = "plain", "compiled"

log = logging.getLogger(__name__)


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
    before: int = 0
    """`without`, of the sizes of frames before this one."""

    def prepare(self, frames: NDArray[np.uint8]) -> None:
        """The first passes over a size of frames, and all that is measured of them but the time."""
        for kept in (self.times, self.uploads, self.downloads):
            kept.clear()
        self.before = self.without()
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

    def without(self) -> int:
        """Passes that were plain ones because compiling had failed."""
        return self.restorer.compiled.without if self.restorer.compiled is not None else 0

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


Case = tuple[Sequence[str], str]
"""Sizes that are measured in turn, and the resolution."""


def cases(sizes: Sequence[str], resolutions: Sequence[str], on_gpu: bool) -> list[Case]:
    """What to measure if sizes and resolutions are asked for; either may be empty.

    On a GPU each size comes for itself: it compiles for minutes, and what is done is told before the next begins.
    """
    if on_gpu and not sizes and not resolutions:
        return [([size], resolution) for size, resolution in GOALS]
    sizes = sizes or ["small", "base"]
    resolutions = resolutions or list(RESOLUTIONS)
    groups = [[size] for size in sizes] if on_gpu else [sizes]
    return [(group, resolution) for resolution in resolutions for group in groups]


def measure(
    wanted: Sequence[Case], device: str, repeats: int, compiled: bool = False, memory_mb: int = 3072, kernels: int = 0
) -> Iterator[dict[str, Any]]:
    """Median time a frame of every case, by the plain pass and, if wanted, the compiled one; a row each, as they come.

    Each is timed `repeats` times, or fewer where that takes longer than `LONG_S`, as its row tells.

    `memory_share` and `compute_share` are the times that the ceilings would allow over the measured one, for the plain
    pass's operators. Each row tells of so many `kernels`, the costliest. A case that fails is told of and has no row.
    """
    count = ON_A_GPU if choose_device(device).type == "cuda" else 1
    known: dict[str, list[_Run]] = {}
    for sizes, name in wanted:
        try:
            frames = np.stack([_frame(*RESOLUTIONS[name], seed) for seed in range(count)])
            for size in sizes:
                known[size] = known.get(size) or _runs(size, device, compiled, memory_mb)
            yield from _measured([run for size in sizes for run in known[size]], name, frames, repeats, kernels)
        except (RuntimeError, MemoryError) as error:  # no memory, above all
            log.error("%s at %s not measured: %s", ", ".join(sizes), name, str(error).partition("\n")[0])


def _measured(
    runs: Sequence[_Run], resolution: str, frames: NDArray[np.uint8], repeats: int, kernels: int
) -> list[dict[str, Any]]:
    for run in runs:
        run.prepare(frames)
    started = time.perf_counter()
    while len(runs[0].times) < repeats and (not runs[0].times or time.perf_counter() - started < LONG_S):
        for run in runs:
            run.once(frames)
    works = {run.size: run.work for run in runs if run.way == PLAIN}
    rows = [_row(run, resolution, works[run.size]) for run in runs]
    for run, row in zip(runs, rows, strict=True):
        # The compiled pass has a thread of its own, in which a CPU's operators are not seen.
        told = kernels if run.way == PLAIN or run.restorer.device.type == "cuda" else 0
        one = partial(run.restorer.restore, frames[:1])
        row["kernels"] = [kernel._asdict() for kernel in costliest(one, run.restorer.device, told)] if told else []
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
    finest = height * width // 4 * restorer.model.config.channels[0] * restorer.products.itemsize
    best = ceilings(restorer.device, restorer.products, finest)
    compared = {"compile_s": round(run.compile_s, 1), "levels_from_fp32": round(run.apart, 4)} if run.exact else {}
    return {
        "size": run.size,
        "resolution": resolution,
        "pass": run.way,
        "products": "bf16" if restorer.products == torch.bfloat16 else "fp32",
        "repeats": len(run.times),
        "ms": round(1000 * took, 2),
        "fps": round(1 / took, 2),
        "upload_ms": round(1000 * statistics.median(run.uploads), 2),
        "download_ms": round(1000 * statistics.median(run.downloads), 2),
        "tiled": height * width > restorer.pixels_at_once,
        "failed": run.without() > run.before,
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
    """What was measured on, when, and which code, as far as this can be told."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
    }


def _processor() -> str:
    """Its name, on Linux; elsewhere its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _commit() -> str:
    """Of the checkout that this code is in, or "unknown"; with a "+" if anything in it was changed since."""
    checkout = Path(__file__).parents[1]
    command = ["git", "-C", str(checkout), "describe", "--always", "--exclude=*", "--dirty=+"]
    if not (checkout / ".git").exists():  # installed, perhaps within another checkout
        return "unknown"
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _words(row: dict[str, Any], on_gpu: bool) -> str:
    """A line of the table."""
    line = f"{row['size']:6} {row['resolution']:8} {row['pass']:9} {row['products']:4}"
    line += f" {row['ms']:9.1f} {row['fps']:9.2f} {row['upload_ms']:7.1f} {row['download_ms']:7.1f}"
    line += f" {row['compute_share']:8.0%} {row['memory_share']:8.0%} {row['peak_mb'] or '-':>8}"
    if "compile_s" in row:
        line += f" {row['compile_s']:10.1f} {row['levels_from_fp32']:10.4f}"
    if on_gpu:
        line += f" {row['goal_fps_h100'] or '-':>9}"
    line += ("  tiled" if row["tiled"] else "") + ("  could not be compiled" if row["failed"] else "")
    for kernel in (Kernel(**told) for told in row["kernels"]):
        line += f"\n{'':6} {kernel.ms:9.3f} ms {kernel.calls:5} x  {kernel.name[:90]}"
    return line


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
    parser.add_argument(
        "--resolution", action="append", choices=list(RESOLUTIONS),
        help="default: all of them; on a GPU, with no --size either, what the goals are for",
    )  # fmt: skip
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=5, help=f"most, and no more after {LONG_S:g} s (default: 5)")
    parser.add_argument("--compiled", action="store_true", help="also the compiled pass; on a GPU always")
    parser.add_argument(
        "--memory-mb",
        type=int,
        help="of a pass; what needs more is tiled, some three times over. Default: 3072, 16384 on a GPU",
    )
    parser.add_argument("--kernels", type=int, default=0, metavar="N", help="tell the N costliest kernels of each pass")
    bench_output.add_options(parser)
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    if options.memory_mb is not None and options.memory_mb < 1:
        parser.error("--memory-mb must be at least 1")
    if options.kernels < 0:
        parser.error("--kernels must be at least 0")
    bench_output.refuse_unwritable(parser, options)
    try:
        device = choose_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    on_gpu = device.type == "cuda"
    compiled = options.compiled or on_gpu
    wanted = cases(options.size or [], options.resolution or [], on_gpu)
    memory_mb = options.memory_mb or MEMORY_MB[device.type]
    logging.basicConfig()
    logging.getLogger("lednet.compiled").setLevel(logging.DEBUG)  # why a pass could not be compiled, in full
    rows: list[dict[str, Any]] = []
    where, table = machine(device), options.json != bench_output.PRINTED
    if table:
        print(", ".join(f"{key} {value}" for key, value in where.items()))
        head = f"{'size':6} {'frame':8} {'pass':9} {'type':4} {'ms':>9} {'frames/s':>9} {'in ms':>7} {'out ms':>7}"
        head += f" {'compute':>8} {'memory':>8} {'peak MB':>8}"
        head += f" {'compile s':>10} {'from fp32':>10}" if compiled else ""
        print(head + (f" {'H100 goal':>9}" if on_gpu else ""), flush=True)
    for row in measure(wanted, options.device, options.repeats, compiled, memory_mb, options.kernels):
        rows.append(row)
        if table:
            print(_words(row, on_gpu), flush=True)
            # Each time anew: a lent GPU's time may be over before all is measured.
            bench_output.write(options, where | {"rows": rows}, bars(rows))
    if not table or not rows:
        bench_output.write(options, where | {"rows": rows}, bars(rows))
    return 0 if len(rows) == sum(len(sizes) for sizes, _ in wanted) * (1 + compiled) else 1


if __name__ == "__main__":
    sys.exit(main())
