"""What facts come to: means with their intervals, changes, and each camera's verdict with its reasons.

Nights are the units throughout: a night's mean over its frames is one number, and intervals tell how those numbers vary
from night to night, by Student's t. Frames are no units: those of one night resemble each other, and a thousand of them
would make any difference look certain. Pure functions on the table of `tasks.facts`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from tasks.findings import Finding
from tasks.health import HealthSettings, findings_of
from tasks.nights import night_before
from tasks.trends import trend_findings
from tasks.types import Camera

HEADLINES = ("brightness_after", "contrast_after", "noise_after", "sharpness_after", "psnr", "ssim")
"""Figures that a camera is summed up by. `psnr` and `ssim` are of the synthesised night."""
WEEK, FOUR_WEEKS = 7, 28
LEAST_NIGHTS = 3
"""Fewer nights give neither an interval nor a change."""
CONFIDENCE = 0.95
SUMMARY_COLUMNS = ("camera", "name", "scene", "night", "model", "frames", "coverage", "quarantined", "no_frame_s")
GRAVITY = ("missing", "bad", "attention", "under way", "good")
LEVELS = ("camera", "scene", "model_sha", "night")


def between(facts: pd.DataFrame, first: str, last: str) -> pd.DataFrame:
    """The facts of the nights from `first` to `last`, both included."""
    return facts[(facts["night"] >= first) & (facts["night"] <= last)]


def aggregate(
    facts: pd.DataFrame, by: Sequence[str], metrics: Sequence[str] = HEADLINES, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Means of groups of nights, one row a group and metric.

    Args:
        facts: table of `tasks.facts`.
        by: columns that make a group, such as camera, scene, night, model_sha.

    Returns:
        The columns of `by`; metric; mean; low and high, the confidence interval of that mean, mean +- t * s / sqrt(n)
        with n - 1 degrees of freedom; count, the n of units that have the metric; coverage, the mean over all units.
        Units are nights, of which each is first averaged over its cameras. Only where `by` holds the night are they
        cameras. Below 3 units there is no interval.
    """
    unit = "camera" if "night" in by else "night"
    keys = list(dict.fromkeys([*by, unit]))
    units = facts.groupby(keys, sort=True)[[*metrics, "coverage"]].mean().reset_index()
    groups = units.groupby(list(by), sort=True)
    mean, deviation, count = (getattr(groups[list(metrics)], f)() for f in ("mean", "std", "count"))
    half = t_quantile(confidence, count - 1) * deviation / np.sqrt(count)
    half = half.where(count >= LEAST_NIGHTS)
    parts = {"mean": mean, "low": mean - half, "high": mean + half, "count": count}
    long = pd.concat({name: part.stack(future_stack=True) for name, part in parts.items()}, axis=1)
    long = long.rename_axis([*by, "metric"]).reset_index()
    table: pd.DataFrame = long.merge(groups["coverage"].mean().reset_index(), on=list(by))
    return table.astype({"count": int})


def t_quantile(confidence: float, freedom: Any) -> Any:
    """Two-sided quantile of Student's t: a normal value of so many degrees of freedom stays within it, +-."""
    return stdtrit(np.maximum(freedom, 1), (1 + confidence) / 2)


def changes(facts: pd.DataFrame, night: str, by: Sequence[str], metrics: Sequence[str] = HEADLINES) -> pd.DataFrame:
    """A night's figures and how they differ from the mean of the 7 and of the 28 nights before it.

    Returns:
        One row a group and metric: the columns of `by`, metric, value, change7, change28. A change is NaN where fewer
        than 3 of the nights before have the metric.
    """
    now = aggregate(between(facts, night, night), by, metrics).rename(columns={"mean": "value"})
    result = now[[*by, "metric", "value"]]
    for days in (WEEK, FOUR_WEEKS):
        before = aggregate(between(facts, night_before(night, days), night_before(night, 1)), by, metrics)
        before["mean"] = before["mean"].where(before["count"] >= LEAST_NIGHTS)
        result = result.merge(before[[*by, "metric", "mean"]], on=[*by, "metric"], how="left")
        result[f"change{days}"] = result["value"] - result.pop("mean")
    return result


def group_table(facts: pd.DataFrame, night: str) -> pd.DataFrame:
    """Every camera, scene, model version and night of the four weeks that end with a night, one row a metric.

    Columns: level, group, metric, mean, low, high, count, coverage, value, change7, change28; see `aggregate` and
    `changes`. A single night of all cameras has no change of its own.
    """
    window = between(facts, night_before(night, FOUR_WEEKS - 1), night)
    tables = []
    for level in LEVELS:
        table = aggregate(window, [level])
        if level != "night":
            table = table.merge(changes(facts, night, [level]), on=[level, "metric"], how="left")
        tables.append(table.rename(columns={level: "group"}).assign(level=level))
    order = ["level", "group", "metric", "mean", "low", "high", "count", "coverage", "value", "change7", "change28"]
    return pd.concat(tables, ignore_index=True).reindex(columns=order)


