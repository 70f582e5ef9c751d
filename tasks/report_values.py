"""What a report shows, as values: the figures' list, a picture, a camera's night, the whole page.

Covers the values only. Collected by `tasks.report`, judged and tabled by `tasks.report_table`, drawn by
`tasks.report_page`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import pandas as pd

from tasks.findings import Finding
from tasks.report_figures import NightFigures, reduced
from tasks.types import CameraNight


@dataclass(frozen=True)
class Metric:
    """How one figure is shown; its name and meaning stand among the page's texts, under `metric.<key>`."""

    key: str
    unit: str
    scale: float
    digits: int
    least: float = 0.0
    most: float = math.inf
    """What it can be, before it is scaled."""


METRICS = (
    Metric("brightness", "%", 100, 1, most=1),
    Metric("contrast", "%", 100, 1, most=0.5),
    Metric("noise", "%", 100, 2),
    Metric("sharpness", "", 1, 2),
)
TRUTH_METRICS = (Metric("psnr", "dB", 1, 1), Metric("ssim", "", 1, 3, least=-1, most=1))
"""Against a true picture: the demo's, or the camera's own daylight frames that were darkened and restored."""
LONG = "segments", "shards", "sha256"
"""Of a manifest, what has an entry for every file or shard of the night, and of which a page shows the number."""


def bounds(metric: Metric, facts: Mapping[str, Any], column: str) -> tuple[float, float]:
    """The range of a figure's nights by the facts, scaled, within what the figure can be; NaN where it is not known.

    The interval of a few nights that differ much reaches beyond: to a brightness below 0.
    """
    low, high = (fact(facts, f"{column}_{end}") for end in ("low", "high"))
    # The facts' first, so that what is not known stays so.
    return max(low, metric.least) * metric.scale, min(high, metric.most) * metric.scale


def fact(facts: Mapping[str, Any], key: str) -> float:
    """A figure of the facts; NaN where it is not known."""
    value = facts.get(key)
    return float(value) if isinstance(value, Real) else math.nan


@dataclass(frozen=True)
class Picture:
    """One moment, before and after, as JPEG bytes."""

    moment: str
    """`best`, `median` or `worst`, by sharpness after restoring."""
    clock: str
    """Local time of day."""
    before: bytes
    after: bytes
    truth: bytes | None = None
    """Where the true picture is known, as in the demo."""


@dataclass(frozen=True)
class CameraSection:
    """One camera's published night."""

    manifest: Mapping[str, Any]
    """Without those entries (`LONG`) that grow with the night."""
    files: int
    """How many recorded ones its frames are of."""
    shards: int
    """How many its frames are stored in."""
    figures: NightFigures
    """Of its quality rows: each of METRICS as `<key>_before` and `<key>_after`."""
    pictures: tuple[Picture, ...]
    reference: pd.DataFrame | None = None
    """Where a truth is known: slot, and each of TRUTH_METRICS as `<key>_before` and `<key>_after`."""
    done: float = 1.0
    """Share that is stored of a finer or newer run, which is to take this one's place; 1 where there is none."""
    trouble: str = ""
    """Why a finer or newer run did not take this one's place, in the system's own words; empty where none failed."""

    @property
    def camera(self) -> str:
        """Its id."""
        return str(self.manifest["camera"]["id"])


def camera_section(
    manifest: Mapping[str, Any],
    rows: pd.DataFrame,
    pictures: tuple[Picture, ...],
    reference: pd.DataFrame | None = None,
) -> CameraSection:
    """A published night by its manifest and quality rows; reference as in `CameraSection`."""
    brief = {name: value for name, value in manifest.items() if name not in LONG}
    files, shards = len(manifest["segments"]), len(manifest["shards"])
    return CameraSection(brief, files, shards, reduced(rows, manifest), pictures, reference)


@dataclass(frozen=True)
class ReportPage:
    """Everything that a night's report shows."""

    night: str
    """Local date on which it starts, YYYY-MM-DD."""
    sections: tuple[CameraSection, ...]
    unpublished: tuple[CameraNight, ...]
    """Cameras without a published night, with status and reason."""
    store_url: str
    language: str = "en"
    summary: pd.DataFrame | None = None
    """One row a camera: `verdict`, and for each figure m its mean, m_low, m_high, m_change7 and m_change28."""
    findings: tuple[Finding, ...] = ()
    history: pd.DataFrame | None = None
    """One row a camera and night, with the columns of `summary`; for the trends."""

    def facts_of(self, camera: str) -> Mapping[str, Any]:
        """The camera's row of `summary`; empty where there is none."""
        return self._facts.get(camera, {})

    def name_of(self, camera: str) -> str:
        """What people call a camera, where its night or the facts tell; else its id."""
        names = {s.camera: str(s.manifest["camera"]["name"]) for s in self.sections}
        return names.get(camera) or str(self.facts_of(camera).get("name") or camera)

    def findings_of(self, camera: str) -> list[Finding]:
        """What was found of a camera, the gravest first."""
        order = ("bad", "attention", "note")
        mine = [f for f in self.findings if f.camera == camera]
        return sorted(mine, key=lambda f: order.index(f.severity) if f.severity in order else len(order))

    def history_of(self, camera: str) -> list[Mapping[str, Any]]:
        """The camera's nights up to this one, in order, each one row of `history`."""
        return self._nights.get(camera, [])

    @cached_property
    def _facts(self) -> dict[str, Mapping[str, Any]]:
        return {str(row["camera"]): row for row in _rows(self.summary)}

    @cached_property
    def _nights(self) -> dict[str, list[Mapping[str, Any]]]:
        rows = {(str(row["camera"]), str(row["night"])): row for row in _rows(self.history)}
        nights: dict[str, list[Mapping[str, Any]]] = {}
        for camera, night in sorted(rows):
            if night <= self.night:
                nights.setdefault(camera, []).append(rows[camera, night])
        return nights


def _rows(table: pd.DataFrame | None) -> list[Mapping[str, Any]]:
    return [] if table is None else [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
