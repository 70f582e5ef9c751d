"""The morning report: one self-contained HTML file that says what was restored, what is missing and why.

Covers the page and the table behind it, both from values in memory: equal values, equal bytes. Not covered: collecting
the values from a store and writing the files (`tasks.report`), the look (`templates/report.html.j2`).
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import numpy as np
import pandas as pd

from tasks.types import NANOSECONDS, CameraNight

SIDES = "before", "after"
TREND_BINS = 240
"""Points of a trend at most; a longer night is averaged."""
NOTHING = "–"
"""Stands for a figure that is not known."""


@dataclass(frozen=True)
class Metric:
    """How one figure is shown; what it means stands in the template."""

    key: str
    label: str
    unit: str
    scale: float
    digits: int


METRICS = (
    Metric("brightness", "Brightness", "%", 100, 1),
    Metric("contrast", "Contrast", "%", 100, 1),
    Metric("noise", "Noise", "%", 100, 2),
    Metric("sharpness", "Sharpness", "", 1, 2),
)
TRUTH_METRICS = (Metric("psnr", "PSNR", "dB", 1, 1), Metric("ssim", "SSIM", "", 1, 3))


@dataclass(frozen=True)
class Picture:
    """One moment, before and after, as JPEG bytes."""

    caption: str
    before: bytes
    after: bytes
    truth: bytes | None = None
    """Where the true picture is known, as in the demo."""


@dataclass(frozen=True)
class CameraSection:
    """One camera's published night."""

    manifest: Mapping[str, Any]
    quality: pd.DataFrame
    """One row a frame: slot, time_ns, and each of METRICS as `<key>_before` and `<key>_after`."""
    pictures: tuple[Picture, ...]
    reference: pd.DataFrame | None = None
    """Where a truth is known: slot, and each of TRUTH_METRICS as `<key>_before` and `<key>_after`."""


@dataclass(frozen=True)
class ReportPage:
    """Everything that a night's report shows."""

    night: str
    """Local date on which it starts, YYYY-MM-DD."""
    sections: tuple[CameraSection, ...]
    unpublished: tuple[CameraNight, ...]
    """Cameras without a published night, with status and reason."""
    store_url: str

    def html(self) -> str:
        """The whole page. It loads nothing, works without script, and can be encoded as UTF-8."""
        sections = [_section_view(s, n, self) for n, s in enumerate(_by_attention(self.sections), 1)]
        day = date.fromisoformat(self.night)
        known = any(s.reference is not None and len(s.reference) for s in self.sections)
        page = _template().render(
            night=self.night,
            title=f"{day:%A} {day.day} {day:%B %Y}",
            summary=_summary(self),
            sections=sections,
            unpublished=_unpublished(self),
            store_url=self.store_url,
            truth_known=known,
            metrics=METRICS + TRUTH_METRICS if known else METRICS,
        )
        # File names may carry bytes that are no text (lone surrogates); one of them must not cost the whole report.
        return page.encode("utf-8", "backslashreplace").decode()


def camera_table(page: ReportPage) -> pd.DataFrame:
    """One row a camera, in order of attention: unpublished ones first, then by coverage.

    Columns: camera, name, scene, coverage, frames, gaps_s, quarantined (files, each counted once), the mean of every
    metric before and after in its stored unit (NaN where not known), and status (`published` or why it isn't).
    """
    keys = [f"{m.key}_{side}" for m in METRICS + TRUTH_METRICS for side in SIDES]
    rows: list[dict[str, Any]] = [asdict(c) | {"name": c.camera, "scene": ""} for c in _unpublished(page)]
    for section in _by_attention(page.sections):
        m = section.manifest
        rows.append(
            {
                "camera": m["camera"]["id"],
                "name": m["camera"]["name"],
                "scene": m["camera"]["scene"],
                "coverage": float(m["coverage"]),
                "frames": int(m["frames"]),
                "gaps_s": _gaps_s(m),
                "quarantined": _quarantined(m),
                "status": "published",
                **{key: _mean(section, key) for key in keys},
            }
        )
    columns = ["camera", "name", "scene", "coverage", "frames", "gaps_s", "quarantined", *keys, "status"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(["coverage", "gaps_s", *keys], float))


def _unpublished(page: ReportPage) -> list[CameraNight]:
    return sorted(page.unpublished, key=lambda c: (c.coverage, c.camera))


