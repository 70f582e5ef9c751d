"""The morning's report of one night: gathers what the store holds and writes page and tables.

    <store>/reports/<date>/{index.html,cameras.csv,quality.parquet}

The page itself is drawn by `tasks.report_page`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import zarr

from tasks import storage, store
from tasks.enhance import jpeg
from tasks.publish import picture_rows
from tasks.report_page import CameraSection, Picture, ReportPage, camera_table
from tasks.types import NANOSECONDS, CameraNight

PICTURE_WIDTH = 640


@dataclass(frozen=True)
class Truth:
    """What is known of a camera whose true frames are there to compare with (the demo's)."""

    url: str
    """Zarr group with `frames` and `time_ns`."""
    figures: pd.DataFrame
    """From `tasks.evaluate.against_truth`."""


def write_report(night: str, store_url: str, outcomes: Sequence[CameraNight], truths: Mapping[str, Truth]) -> str:
    """Write the report of the nights that are published; returns the page's URL."""
    sections: list[CameraSection] = []
    unpublished = [o for o in outcomes if not o.manifest_url]
    for outcome in outcomes:
        if outcome.manifest_url:
            manifest = store.read_manifest(store_url, outcome.camera, night)
            assert manifest is not None
            sections.append(_section(manifest, truths.get(outcome.camera)))
    page = ReportPage(night, tuple(sections), tuple(unpublished), store_url)
    folder = storage.join(store_url, "reports", night)
    storage.write(storage.join(folder, "cameras.csv"), camera_table(page).to_csv(index=False).encode())
    rows = [s.quality.assign(camera=s.manifest["camera"]["id"]) for s in sections if len(s.quality)]
    if rows:
        storage.write(storage.join(folder, "quality.parquet"), store.parquet_bytes(pd.concat(rows)))
    url = storage.join(folder, "index.html")
    storage.write(url, page.html().encode())
    return url


def _section(manifest: dict[str, Any], truth: Truth | None) -> CameraSection:
    run_url = manifest["frames_url"].removesuffix("/frames.zarr")
    try:
        quality = pd.read_parquet(io.BytesIO(storage.read(storage.join(run_url, "quality.parquet"))))
    except FileNotFoundError:  # a night without a single frame has no rows
        quality = pd.DataFrame(columns=["slot", "time_ns"])
    pictures = _pictures(manifest, run_url, quality, truth)
    return CameraSection(manifest, quality, pictures, truth.figures if truth else None)


def _pictures(
    manifest: dict[str, Any], run_url: str, quality: pd.DataFrame, truth: Truth | None
) -> tuple[Picture, ...]:
    """The sharpest, the median and the least sharp moment after restoration, of those that pictures were kept of."""
    if quality.empty:
        return ()
    kept = pd.concat(picture_rows(run_url, manifest["shards"]))
    if kept.empty:
        return ()
    ordered = kept.sort_values(["sharpness_after", "slot"], ignore_index=True)
    chosen = {"sharpest": len(ordered) - 1, "median": len(ordered) // 2, "least sharp": 0}
    zone = ZoneInfo(manifest["camera"]["timezone"])
    pictures = []
    for label, position in chosen.items():
        row = ordered.iloc[position]
        moment = datetime.fromtimestamp(int(row["time_ns"]) / NANOSECONDS, UTC).astimezone(zone)
        true_picture = _true_jpeg(truth, int(row["time_ns"])) if truth else None
        pictures.append(Picture(f"{label}, {moment:%H:%M:%S}", row["before_jpeg"], row["after_jpeg"], true_picture))
    return tuple(pictures)


def _true_jpeg(truth: Truth, time_ns: int) -> bytes:
    group = zarr.open_group(storage.zarr_store(truth.url), mode="r")
    nearest = int(np.abs(np.asarray(group["time_ns"]) - time_ns).argmin())
    return jpeg(np.asarray(group["frames"][nearest]), PICTURE_WIDTH)  # type: ignore[index]
