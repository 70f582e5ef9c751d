"""A night's quality rows, reduced to what a report shows of them.

A page keeps one of these a camera: the rows themselves are tens of megabytes each, gigabytes of a site. Not covered:
what is shown of it (`tasks.report_camera`, `tasks.report_plot`), and the rows that stand beside the page
(`tasks.report`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pandas as pd

from tasks.types import NANOSECONDS

SIDES = "before", "after"
NIGHT_BINS = 160
"""Parts that a night is shown in at most; a longer one is averaged."""
COURSE = [f"brightness_{side}" for side in SIDES]


@dataclass(frozen=True)
class NightFigures:
    """What a report shows of a night's quality rows."""

    first: pd.DataFrame
    """The first of the rows, none of a night without a frame: it tells their columns and types."""
    means: Mapping[str, float]
    """Of every column over the frames; NaN where it was not measured."""
    course: pd.DataFrame
    """Brightness before and after over the night, in `NIGHT_BINS` equal parts at most, NaN where one has no frame;
    without columns where that is not known."""
    start_ns: int
    """Time of the night's first slot, Unix, UTC; 0 where it is not known."""


def reduced(rows: pd.DataFrame, manifest: Mapping[str, Any]) -> NightFigures:
    """A published night's quality rows (slot, time_ns, figures) in brief."""
    numbers = {str(name): pd.to_numeric(rows[name], errors="coerce") for name in rows.columns}
    means = {name: float(values.mean()) for name, values in numbers.items()}
    first = rows.head(1)
    if rows.empty or not {"slot", "time_ns", *COURSE} <= means.keys():
        return NightFigures(first, means, pd.DataFrame(), 0)
    slots = max(int(manifest["slots"]), 1)
    bins = min(slots, NIGHT_BINS)
    parts = rows[COURSE].groupby(rows["slot"] * bins // slots)
    step = NANOSECONDS / Fraction(str(manifest["camera"]["rate"]))
    start = round(int(rows["time_ns"].iloc[0]) - int(rows["slot"].iloc[0]) * step)
    return NightFigures(first, means, parts.mean().dropna().reindex(range(bins)), start)