def _by_attention(sections: tuple[CameraSection, ...]) -> list[CameraSection]:
    def key(section: CameraSection) -> tuple[Any, ...]:
        m = section.manifest
        return (math.floor(m["coverage"] * 100), -_quarantined(m), not _fell(section), m["camera"]["id"])

    return sorted(sections, key=key)


def _mean(section: CameraSection, key: str) -> float:
    for frame in (section.quality, section.reference):
        if frame is not None and key in frame.columns:
            return float(pd.to_numeric(frame[key], errors="coerce").mean())
    return math.nan


def _fell(section: CameraSection) -> bool:
    return _mean(section, "psnr_after") < _mean(section, "psnr_before")


def _gaps_s(manifest: Mapping[str, Any]) -> float:
    return sum(int(b) - int(a) for a, b in manifest["gaps"]) / NANOSECONDS


def _quarantined(manifest: Mapping[str, Any]) -> int:
    return len({p["url"] for p in manifest["problems"]})


def _seconds(manifest: Mapping[str, Any], slots: int) -> float:
    return float(slots / Fraction(str(manifest["camera"]["rate"])))


def _summary(page: ReportPage) -> list[str]:
    sections = [s.manifest for s in page.sections]
    cameras = len(sections) + len(page.unpublished)
    if not cameras:
        return ["No camera was planned for this night, so there is nothing to show."]
    filled = sum(_seconds(m, m["frames"]) for m in sections)
    whole = sum(_seconds(m, m["slots"]) for m in sections)
    share = f", {_percent(filled / whole)} of the night" if whole else ""
    first = f"{len(sections)} of {_count(cameras, 'camera')} restored: {_duration(filled)} of footage{share}."
    lost = len(page.unpublished)
    missing = [f"{_count(lost, 'camera')} without a restored night"] if lost else []
    if whole > filled:
        gaps = sum(len(m["gaps"]) for m in sections)
        missing.append(f"{_duration(whole - filled)} without a picture" + (f" ({_count(gaps, 'gap')})" if gaps else ""))
    if files := sum(_quarantined(m) for m in sections) + sum(c.quarantined for c in page.unpublished):
        missing.append(f"{_count(files, 'file')} quarantined, not readable in full")
    second = f"Missing: {', '.join(missing)}." if missing else "Nothing is missing, and every file could be read."
    return [first, second, _summary_of_figures(camera_table(page))]


def _summary_of_figures(table: pd.DataFrame) -> str:
    def means(key: str) -> list[float]:
        known = table[table["frames"] > 0].dropna(subset=[f"{key}_{side}" for side in SIDES])
        weighted = [float((known[f"{key}_{side}"] * known["frames"]).sum()) for side in SIDES]
        return [total / known["frames"].sum() for total in weighted] if len(known) else [math.nan, math.nan]

    (dark, bright), (before, after) = means("brightness"), means("psnr")
    text = "No figures were measured"
    if not math.isnan(dark):
        times = f"{bright / dark:.1f} times as bright as before, at " if dark > 0 else "at "
        text = f"The restored pictures are on average {times}{bright:.1%} of full white instead of {dark:.1%}"
    elif math.isnan(before):
        return text + "."
    if math.isnan(before):
        return text + "; no true picture of a real night exists, so all figures are no-reference ones."
    verb = "rises" if after >= before else "falls"
    return f"{text}; against the known truth, PSNR {verb} from {_number(before, 1)} to {_number(after, 1)} dB."


def _section_view(section: CameraSection, index: int, page: ReportPage) -> dict[str, Any]:
    m = section.manifest
    zone = ZoneInfo(m["camera"]["timezone"])
    figures = [
        (k, *(_number(_mean(section, f"{k.key}_{side}") * k.scale, k.digits) for side in SIDES))
        for k in METRICS + TRUTH_METRICS
    ]
    return {
        "anchor": f"camera-{index}",
        "manifest": m,
        "camera": m["camera"],
        "marks": _marks(section),
        "coverage": _percent(m["coverage"]),
        "figures": figures,
        "known": any(p.truth for p in section.pictures),
        "footage": _duration(_seconds(m, m["frames"])),
        "whole": _duration(_seconds(m, m["slots"])),
        "gaps": [(_local(a, zone), _local(b, zone), _duration((b - a) / NANOSECONDS)) for a, b in m["gaps"]],
        "gaps_total": _duration(_gaps_s(m)),
        "quarantined": _quarantined(m),
        "megabytes": _number(m["bytes"] / 1e6, 1),
        "trend": _trend(section, zone),
        "preview_link": _link(m["preview_url"], page.store_url),
        "pictures": [
            {
                "caption": p.caption,
                "before": _data_uri(p.before),
                "after": _data_uri(p.after),
                "truth": _data_uri(p.truth),
            }
            for p in section.pictures
        ],
    }


