"""Whether restoration got worse or better on a camera: after a change of the model, and from night to night.

Three questions, three tests; nights are the units of all.
- A new model is judged by PSNR and SSIM of the synthesised night, which only the model can change: its mean over the
  nights since the change against the nights before, on the same daylight. The difference must leave the interval
  t * s * sqrt(1/k + 1/n), and be more than anybody would miss. Nights on the same daylight are all but equal, so that
  interval says nothing of the few frames that were drawn: the difference must also leave t * s / sqrt(frames), with s
  from the differences frame by frame, or a model that is as good but renders some frames brighter would be blamed.
- Where no daylight of the camera is known, a new model is held against the old one by contrast, sharpness and noise
  after restoration. Weather, and a model that is only different, change them as well, so this asks for attention.
- A night under one model is judged by contrast and sharpness after restoration: one figure against the camera's earlier
  nights, outside t * s * sqrt(1 + 1/n) and a large part of the usual. Weather changes them as well, so this asks for
  attention and never says bad.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from tasks.findings import Finding
from tasks.health import HealthSettings, unspoilt

TREND_METRICS = ("contrast_after", "sharpness_after")
LEAST_PAIRS = 3
"""Fewer frames give no interval of their own."""
UNPROVEN = {"contrast_after": -1, "sharpness_after": -1, "noise_after": 1}
"""Figures of a new model without a truth, and the direction that is worse."""


def trend_findings(
    night: Mapping[str, Any], earlier: pd.DataFrame, settings: HealthSettings, *, hindered: bool
) -> list[Finding]:
    """What got worse or better on a camera.

    Args:
        night: its row of facts.
        earlier: its rows of the nights before, at most `history_nights` of them.
        hindered: whether something else explains the night's figures, such as a cover on the lens.
    """
    if not night["frames"]:
        return []
    known = earlier[earlier["frames"] > 0].sort_values("night")
    found = list(_model_change(night, known, settings))
    if hindered:
        return found
    # Pictures of a night that was covered or out of focus tell nothing of what restores them.
    seen = unspoilt(known, settings)
    return [*found, *_unproven_change(night, seen, settings), *_night_change(night, seen, settings)]


def _model_change(night: Mapping[str, Any], known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    comparable = known[known["reference_key"] == night["reference_key"]]
    others = comparable[comparable["model_sha"] != night["model_sha"]]
    if others.empty:
        return
    # The nights since the last change, and those before it under the model of that time.
    last = others.iloc[-1]
    since = comparable[comparable["night"] > last["night"]]
    before = others[others["model_sha"] == last["model_sha"]]
    for metric, least in (("psnr", s.model_psnr_db), ("ssim", s.model_ssim)):
        old = before[metric].dropna().to_numpy(float)
        new = np.append(since[metric].to_numpy(float), night[metric])
        new = new[np.isfinite(new)]
        if len(old) < s.least_nights or not len(new):
            continue
        half = _half_width(old, len(new), s.model_confidence)
        paired = _paired_half_width(last, night, metric, s.model_confidence)
        change, limit = float(new.mean() - old.mean()), max(half, paired, least)
        if abs(change) > limit:
            kind, severity = ("worse", "bad") if change < 0 else ("better", "note")
            values: dict[str, float | str] = {
                "case": "model",
                "metric": metric,
                "value": float(new.mean()),
                "usual": float(old.mean()),
                "threshold": float(old.mean() + math.copysign(limit, change)),
                "before": _version(last),
                "after": _version(night),
            }
            yield Finding(night["camera"], kind, severity, values)


def _unproven_change(night: Mapping[str, Any], known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    others = known[known["model_sha"] != night["model_sha"]]
    if others.empty or math.isfinite(night["psnr"]):
        return
    last = others.iloc[-1]
    since = known[known["night"] > last["night"]]
    for metric, worse in UNPROVEN.items():
        old = others.loc[others["model_sha"] == last["model_sha"], metric].dropna().to_numpy(float)
        new = np.append(since[metric].to_numpy(float), night[metric])
        new = new[np.isfinite(new)]
        if len(old) < s.least_nights or not len(new):
            continue
        usual = float(old.mean())
        limit = max(_half_width(old, len(new), s.trend_confidence), s.trend_change * abs(usual))
        if (float(new.mean()) - usual) * worse > limit:
            values: dict[str, float | str] = {
                "case": "unproven",
                "metric": metric,
                "value": float(new.mean()),
                "usual": usual,
                "threshold": usual + worse * limit,
                "before": _version(last),
                "after": _version(night),
                "slot": float(night["typical_slot"]),
            }
            yield Finding(night["camera"], "worse", "attention", values)


def _version(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """A model as people tell it from another of its name."""
    return f"{row['model']} ({str(row['model_sha'])[:8]})"


def _night_change(night: Mapping[str, Any], known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    same = known[known["model_sha"] == night["model_sha"]]
    for metric in TREND_METRICS:
        usual = same[metric].dropna().to_numpy(float)
        if len(usual) < s.least_nights or not math.isfinite(night[metric]):
            continue
        mean = float(usual.mean())
        limit = max(_half_width(usual, 1, s.trend_confidence), s.trend_change * abs(mean))
        change = float(night[metric]) - mean
        if abs(change) > limit:
            kind, severity = ("worse", "attention") if change < 0 else ("better", "note")
            values: dict[str, float | str] = {
                "metric": metric,
                "value": float(night[metric]),
                "usual": mean,
                "nights": float(len(usual)),
                "threshold": mean + math.copysign(limit, change),
                "slot": float(night["typical_slot"]),
            }
            yield Finding(night["camera"], kind, severity, values)


def _paired_half_width(old: pd.Series[Any], night: Mapping[str, Any], metric: str, confidence: float) -> float:
    """Half of the interval of the mean difference of two models' frames; 0 where older facts do not know frames."""
    names = [n for n in old.index if str(n).startswith(f"{metric}_frame_")]
    apart = np.array([float(night.get(n, math.nan)) - float(old[n]) for n in names])
    apart = apart[np.isfinite(apart)]
    if len(apart) < LEAST_PAIRS:
        return 0.0
    t = float(stdtrit(len(apart) - 1, (1 + confidence) / 2))
    return t * float(apart.std(ddof=1)) / math.sqrt(len(apart))


def _half_width(known: np.ndarray[Any, np.dtype[np.float64]], count: int, confidence: float) -> float:
    """Half of the interval that the mean of `count` more nights like the known ones falls in."""
    n = len(known)
    t = float(stdtrit(n - 1, (1 + confidence) / 2))
    return t * float(known.std(ddof=1)) * math.sqrt(1 / count + 1 / n)
