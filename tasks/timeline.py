"""What a night's rows and files say of time: gaps, standstills of the picture, and the recorder's clock.

Pure functions on the quality rows and the manifest. A clock that is wrong all along, steadily, cannot be seen here:
only how files of one recorder fit together can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.facts import NIGHT_METRICS
from tasks.page_format import local
from tasks.types import NANOSECONDS, Grid

GAP_LEAST_S, GAP_LEAST_SLOTS = 1.0, 2
"""Shorter stretches of empty slots are a recorder's dropped frames, not missing footage."""
DIGITS = 10
"""Figures of equal frames agree to so many decimals; sensor noise alone makes a million times as much."""
REPEAT_WITHIN = 256
"""A frame is repeated when one of so many before it was equal: an encoder shows a still picture in as many versions as
there are frames from one key frame to the next, over and over."""
REPEAT_NEAR = 4
"""A frame that equals one of so few before it is repeated whatever else happens: seen a second apart, the versions of a
still picture take turns."""
STILL = 0.001
"""Relative change of the figures from frame to frame, typical of a still picture. Repeated footage that changes more, a
clip that is played in a loop, shows a live scene: real ones, a dark hangar the stillest, change by 0.005 and more."""
STILL_WINDOW = 9
"""Frames that the typical change is taken over."""
SAME_RUN = 4
"""Repeated frames in a row, so that a frame rate doubled by the recorder is no standstill."""
REFRESH = 0.01
"""Relative change of the figures when an encoder draws the same still picture anew."""
STOPPED, REDRAWN = 0.02, 0.2
"""Levels of 255 that `change_before` typically and at most comes to where a picture has stopped beside a clock drawn
into it. Encoders redraw a stopped one by up to 0.12 at a key frame, one with a camera's noise by 0.4 and more; the
stillest real scene, a dark hangar, typically changes by 2.6 from second to second."""
STOPPED_S = 120.0
"""Such a stretch must last so long: an encoder that saves bits leaves a still but live picture alone from one key frame
to the next, which are up to 1200 frames apart."""
LEAST_CONTRAST = 0.004
"""A picture without contrast, one level of 255, has nothing that could stand still."""
ABUT_S = 10.0
"""Files that part or overlap by no more are one recording; wider ones are pauses, or several recorders."""
LEAST_STEPS = 6
"""Files that must follow each other before their steps are averaged to a drift."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of a night."""

    start_ns: int = 0
    end_ns: int = 0

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / NANOSECONDS

    def words(self, zone: ZoneInfo) -> str:
        """From and to in local time; empty for no stretch."""
        return f"{clock(self.start_ns, zone)}–{clock(self.end_ns, zone)}" if self.end_ns > self.start_ns else ""


def clock(time_ns: int, zone: ZoneInfo) -> str:
    """Local time of day, HH:MM:SS, with its zone's name where the clock changes nearby."""
    return local(time_ns - time_ns % NANOSECONDS, zone)[1]


def gaps(slots: Sequence[int], grid: Grid) -> list[Stretch]:
    """Stretches without a frame, of the least length above, given the slots that hold one, in order."""
    edges = np.array([-1, *slots, grid.slots], np.int64)
    empty = np.flatnonzero(np.diff(edges) > 1)
    stretches = [Stretch(grid.time_ns(int(edges[i]) + 1), grid.time_ns(int(edges[i + 1]))) for i in empty]
    least = max(GAP_LEAST_S, GAP_LEAST_SLOTS / float(grid.rate))
    return [s for s in stretches if s.seconds >= least]


def longest(stretches: Sequence[Stretch]) -> Stretch:
    """The longest of some stretches; an empty one of none."""
    return max(stretches, key=lambda s: s.seconds, default=Stretch())