def _marks(section: CameraSection) -> list[tuple[str, str]]:
    m, marks = section.manifest, []
    if _fell(section):
        marks.append(("bad", "PSNR fell"))
    if m["frames"] < m["slots"]:
        marks.append(("warn", _count(len(m["gaps"]), "gap") if m["gaps"] else "pictures missing"))
    if quarantined := _quarantined(m):
        marks.append(("warn", f"{_count(quarantined, 'file')} quarantined"))
    return marks or [("good", "complete")]


def _trend(section: CameraSection, zone: ZoneInfo) -> dict[str, Any] | None:
    """Paths of brightness over the night in a box of 1000 by 100, and the stretches without a picture."""
    columns, quality = [f"brightness_{side}" for side in SIDES], section.quality
    if quality.empty or not {"slot", "time_ns", *columns} <= set(quality.columns):
        return None
    slots = max(int(section.manifest["slots"]), 1)
    bins = min(slots, TREND_BINS)
    means = quality[columns].groupby(quality["slot"] * bins // slots).mean().dropna().reindex(range(bins))
    top = max(math.ceil(np.nan_to_num(means.to_numpy()).max() * 20), 1) / 20
    empty = means[columns[1]].isna().tolist()
    holes = [list(run) for hole, run in groupby(range(bins), lambda b: empty[b]) if hole]
    step = NANOSECONDS / Fraction(str(section.manifest["camera"]["rate"]))
    start = int(quality["time_ns"].iloc[0]) - int(quality["slot"].iloc[0]) * step
    return {
        **{side: _path(means[f"brightness_{side}"].tolist(), top) for side in SIDES},
        "missing": [(f"{run[0] * 1000 / bins:g}", f"{len(run) * 1000 / bins:g}") for run in holes],
        "top": f"{top:.0%}",
        "times": [_local(round(start + slots * step * n / 2), zone)[1] for n in range(3)],
    }


def _path(values: list[float], top: float) -> str:
    parts, drawing = [], False
    for n, value in enumerate(values):
        point = f"{(n + 0.5) * 1000 / len(values):.1f} {100 - value / top * 100:.1f}"
        if not math.isnan(value):
            parts.append(f"L{point}" if drawing else f"M{point}h0")  # h0 makes a dot of a lonely point
        drawing = not math.isnan(value)
    return "".join(parts)


def _local(time_ns: int, zone: ZoneInfo) -> tuple[str, str]:
    """ISO 8601 with offset for machines, clock time for people: with its zone's name where the clock changes nearby."""
    when = datetime.fromtimestamp(time_ns // NANOSECONDS, zone)
    clock = f"{when:%H:%M:%S}" + (f".{time_ns % NANOSECONDS // 1_000_000:03d}" if time_ns % NANOSECONDS else "")
    near = {(when.astimezone(ZoneInfo("UTC")) + timedelta(hours=h)).astimezone(zone).utcoffset() for h in (-12, 0, 12)}
    return when.isoformat(), clock + (f" {when:%Z}" if len(near) > 1 else "")


def _link(url: str | None, store_url: str) -> str | None:
    """The way from `<store>/reports/<date>/` to a file of the same folder store, which outlives moving the store."""
    base = store_url.rstrip("/") + "/"
    if not url or not base.startswith("file://") or not url.startswith(base) or ".." in url.split("/"):
        return None
    return "../../" + url.removeprefix(base)


def _number(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else "∞" if value == math.inf else f"{value:,.{digits}f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _percent(share: float) -> str:
    """In per cent; only a whole night is shown as 100."""
    return NOTHING if math.isnan(share) else f"{min(round(share * 100, 1), 100 if share == 1 else 99.9):g}%"


def _duration(seconds: float) -> str:
    if seconds < 9.95:
        return f"{round(seconds, 1):g} s"
    hours, rest = divmod(round(seconds), 3600)
    parts = [(hours, "h"), (rest // 60, "min"), (0 if hours else rest % 60, "s")]
    return " ".join(f"{n:,} {unit}" for n, unit in parts if n)


def _data_uri(jpeg: bytes | None) -> str | None:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode() if jpeg else None


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("tasks", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    # The page's own style and script are let through by their hashes; anything injected would not run.
    environment.filters["csp_hash"] = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return environment.get_template("report.html.j2")
