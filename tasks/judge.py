"""A night judged: facts read, aggregated and written as tables beside the report.

    <store>/reports/<night>/summary.parquet, summary.csv    one row a camera: figures, verdict, its reasons in words
    <store>/reports/<night>/groups.parquet                  each camera, scene, model and night, one row a metric

Not covered: the page (`tasks.report`) and where facts come from (`tasks.camera_facts`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from tasks import storage, store
from tasks.aggregate import camera_summary, group_table
from tasks.evidence import with_pictures
from tasks.facts import read_facts
from tasks.findings import Finding
from tasks.health import HealthSettings
from tasks.nights import night_before
from tasks.types import Camera
from tasks.wording import say

HISTORY_NIGHTS = 59
"""Nights before the one judged that are read: the report's trends show them. Never less than the comparisons need."""


@dataclass(frozen=True)
class Judgement:
    """What a night comes to."""

    summary: pd.DataFrame
    """`tasks.aggregate.camera_summary`, without the findings."""
    findings: tuple[Finding, ...]
    """Of all cameras, with their pictures."""
    history: pd.DataFrame
    """The facts that it rests on, this night's included."""


def judge_night(
    store_url: str,
    night: str,
    cameras: Sequence[Camera],
    settings: HealthSettings,
    language: str = "en",
    under_way: Collection[str] = (),
    published: Mapping[str, str] | None = None,
    manifests: store.Manifests | None = None,
) -> Judgement:
    """Judge a night by the facts in the store and write its tables.

    Args:
        store_url: where facts are, and tables go.
        night: YYYY-MM-DD.
        cameras: the site's.
        settings: thresholds of camera health.
        language: of the reasons in the tables.
        under_way: ids of the cameras that are still being restored: they have no verdict yet.
        published: camera id -> the run that is published of this night. What is known of another run, which that one
            took the place of, is not of the pictures that are shown, so such a camera is judged by nothing. By default
            all facts are taken.
        manifests: of this night, for the findings' pictures; by default they are read anew.

    Raises:
        StorageError: if the store can't be read or written.
    """
    first = night_before(night, max(HISTORY_NIGHTS, settings.history_nights))
    history = read_facts(store_url, [c.id for c in cameras] or None, first, night)
    if published is not None:
        history = history[(history["night"] != night) | (history["run"] == history["camera"].map(published))]
    summary = camera_summary(history, night, cameras, settings, under_way)
    findings = [f for found in summary["findings"] for f in found]
    _write_tables(store_url, night, summary, history, language)
    pictured = with_pictures(findings, manifests or store.Manifests(store_url, night))
    return Judgement(summary.drop(columns="findings"), tuple(pictured), history)


def _write_tables(store_url: str, night: str, summary: pd.DataFrame, history: pd.DataFrame, language: str) -> None:
    folder = storage.join(store_url, "reports", night)
    words = [" ".join(say(f, language) for f in found) for found in summary["findings"]]
    told = summary.drop(columns="findings").assign(reasons=words)
    storage.write(storage.join(folder, "summary.parquet"), store.parquet_bytes(told))
    storage.write(storage.join(folder, "summary.csv"), told.to_csv(index=False).encode())
    storage.write(storage.join(folder, "groups.parquet"), store.parquet_bytes(group_table(history, night)))