def longest_standstill(quality: pd.DataFrame) -> Stretch:
    """The longest stretch in which every frame repeats an earlier one, by all figures of the frame as recorded.

    A camera's noise makes no two frames alike, so equal figures to the last digit mean that one picture is repeated. An
    encoder that draws it anew every few seconds does not end the stretch; one that never draws it twice alike, as some
    do at a fixed bit rate, hides the standstill. Where a clock is drawn into the picture, no two frames are equal: then
    most of the picture must have stopped, by `change_before`, and for longer.
    """
    columns = [f"{m}_before" for m in NIGHT_METRICS]
    figures = quality[columns].round(DIGITS)
    if len(figures) < 2:
        return Stretch()
    index = pd.Series(np.arange(len(figures)), index=figures.index)
    age = index - index.groupby([figures[c] for c in columns]).shift()
    seen = figures["contrast_before"] >= LEAST_CONTRAST
    values = figures.to_numpy(float)
    scale = np.maximum(np.abs(values[1:]), np.abs(values[:-1])) + 1e-12
    change = (np.abs(np.diff(values, axis=0)) / scale).max(1)
    typical = pd.Series(change).rolling(STILL_WINDOW, center=True, min_periods=1).median().to_numpy()
    repeats = ((age <= REPEAT_WITHIN) & seen).to_numpy()[1:]
    repeated = repeats & ((age <= REPEAT_NEAR).to_numpy()[1:] | (typical <= STILL))
    times = quality["time_ns"].to_numpy(np.int64)
    whole = [Stretch(int(times[a]), int(times[b])) for a, b in _joined(_runs(repeated), change)]
    around = [Stretch(int(times[a]), int(times[b])) for a, b in _runs(_stopped(quality, change))]
    return longest([*whole, *(s for s in around if s.seconds >= STOPPED_S)])


def _stopped(quality: pd.DataFrame, change: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether most of the picture is repeated, step by step. None was where older versions wrote the rows."""
    if "change_before" not in quality:
        return np.zeros(len(change), np.bool_)
    steps = quality["change_before"].to_numpy(float)[1:]
    typical = pd.Series(steps).rolling(STILL_WINDOW, center=True, min_periods=1).median().to_numpy()
    still = (steps <= REDRAWN) & (typical <= STOPPED)
    # The first frame of a shard is compared with none. There the figures of the whole frame must not change by more
    # than the clock changes them at the steps around.
    clocks = pd.Series(np.where(still, change, 0.0)).rolling(2 * REPEAT_WITHIN, center=True, min_periods=1).max()
    beside = np.pad(still, 1)
    bridged = np.isnan(steps) & beside[:-2] & beside[2:] & (change <= clocks.to_numpy())
    return np.asarray(still | bridged, np.bool_)


def _runs(same: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs of at least `SAME_RUN` equal steps, as (first frame, last frame)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= SAME_RUN]


def _joined(runs: list[tuple[int, int]], change: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Runs that only a single small change parts are one."""
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and first == joined[-1][1] + 1 and change[first - 1] <= REFRESH:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


@dataclass(frozen=True)
class ClockSigns:
    """How a recorder's files fit together in time."""

    overlap_s: float
    """Widest overlap of two files that follow each other."""
    overlap_ns: int
    """When it begins."""
    drift_s_per_h: float
    """Mean step between files that follow each other, above zero where they part; NaN for too few files."""


def clock_signs(manifest: Mapping[str, Any]) -> ClockSigns:
    """How a night's files fit together, by the times in their names and their lengths; broken files are left out."""
    broken = {p["url"] for p in manifest["problems"]}
    files = sorted((s["start_ns"], s["end_ns"]) for s in manifest["segments"] if s["url"] not in broken)
    steps = [((b[0] - a[1]) / NANOSECONDS, a) for a, b in pairwise(files)]
    overlap, at = min(steps, default=(0.0, (0, 0)))
    abutting = [(step, (end - start) / NANOSECONDS) for step, (start, end) in steps if abs(step) <= ABUT_S]
    drift = float("nan")
    if len(abutting) >= LEAST_STEPS:
        drift = 3600 * sum(step for step, _ in abutting) / sum(length for _, length in abutting)
    return ClockSigns(max(0.0, -overlap), at[1] + round(min(0.0, overlap) * NANOSECONDS), drift)
