"""What a soak saw, and what is made of it: slopes, pace, open files, the verdict, a table, a CSV file and a picture.

Not covered: how it is seen (`tests.soak.__main__`).
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WARM_UP = 0.25
"""Share of the run that is left out of the slopes. Until then processes grow to what they need and keep: modules that
are imported at first use, the allocator's pools, connections, and caches that have a bound."""
MOST_SLOPE_MB = 1.0
"""Per 1,000 frames: a process that kept a hundredth of the frames that it sees would pass it at 1080p."""
MOST_MORE_FILES = 2
"""Connections come and go."""
LEAST_PACE = 0.9
"""Of the last quarter to the second; what is below is no noise on a machine without other work."""
MOST_COST = 1.1


@dataclass(frozen=True)
class Look:
    """One process, at one moment."""

    name: str
    pid: int
    memory_mb: float
    """Resident."""
    files: int
    cpu_s: float
    """Spent so far."""


@dataclass(frozen=True)
class Sample:
    """All processes at one moment."""

    seconds: float
    frames: int
    """Stored so far, by the receipts."""
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Row:
    """What became of one process."""

    name: str
    first_mb: float
    """When the warm-up was over."""
    last_mb: float
    most_mb: float
    slope_mb: float
    """Per 1,000 frames, by least squares after the warm-up."""
    files: tuple[float, float]
    """Open, the median of the second quarter and of the last."""

    @property
    def flat(self) -> bool:
        """Whether memory and open files stay where they are."""
        return self.slope_mb <= MOST_SLOPE_MB and self.files[1] <= self.files[0] + MOST_MORE_FILES


@dataclass(frozen=True)
class Verdict:
    """A soak's figures."""

    rows: tuple[Row, ...]
    frames: int
    seconds: float
    paces: tuple[float, float]
    """Frames a second, in the second quarter and in the last."""
    costs: tuple[float, float]
    """Milliseconds of CPU a frame, all processes together, in the same."""
    ended: tuple[str, ...]
    """Processes that were not there from the warm-up to the end."""

    @property
    def passed(self) -> bool:
        """Flat, as fast at the end as at the start, and nobody died."""
        pace = self.paces[1] >= LEAST_PACE * self.paces[0]
        cost = self.costs[1] <= MOST_COST * self.costs[0]
        return pace and cost and not self.ended and all(row.flat for row in self.rows)


def judge(samples: Sequence[Sample]) -> Verdict:
    """The figures of a run. A process is who has the same name and id."""
    after = samples[int(len(samples) * WARM_UP) :]
    begun = {(look.name, look.pid) for look in after[0].looks}
    everywhere = begun.intersection(*({(look.name, look.pid) for look in s.looks} for s in after))
    rows = [_row(name, pid, samples, after) for name, pid in sorted(everywhere)]
    ended = tuple(sorted(name for name, _ in begun - everywhere))
    second, last = _quarter(samples, 1), _quarter(samples, 3)
    return Verdict(
        tuple(rows), samples[-1].frames, samples[-1].seconds,
        (_pace(second), _pace(last)), (_cost(second, everywhere), _cost(last, everywhere)), ended,
    )  # fmt: skip


def _row(name: str, pid: int, samples: Sequence[Sample], after: Sequence[Sample]) -> Row:
    def series(chosen: Sequence[Sample], value: Callable[[Look], float]) -> list[float]:
        return [value(look) for s in chosen for look in s.looks if (look.name, look.pid) == (name, pid)]

    memory = series(after, lambda look: look.memory_mb)
    thousands = [s.frames / 1000 for s in after]
    slope = float(np.polyfit(thousands, memory, 1)[0]) if thousands[-1] > thousands[0] else 0.0
    early, late = (
        statistics.median(series(_quarter(samples, k), lambda look: look.files) or [0.0]) for k in (1, 3)
    )  # fmt: skip
    return Row(name, memory[0], memory[-1], max(memory), slope, (early, late))


def _quarter(samples: Sequence[Sample], k: int) -> Sequence[Sample]:
    return samples[k * len(samples) // 4 : max((k + 1) * len(samples) // 4, k * len(samples) // 4 + 2)]


def _pace(samples: Sequence[Sample]) -> float:
    return (samples[-1].frames - samples[0].frames) / max(samples[-1].seconds - samples[0].seconds, 1e-9)


def _cost(samples: Sequence[Sample], processes: set[tuple[str, int]]) -> float:
    def spent(sample: Sample) -> float:
        return sum(look.cpu_s for look in sample.looks if (look.name, look.pid) in processes)

    frames = samples[-1].frames - samples[0].frames
    return 1000 * (spent(samples[-1]) - spent(samples[0])) / max(frames, 1)


def table(verdict: Verdict) -> str:
    """The verdict as a Markdown table and lines below it."""
    per_hour = verdict.frames / 1000 * 3600 / max(verdict.seconds, 1e-9)
    lines = [
        "| process | MB after the warm-up | at the end | most | MB per 1,000 frames | MB an hour | open files |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in verdict.rows:
        lines.append(
            f"| {r.name} | {r.first_mb:.1f} | {r.last_mb:.1f} | {r.most_mb:.1f} | {r.slope_mb:+.3f} "
            f"| {r.slope_mb * per_hour:+.1f} | {r.files[0]:g}, {r.files[1]:g} |"
        )
    lines += [
        "",
        f"{verdict.frames} frames in {verdict.seconds:.0f} s; open files: medians of the second and the last quarter",
        f"pace: {verdict.paces[0]:.2f} frames/s in the second quarter, {verdict.paces[1]:.2f} in the last",
        f"cost: {verdict.costs[0]:.1f} ms of CPU a frame in the second quarter, {verdict.costs[1]:.1f} in the last",
        *(f"ended before the night did: {name}" for name in verdict.ended),
        "passed" if verdict.passed else "FAILED",
    ]
    return "\n".join(lines)


def write_csv(samples: Sequence[Sample], path: Path) -> None:
    """Every look as a row."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("seconds", "frames", "process", "pid", "memory_mb", "files", "cpu_s"))
        for s in samples:
            for look in s.looks:
                memory, cpu = f"{look.memory_mb:.2f}", f"{look.cpu_s:.2f}"
                writer.writerow((f"{s.seconds:.1f}", s.frames, look.name, look.pid, memory, look.files, cpu))
