"""The morning's report of one night: gathers what the store holds and writes page and tables.

    <store>/reports/<date>/{index.html,cameras.csv,quality.parquet}

The page itself is drawn by `tasks.report_page`. It is one file that people mail: its pictures share a budget of bytes,
so the more cameras a night has, the smaller they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import zarr

from tasks import storage, store
from tasks.findings import Finding
from tasks.picture import jpeg
from tasks.publish import picture_rows
from tasks.report_page import render
from tasks.report_table import camera_table
from tasks.report_values import CameraSection, Picture, ReportPage
from tasks.types import NANOSECONDS, CameraNight
from tasks.video import read_jpeg

PICTURE_WIDTH = 640
MOMENTS = (("median", 0.5), ("best", 0.25), ("worst", 0.25))
"""By sharpness after restoring, each with its share of its camera's bytes; the first is shown large."""
PICTURE_BYTES = 2_600_000
"""Of all pictures of a page together; as base64 on the page they take a third more."""
FINDINGS_SHARE = 0.25
"""Of a camera's bytes, for the pictures of its findings, where there are any."""
SMALLER = ((640, 80), (480, 78), (400, 75), (320, 72), (240, 70), (160, 65), (96, 60), (64, 50))
"""Width and JPEG quality of pictures that are above their share, in the order in which they are tried."""


@dataclass(frozen=True)
class Truth:
    """What is known of a camera whose true frames are there to compare with (the demo's)."""

    url: str
    """Zarr group with `frames` and `time_ns`."""
    figures: pd.DataFrame
    """From `tasks.evaluate.against_truth`."""


def write_report(
    night: str,
    store_url: str,
    outcomes: Sequence[CameraNight],
    truths: Mapping[str, Truth],
    *,
    summary: pd.DataFrame | None = None,
    findings: Sequence[Finding] = (),
    history: pd.DataFrame | None = None,
    language: str = "en",
) -> str:
    """Write the report of the nights that are published; returns the page's URL.

    Args:
        night: local date on which it starts, YYYY-MM-DD.
        store_url: where the nights are, and the report goes.
        outcomes: every camera's, published or not.
        truths: camera id -> its true frames, where those are known.
        summary: facts of this night, one row a camera; see `tasks.report_values.ReportPage`.
        findings: what was found of the cameras' health.
        history: facts of all nights, one row a camera and night.
        language: of the page, one of `tasks.page_text.LANGUAGES`.
    """
    page = collect(
        night, store_url, outcomes, truths, summary=summary, findings=findings, history=history, language=language
    )
    return write_page(page)


def collect(
    night: str,
    store_url: str,
    outcomes: Sequence[CameraNight],
    truths: Mapping[str, Truth],
    *,
    summary: pd.DataFrame | None = None,
    findings: Sequence[Finding] = (),
    history: pd.DataFrame | None = None,
    language: str = "en",
) -> ReportPage:
    """Everything that the report shows, from the store; arguments as for `write_report`.

    A published night that can't be read any more stands among the cameras without one, with the reason.
    """
    sections: list[CameraSection] = []
    published = [o for o in outcomes if o.manifest_url]
    unpublished = [o for o in outcomes if not o.manifest_url]
    pictured = {f.camera for f in findings if f.picture}
    share = PICTURE_BYTES // max(len({o.camera for o in published} | pictured), 1)
    for outcome in published:
        try:
            manifest = store.read_manifest(store_url, outcome.camera, night)
            if manifest is None:
                raise store.StoreError(f"{outcome.manifest_url}: is gone; run the night again")
            moments_bytes = int(share * (1 - FINDINGS_SHARE * (outcome.camera in pictured)))
            section = _section(manifest, truths.get(outcome.camera), moments_bytes)
            sections.append(replace(section, done=outcome.done))
        except (store.StoreError, OSError) as error:
            unpublished.append(replace(outcome, status="damaged", reason=str(error), manifest_url=""))
    shown = _shrunk(findings, int(share * FINDINGS_SHARE))
    return ReportPage(night, tuple(sections), tuple(unpublished), store_url, language, summary, shown, history)


