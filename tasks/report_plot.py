"""The report's plots as SVG paths: a figure over the nights, and brightness over one night.

Every plot is a box of 1000 by 100 that the page stretches; its scale is written beside it as text. Not covered: colours
and layout (templates/report.css).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from tasks.page_format import local, number, percent
from tasks.report_figures import SIDES
from tasks.report_values import METRICS, TRUTH_METRICS, CameraSection, Metric, bounds, fact
from tasks.types import NANOSECONDS

WIDTH, HEIGHT = 1000, 100
MOST_NIGHTS = 60
"""Nights that a trend goes back."""
COVERAGE = Metric("coverage", "%", 100, 0)
TRENDS = (
    (COVERAGE, "coverage"),
    *((m, f"{m.key}_after") for m in METRICS if m.key != "contrast"),
    *((m, m.key) for m in TRUTH_METRICS),
)
"""Figure and its column in the facts."""


def trends(history: Sequence[Mapping[str, Any]], night: str, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A plot for every figure that is known of two nights at least: path, band, scale, and where the model changed.

    Args:
        history: a camera's nights in order, each a row of facts.
        night: the last one to show, YYYY-MM-DD; it stands at the right edge.
        summary: the camera's row of the night's summary, whose `<column>_low` and `<column>_high` bound the band.
    """
    last = date.fromisoformat(night)
    first = (last - timedelta(days=MOST_NIGHTS)).isoformat()
    recent = [row for row in history if first < str(row["night"])[:10] <= night]
    drawn = [_trend(recent, metric, column, last, summary) for metric, column in TRENDS]
    return [plot for plot in drawn if plot]


def _trend(
    rows: Sequence[Mapping[str, Any]], metric: Metric, column: str, last: date, summary: Mapping[str, Any]
) -> dict[str, Any] | None:
    known = [row for row in rows if math.isfinite(fact(row, column))]
    if len(known) < 2:
        return None
    days = [date.fromisoformat(str(row["night"])[:10]) for row in known]
    span = max((last - days[0]).days, 1)
    x = [(day - days[0]).days * WIDTH / span for day in days]
    values = [fact(row, column) * metric.scale for row in known]
    low, high = bounds(metric, summary, column)
    bottom, top = _scale([*values, low, high], metric)
    y = [_y(v, bottom, top) for v in values]
    unbroken = [False, *((b - a).days == 1 for a, b in pairwise(days))]
    return {
        "metric": metric,
        "nights": len(known),
        "line": _line(x, y, unbroken),
        "band": _band(_y(low, bottom, top), _y(high, bottom, top)),
        "dot": f"M{x[-1]:.0f} {y[-1]:.1f}h0",
        "models": [f"{at:.0f}" for at in _model_changes(known, x)],
        "bottom": number(bottom, metric.digits),
        "top": number(top, metric.digits),
        "first": _written(values[0], metric),
        "now": _written(values[-1], metric),
        "lowest": _written(min(values), metric),
        "highest": _written(max(values), metric),
        "from": days[0].isoformat(),
        "to": days[-1].isoformat(),
    }


def _scale(values: list[float], metric: Metric) -> tuple[float, float]:
    """Bottom and top, with room; a figure that hardly moves is not blown up to fill the plot."""
    if metric is COVERAGE:
        return 0.0, 100.0
    finite = [v for v in values if math.isfinite(v)]
    low, high = min(finite), max(finite)
    room = max((high - low) * 0.15, abs(high) * 0.05, 10.0**-metric.digits)
    return max(low - room, 0.0) if low >= 0 else low - room, high + room


def _written(value: float, metric: Metric) -> str:
    """A night's figure; only a whole night is covered by 100 %, as everywhere on the page."""
    return percent(value / metric.scale).removesuffix("%") if metric is COVERAGE else number(value, metric.digits)


def _y(value: float, bottom: float, top: float) -> float:
    return HEIGHT - (value - bottom) / (top - bottom) * HEIGHT


def _line(x: list[float], y: list[float], unbroken: list[bool]) -> str:
    """Lines between points that follow each other; h0 makes a dot of a lonely one."""
    parts = []
    for n, joined in enumerate(unbroken):
        lonely = not joined and not any(unbroken[n + 1 : n + 2])
        parts.append(f"{'L' if joined else 'M'}{x[n]:.0f} {y[n]:.1f}{'h0' if lonely else ''}")
    return "".join(parts)


def _band(low: float, high: float) -> str:
    """The range that nights vary in, over the whole width; nothing where it is not known."""
    return f"M0 {high:.1f}H{WIDTH}V{low:.1f}H0Z" if math.isfinite(low) and math.isfinite(high) else ""


def _model_changes(known: Sequence[Mapping[str, Any]], x: list[float]) -> list[float]:
    models = [str(row.get("model_sha") or row.get("model", "")) for row in known]  # a retrained one may keep its name
    return [x[n] for n in range(1, len(models)) if models[n] != models[n - 1]]


def over_the_night(section: CameraSection, zone: ZoneInfo) -> dict[str, Any] | None:
    """Paths of brightness over the night, and the stretches without a picture."""
    means, slots = section.figures.course, max(int(section.manifest["slots"]), 1)
    if means.empty:
        return None
    bins = len(means)
    top = max(math.ceil(np.nan_to_num(means.to_numpy()).max() * 20), 1) / 20
    empty = means["brightness_after"].isna().tolist()
    holes = [list(run) for hole, run in groupby(range(bins), lambda b: empty[b]) if hole]
    night = slots * NANOSECONDS / Fraction(str(section.manifest["camera"]["rate"]))
    return {
        **{side: _path(means[f"brightness_{side}"].tolist(), top) for side in SIDES},
        "missing": [(f"{run[0] * WIDTH / bins:g}", f"{len(run) * WIDTH / bins:g}") for run in holes],
        "top": f"{top:.0%}",
        "times": [local(round(section.figures.start_ns + night * n / 2), zone)[1] for n in range(3)],
    }


def _path(values: list[float], top: float) -> str:
    there = [n for n, value in enumerate(values) if not math.isnan(value)]
    x = [(n + 0.5) * WIDTH / len(values) for n in there]
    unbroken = [n > 0 and not math.isnan(values[n - 1]) for n in there]
    return _line(x, [_y(values[n], 0, top) for n in there], unbroken)