def camera_summary(
    facts: pd.DataFrame,
    night: str,
    cameras: Sequence[Camera] = (),
    settings: HealthSettings = HealthSettings(),  # noqa: B008 (frozen)
    under_way: Collection[str] = (),
) -> pd.DataFrame:
    """A night in one row a camera, the gravest first.

    Args:
        facts: table of `tasks.facts`, of this night and the 28 before; the settings' `history_nights` if they are more.
        night: YYYY-MM-DD.
        cameras: the site's; those without facts of the night stand in the table as missing. By default the cameras
            that the facts know.
        settings: thresholds of camera health.
        under_way: ids of the cameras that are still being restored, which are not missing.

    Returns:
        camera, name, scene, night, model, frames, coverage, quarantined; no_frame_s, the facts' gaps_s: the seconds of
        the stretches without a frame; this and quarantined are empty for a camera without facts, of which nobody knows
        how many files can't be read; for each headline metric m: m, the night's mean;
        m_low and m_high, in which 95 % of such nights fall by how the 28 nights before vary: their mean +- t * s *
        sqrt(1 + 1/n); m_change7 and m_change28, the difference to the mean of the nights before; verdict (good,
        attention, bad, missing or under way); findings, a list of Finding.
    """
    window = between(facts, night_before(night, FOUR_WEEKS), night)
    known = _described(window, night, cameras)
    tonight = window[window["night"] == night]
    rows = known.merge(tonight.drop(columns=["name", "scene"]), on="camera", how="left")
    # Under another name than in cameras.csv, whose gaps_s are those between recorded files.
    rows = rows.rename(columns={"gaps_s": "no_frame_s"})
    rows["night"] = night
    for name in ("frames", "coverage"):
        rows[name] = rows[name].fillna(0)
    rows["model"] = rows["model"].fillna("")
    summary = rows[[*SUMMARY_COLUMNS]].astype({"frames": int, "quarantined": "Int64"})
    summary = pd.concat([summary, _headlines(rows, window, night)], axis=1)
    findings = _findings(facts, tonight, night, settings)
    summary["findings"] = pd.Series([findings.get(camera, []) for camera in summary["camera"]], dtype=object)
    summary["verdict"] = [
        verdict(found) if frames else "under way" if camera in under_way else "missing"
        for camera, frames, found in zip(summary["camera"], summary["frames"], summary["findings"], strict=True)
    ]
    gravity = summary["verdict"].map(GRAVITY.index)
    return summary.assign(gravity=gravity).sort_values(["gravity", "camera"], ignore_index=True).drop(columns="gravity")


def verdict(findings: Sequence[Finding]) -> str:
    """bad, attention or good: the gravest finding decides."""
    return next((s for s in ("bad", "attention") if any(f.severity == s for f in findings)), "good")


def _described(window: pd.DataFrame, night: str, cameras: Sequence[Camera]) -> pd.DataFrame:
    """camera, name and scene of the site's cameras; of those that the facts know, where no site is given."""
    if cameras:
        return pd.DataFrame([{"camera": c.id, "name": c.name, "scene": c.scene} for c in cameras])
    latest = window.sort_values("night").drop_duplicates("camera", keep="last")
    return latest[["camera", "name", "scene"]].sort_values("camera", ignore_index=True)


def _headlines(rows: pd.DataFrame, window: pd.DataFrame, night: str) -> pd.DataFrame:
    """The columns of the headline metrics, in the order of `rows`."""
    metrics = list(HEADLINES)
    groups = window[window["night"] < night].groupby("camera")[metrics]
    mean, deviation, count = (getattr(groups, f)() for f in ("mean", "std", "count"))
    half = (t_quantile(CONFIDENCE, count - 1) * deviation * np.sqrt(1 + 1 / count)).where(count >= LEAST_NIGHTS)
    low, high = ((mean + side * half).reindex(rows["camera"]) for side in (-1, 1))
    change = changes(window, night, ["camera"]).pivot(index="camera", columns="metric").reindex(rows["camera"])
    columns: dict[str, Any] = {}
    for m in metrics:
        columns[m] = rows[m].to_numpy(float)
        columns[f"{m}_low"], columns[f"{m}_high"] = low[m].to_numpy(), high[m].to_numpy()
        for days in (WEEK, FOUR_WEEKS):
            known = (f"change{days}", m) in change.columns
            columns[f"{m}_change{days}"] = change[f"change{days}", m].to_numpy() if known else np.nan
    return pd.DataFrame(columns, index=rows.index)


def _findings(
    facts: pd.DataFrame, tonight: pd.DataFrame, night: str, settings: HealthSettings
) -> dict[str, list[Finding]]:
    """Camera -> what is worth telling of its night, the gravest first."""
    start = night_before(night, settings.history_nights)
    before = {str(c): rows for c, rows in between(facts, start, night_before(night, 1)).groupby("camera")}
    found: dict[str, list[Finding]] = {}
    for record in tonight.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        earlier = before.get(row["camera"], facts.iloc[:0])
        mine = findings_of(row, earlier, tonight[tonight["camera"] != row["camera"]], settings)
        # A camera that is covered or frozen explains its figures by itself.
        hindered = any(f.severity == "bad" for f in mine)
        mine += trend_findings(row, earlier, settings, hindered=hindered)
        found[row["camera"]] = sorted(mine, key=lambda f: ("bad", "attention", "note").index(f.severity))
    return found
