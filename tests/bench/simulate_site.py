"""How a night of 1,000 cameras scales from 1 to 256 workers: `python -m tests.bench.simulate_site`.

A discrete-event simulation of `flows.enhance_night`: one driver plans camera after camera and submits their work items
one after the other, workers take the oldest that is ready. How long items take is drawn from recorded ones:

    --record FILE     run work items on this machine and write their seconds a frame to FILE
    --times FILE      a recording (default: the one beside this script)
    --fps N           scale the recording so that a worker restores N frames a second; its spread stays

What a work item and a camera's plan cost the driver is measured by bench_overhead.py and bench_planning.py and given
here. Prints a table; `--svg FILE` draws it. Not simulated: the store's and the archive's bandwidth, which are told as
what they would have to deliver.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

RECORDING = Path(__file__).with_name("recorded_items.json")
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BUSY = 0.9
"""Workers that are busy for less of the night than this no longer pay."""


@dataclass(frozen=True)
class Site:
    cameras: int = 1_000
    frames_per_camera: int = 12 * 3600 * 5
    frames_per_item: int = 1_500
    item_overhead_s: float = 0.05
    plan_s: float = 0.4


def simulate(site: Site, seconds_a_frame: np.ndarray, workers: int, seed: int = 0) -> tuple[float, float]:
    """Seconds until the last work item is done, and the share of that in which workers were busy."""
    rng = np.random.default_rng(seed)
    per_camera = -(-site.frames_per_camera // site.frames_per_item)
    free = [0.0] * workers  # when each worker is next free
    driver = busy = 0.0
    for _ in range(site.cameras):
        driver += site.plan_s
        for took in rng.choice(seconds_a_frame, per_camera) * site.frames_per_item:
            driver += site.item_overhead_s
            start = max(driver, free[0])
            heapq.heapreplace(free, start + took)
            busy += took
    end = max(free)
    return end, busy / (end * workers)


def record(path: Path, items: int, frames: int) -> None:
    """Run work items of drawn footage here, and write their seconds a frame."""
    from lednet import __version__
    from tasks import store
    from tasks.bench_clip import drawn_clip
    from tasks.bench_item import _plan
    from tasks.enhance import enhance_item
    from tasks.settings import NightSettings

    settings = replace(NightSettings(), item_slots=frames, shard_least=frames, shard_most=frames)
    with TemporaryDirectory() as name:
        clip = Path(name) / "archive" / "bench" / "2026-01-15_22-00-00.mp4"
        clip.parent.mkdir(parents=True)
        drawn_clip(clip, items * frames, 180, 320)
        plan = _plan(Path(name) / "store", clip, items * frames, settings)
        store.create_run(plan, settings, __version__)
        done = [enhance_item(item, settings) for item in plan.items]
    rates = [r.seconds / r.frames for r in done[1:] if r.frames]  # the first one loads the weights
    path.write_text(json.dumps({"frame": "320x180", "seconds_a_frame": [round(r, 4) for r in rates]}) + "\n")


def svg(rows: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Speed-up over one worker by workers, both logarithmic, one line a case; the diagonal is perfect scaling."""
    size, left, top = 420, 60, 20
    span = np.log2(WORKERS[-1])

    def at(workers: float, speed: float) -> str:
        return f"{left + np.log2(workers) / span * size:.1f} {top + size - np.log2(max(speed, 1)) / span * size:.1f}"

    parts = [f'<path d="M{at(1, 1)}L{at(WORKERS[-1], WORKERS[-1])}" stroke="#bbb" stroke-dasharray="4" fill="none"/>']
    for workers in WORKERS:
        x, y = at(workers, workers).split()
        parts.append(f'<text x="{x}" y="{top + size + 18}" text-anchor="middle">{workers}</text>')
        parts.append(f'<text x="{left - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{workers}</text>')
    for (name, points), colour in zip(rows.items(), ("#0072b2", "#d55e00", "#009e73", "#cc79a7"), strict=False):
        line = "L".join(at(*p) for p in points)
        x, y = at(*points[-1]).split()
        parts.append(f'<path d="M{line}" stroke="{colour}" stroke-width="2" fill="none"/>')
        parts.append(f'<text x="{float(x) + 6:.1f}" y="{float(y) + 4:.1f}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{left + size / 2}" y="{top + size + 38}" text-anchor="middle">workers</text>')
    parts.append(f'<text x="12" y="{top - 6}">times as fast as one worker</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + size + 230} {top + size + 50}" '
    style = 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    path.write_text(head + style + "".join(parts) + "</svg>\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--record", type=Path)
    parser.add_argument("--times", type=Path, default=RECORDING)
    parser.add_argument("--fps", type=float, action="append", help="may be given more than once")
    parser.add_argument("--cameras", type=int, default=Site.cameras)
    parser.add_argument("--item-overhead", type=float, default=Site.item_overhead_s, help="seconds of the driver")
    parser.add_argument("--plan", type=float, default=Site.plan_s, help="seconds of the driver a camera")
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    if options.record:
        record(options.record, 13, 5)
        return 0
    recorded = np.array(json.loads(options.times.read_text())["seconds_a_frame"])
    site = Site(options.cameras, item_overhead_s=options.item_overhead, plan_s=options.plan)
    curves: dict[str, list[tuple[int, float]]] = {}
    print("| frames/s of a worker | workers | hours | times one worker | workers busy |")
    print("|---:|---:|---:|---:|---:|")
    for fps in options.fps or [1 / recorded.mean()]:
        times = recorded / recorded.mean() / fps
        runs = [(workers, *simulate(site, times, workers)) for workers in WORKERS]
        for workers, end, busy in runs:
            print(f"| {fps:.3g} | {workers} | {end / 3600:.2f} | {runs[0][1] / end:.1f} | {busy:.1%} |")
        curves[f"{fps:.3g} frames/s a worker"] = [(workers, runs[0][1] / end) for workers, end, _ in runs]
        paying = max((workers for workers, _, busy in runs if busy >= BUSY), default=0)
        item = site.frames_per_item / fps
        limit = item / (site.item_overhead_s + site.plan_s * site.frames_per_item / site.frames_per_camera)
        print(f"|  | | | | busy {BUSY:.0%} up to {paying}; the driver feeds {limit:.0f} workers |")
    if options.svg:
        svg(curves, options.svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
