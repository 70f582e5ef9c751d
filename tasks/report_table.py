"""Which camera needs attention, how much, and the table of them all that stands beside the page as cameras.csv.

Covers state, order and table. Not covered: words (the columns are for programs) and drawing (`tasks.report_page`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import pandas as pd

from tasks.page_format import encodable
from tasks.report_figures import SIDES
from tasks.report_values import METRICS, TRUTH_METRICS, CameraSection, ReportPage
from tasks.types import NANOSECONDS, CameraNight

UNDER_WAY = "under way"
"""State and status of a camera whose night is still being restored: it has no verdict, and nobody need act."""
STATES = ("missing", "bad", "attention", UNDER_WAY, "good")
"""From what needs attention most to what needs none."""
STATISTICS = ("_low", "_high", "_change7", "_change28")
"""Beside a figure's mean in the facts: bounds of its interval, and what it changed against the nights before."""


def state(page: ReportPage, section: CameraSection) -> str:
    """One of STATES: the worst of the facts' verdict and the findings.

    Without a verdict, a night that is not whole or not readable in full wants attention; so does one that a newer run
    failed to replace.
    """
    verdict = page.facts_of(section.camera).get("verdict")
    if verdict in STATES and not unjudged(page, section):
        said = [str(verdict)]
    else:
        whole = section.manifest["frames"] >= section.manifest["slots"] and not quarantined(section.manifest)
        said = ["good" if whole else "attention"]
    said += [f.severity for f in page.findings_of(section.camera) if f.severity in STATES]
    said += ["attention"] if section.trouble else []
    return min([*said, "bad"] if fell(section) else said, key=STATES.index)


def unjudged(page: ReportPage, section: CameraSection) -> bool:
    """Whether the night was judged without this camera: it is restored, but no facts of it are known."""
    if page.summary is None or not section.manifest["frames"]:
        return False
    return page.facts_of(section.camera).get("verdict") in (None, "missing", UNDER_WAY)


def by_attention(page: ReportPage) -> list[CameraSection]:
    """The published cameras, those that need attention first."""

    def key(section: CameraSection) -> tuple[Any, ...]:
        m = section.manifest
        grave = sum(f.severity == "bad" for f in page.findings_of(section.camera))
        rank = STATES.index(state(page, section))
        return (rank, -grave, math.floor(m["coverage"] * 100), -quarantined(m), section.camera)

    return sorted(page.sections, key=key)


def unpublished_by_attention(page: ReportPage) -> list[CameraNight]:
    """The cameras without a night, those that hold least first; without those that are still being restored."""
    return sorted((c for c in page.unpublished if c.status != UNDER_WAY), key=lambda c: (c.coverage, c.camera))


def under_way(page: ReportPage) -> list[CameraNight]:
    """The cameras whose night is still being restored, and of which nothing is published yet."""
    return sorted((c for c in page.unpublished if c.status == UNDER_WAY), key=lambda c: c.camera)


def camera_table(page: ReportPage) -> pd.DataFrame:
    """One row a camera, in order of attention.

    Columns: camera, name, scene, coverage, frames, gaps_s, quarantined (files, each counted once), the mean of every
    metric before and after in its stored unit (NaN where not known), status (`published` or why it isn't) and state
    (one of STATES). With facts also the bounds and changes of every figure, `psnr_synthesised` and `ssim_synthesised`.
    """
    keys = [f"{m.key}_{side}" for m in METRICS + TRUTH_METRICS for side in SIDES]
    rows = [_without_night(page, c, "missing") for c in unpublished_by_attention(page)]
    for section in by_attention(page):
        m = section.manifest
        rows.append(
            {
                "camera": section.camera,
                "name": m["camera"]["name"],
                "scene": m["camera"]["scene"],
                "coverage": float(m["coverage"]),
                "frames": int(m["frames"]),
                "gaps_s": gaps_s(m),
                "quarantined": quarantined(m),
                "status": "published",
                "state": state(page, section),
                **{key: mean(section, key) for key in keys},
            }
        )
    rows += [_without_night(page, c, UNDER_WAY) for c in under_way(page)]
    rows = [{k: encodable(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows]
    columns = ["camera", "name", "scene", "coverage", "frames", "gaps_s", "quarantined", *keys, "status", "state"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(["coverage", "gaps_s", *keys], float))
    return _with_facts(table, page.summary)


def _without_night(page: ReportPage, camera: CameraNight, judged: str) -> dict[str, Any]:
    return asdict(camera) | {"name": page.name_of(camera.camera), "scene": "", "state": judged}


def _with_facts(table: pd.DataFrame, summary: pd.DataFrame | None) -> pd.DataFrame:
    if summary is None or summary.empty:
        return table
    wanted = {f"{m.key}_after{s}": f"{m.key}_after{s}" for m in METRICS for s in STATISTICS}
    wanted |= {f"{m.key}{s}": f"{m.key}_synthesised{s}" for m in TRUTH_METRICS for s in ("", *STATISTICS)}
    known = {name: wanted[name] for name in wanted if name in summary.columns}
    facts = summary[["camera", *known]].rename(columns=known).drop_duplicates("camera", keep="last")
    return table.merge(facts, on="camera", how="left")


def mean(section: CameraSection, key: str) -> float:
    """Mean of a figure over the camera's frames; NaN where it was not measured."""
    if key in section.figures.means:
        return section.figures.means[key]
    reference = section.reference
    if reference is not None and key in reference.columns:
        return float(pd.to_numeric(reference[key], errors="coerce").mean())
    return math.nan


def fell(section: CameraSection) -> bool:
    """Whether restoring took the pictures further from a known truth."""
    return mean(section, "psnr_after") < mean(section, "psnr_before")


def gaps_s(manifest: Mapping[str, Any]) -> float:
    """Seconds without a recorded file."""
    return sum(int(b) - int(a) for a, b in manifest["gaps"]) / NANOSECONDS


def quarantined(manifest: Mapping[str, Any]) -> int:
    """Files that could not be read in full, each counted once."""
    return len({p["url"] for p in manifest["problems"]})


def seconds(manifest: Mapping[str, Any], slots: int) -> float:
    """How long so many slots last."""
    return float(slots / Fraction(str(manifest["camera"]["rate"])))