def write_page(page: ReportPage) -> str:
    """Write page and tables, the page last; returns the page's URL."""
    folder = storage.join(page.store_url, "reports", page.night)
    storage.write(storage.join(folder, "cameras.csv"), camera_table(page).to_csv(index=False).encode())
    rows = [s.quality.assign(camera=s.camera) for s in page.sections if len(s.quality)]
    if rows:
        storage.write(storage.join(folder, "quality.parquet"), store.parquet_bytes(pd.concat(rows)))
    url = storage.join(folder, "index.html")
    storage.write(url, render(page).encode())
    return url


def _section(manifest: dict[str, Any], truth: Truth | None, picture_bytes: int) -> CameraSection:
    run_url = manifest["frames_url"].removesuffix("/frames.zarr")
    quality = store.read_quality(run_url)
    pictures = _pictures(manifest, run_url, quality, truth, picture_bytes)
    return CameraSection(manifest, quality, pictures, truth.figures if truth else None)


def _pictures(
    manifest: dict[str, Any], run_url: str, quality: pd.DataFrame, truth: Truth | None, picture_bytes: int
) -> tuple[Picture, ...]:
    """The median, the sharpest and the least sharp moment after restoring, of those that pictures were kept of."""
    if quality.empty:
        return ()
    kept = pd.concat(picture_rows(run_url, manifest["shards"]))
    if kept.empty:
        return ()
    ordered = kept.sort_values(["sharpness_after", "slot"], ignore_index=True)
    positions = {"best": len(ordered) - 1, "median": len(ordered) // 2, "worst": 0}
    zone = ZoneInfo(manifest["camera"]["timezone"])
    pictures = []
    for moment, share in MOMENTS:
        row = ordered.iloc[positions[moment]]
        when = datetime.fromtimestamp(int(row["time_ns"]) / NANOSECONDS, UTC).astimezone(zone)
        sides = [row["before_jpeg"], row["after_jpeg"]]
        jpegs = [*sides, _true_jpeg(truth, int(row["time_ns"]))] if truth else sides
        fitted = within(jpegs, int(picture_bytes * share))
        if fitted:
            pictures.append(Picture(moment, f"{when:%H:%M:%S}", *fitted))
    return tuple(pictures)


def _shrunk(findings: Sequence[Finding], camera_bytes: int) -> tuple[Finding, ...]:
    """The findings with pictures that together stay within each camera's share."""
    shown = []
    for finding in findings:
        if finding.picture:
            pictured = sum(f.camera == finding.camera and bool(f.picture) for f in findings)
            fitted = within([finding.picture], camera_bytes // pictured)
            shown.append(replace(finding, picture=fitted[0] if fitted else b""))
        else:
            shown.append(finding)
    return tuple(shown)


def within(jpegs: list[bytes], most_bytes: int) -> list[bytes]:
    """JPEGs of one moment, shrunk alike so that together they take `most_bytes` at most; none where they can't."""
    frames = [read_jpeg(data) for data in jpegs]
    if sum(map(len, jpegs)) <= most_bytes and all(f.shape[1] <= PICTURE_WIDTH for f in frames):
        return jpegs
    for width, quality in SMALLER:
        smaller = [jpeg(frame, width, quality) for frame in frames]
        if sum(map(len, smaller)) <= most_bytes:
            return smaller
    return []


def _true_jpeg(truth: Truth, time_ns: int) -> bytes:
    group = zarr.open_group(storage.zarr_store(truth.url), mode="r")
    nearest = int(np.abs(np.asarray(group["time_ns"]) - time_ns).argmin())
    return jpeg(np.asarray(group["frames"][nearest]), PICTURE_WIDTH)  # type: ignore[index]
