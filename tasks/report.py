"""The morning's report of one night: gathers what the store holds and writes page and tables.

    <store>/reports/<date>/{index.html,cameras.csv,quality.parquet}

The page itself is drawn by `tasks.report_page`. It is one file that people mail: its pictures share a budget of bytes,
so the more cameras a night has, the smaller they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow.parquet
import zarr

from tasks import storage, store
from tasks.evidence import kept_pictures, run_url_of
from tasks.findings import Finding
from tasks.page_format import local
from tasks.picture import jpeg
from tasks.report_page import render
from tasks.report_table import UNDER_WAY, camera_table
from tasks.report_values import CameraSection, Picture, ReportPage, camera_section
from tasks.types import NANOSECONDS, CameraNight
from tasks.video import read_jpeg

log = logging.getLogger(__name__)

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
    manifests: store.Manifests | None = None,
) -> ReportPage:
    """Everything that the report shows, from the store; arguments as for `write_report`.

    `manifests` are those of this night, where they were read before.

    A published night that can't be read any more stands among the cameras without one, with the reason. One that a
    later run failed to replace is shown, with that run's reason.
    """
    manifests = manifests or store.Manifests(store_url, night)
    outcomes = [_as_stored(outcome, manifests) for outcome in outcomes]
    sections: list[CameraSection] = []
    published = [o for o in outcomes if o.manifest_url]
    unpublished = [o for o in outcomes if not o.manifest_url]
    pictured = {f.camera for f in findings if f.picture}
    share = PICTURE_BYTES // max(len({o.camera for o in published} | pictured), 1)
    for outcome in published:
        try:
            manifest = manifests.of(outcome.camera)
            if manifest is None:
                raise store.StoreError(f"{outcome.manifest_url}: is gone; run the night again")
            moments_bytes = int(share * (1 - FINDINGS_SHARE * (outcome.camera in pictured)))
            section = _section(manifest, truths.get(outcome.camera), moments_bytes)
            trouble = "" if outcome.status in ("published", "already published") else outcome.reason
            sections.append(replace(section, done=outcome.done, trouble=trouble))
        except Exception as error:  # one camera's damage, whatever it leads to, must not cost the others their report
            why = _why(error, night)
            log.warning("%s, %s: not in the report: %s", outcome.camera, night, why, exc_info=_untold(error))
            unpublished.append(replace(outcome, status="damaged", reason=why, manifest_url=""))
    shown = _shrunk(findings, int(share * FINDINGS_SHARE))
    return ReportPage(night, tuple(sections), tuple(unpublished), store_url, language, summary, shown, history)


def _as_stored(outcome: CameraNight, manifests: store.Manifests) -> CameraNight:
    """An outcome with the manifest that the store holds: a run that failed leaves what was published before it."""
    if outcome.manifest_url or outcome.status == UNDER_WAY:
        return outcome
    try:
        published = manifests.of(outcome.camera) is not None
    except (store.StoreError, OSError):
        return outcome
    url = store.manifest_url(manifests.store, outcome.camera, manifests.night)
    return replace(outcome, manifest_url=url) if published else outcome


def _untold(error: Exception) -> Exception | None:
    """The error, for its traceback, where its message does not say all."""
    return None if isinstance(error, store.SAID) else error


def _why(error: Exception, night: str) -> str:
    if isinstance(error, store.SAID):
        return str(error)
    return f"it can't be read ({type(error).__name__}: {error}); `lednet verify {night}` says what is damaged"


def write_page(page: ReportPage) -> str:
    """Write page and tables, the page last; returns the page's URL."""
    folder = storage.join(page.store_url, "reports", page.night)
    storage.write(storage.join(folder, "cameras.csv"), camera_table(page).to_csv(index=False).encode())
    _write_quality([s for s in page.sections if len(s.figures.first)], storage.join(folder, "quality.parquet"))
    url = storage.join(folder, "index.html")
    storage.write(url, render(page).encode())
    return url


def _write_quality(measured: Sequence[CameraSection], url: str) -> None:
    """All quality rows as one Parquet file, a row group a camera, read from the store one after the other: together
    they are gigabytes."""
    if not measured:  # what an earlier report left there is of frames that this one doesn't show
        storage.remove(url)
        return
    columns = pd.concat([s.figures.first.assign(camera=s.camera) for s in measured], ignore_index=True)
    schema = pyarrow.Schema.from_pandas(columns, preserve_index=False)
    # Figures hardly repeat: a dictionary of them costs several times what writing them does.
    options = {"use_dictionary": ["camera"]}
    with storage.writing(url) as file, pyarrow.parquet.ParquetWriter(file, schema, **options) as writer:
        for section in measured:
            try:
                rows = store.read_quality(run_url_of(section.manifest)).assign(camera=section.camera)
                table = pyarrow.Table.from_pandas(rows.reindex(columns=schema.names), schema, preserve_index=False)
            except (store.StoreError, OSError, ValueError, TypeError) as error:
                log.warning(
                    "%s: its rows are damaged since; %s is without them: %s", section.camera, url, error,
                    exc_info=_untold(error),
                )  # fmt: skip
                continue
            if len(table):  # none where they were removed since
                writer.write_table(table, row_group_size=len(table))


def _section(manifest: dict[str, Any], truth: Truth | None, picture_bytes: int) -> CameraSection:
    quality = store.read_quality(run_url_of(manifest))
    pictures = _pictures(manifest, quality, truth, picture_bytes)
    return camera_section(manifest, quality, pictures, truth.figures if truth else None)


def _pictures(
    manifest: dict[str, Any], quality: pd.DataFrame, truth: Truth | None, picture_bytes: int
) -> tuple[Picture, ...]:
    """The median, the sharpest and the least sharp moment after restoring, of those that pictures were kept of.

    Where few were kept, so that one would be several of these, it is shown once.
    """
    if quality.empty:
        return ()
    kept = kept_pictures(manifest, quality, len(quality))
    if kept.empty:
        return ()
    ordered = kept.sort_values(["sharpness_after", "slot"], ignore_index=True)
    positions = {"median": len(ordered) // 2, "best": len(ordered) - 1, "worst": 0}
    first = {position: moment for moment, position in reversed(positions.items())}
    zone = ZoneInfo(manifest["camera"]["timezone"])
    pictures = []
    for moment, share in MOMENTS:
        if first[positions[moment]] != moment:
            continue
        row = ordered.iloc[positions[moment]]
        _, clock = local(int(row["time_ns"]) // NANOSECONDS * NANOSECONDS, zone)
        sides = [row["before_jpeg"], row["after_jpeg"]]
        jpegs = [*sides, _true_jpeg(truth, int(row["time_ns"]))] if truth else sides
        fitted = within(jpegs, int(picture_bytes * share))
        if fitted:
            pictures.append(Picture(moment, clock, *fitted))
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
