"""The pictures of a night that findings are measured on and shown by: those that were kept with the quality rows.

A night has thousands of shards and keeps a few hundred pairs of pictures, so only the shards that hold some are read.
Not covered: what is measured (`tasks.signs`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import zarr

from tasks import storage, store
from tasks.findings import Finding
from tasks.picture import jpeg
from tasks.settings import NightSettings
from tasks.types import Grid
from tasks.video import read_jpeg

log = logging.getLogger(__name__)

FINDING_WIDTH = 320
"""Of the picture beside a finding; it is mailed with the report."""


def night_grid_of(manifest: Mapping[str, Any]) -> Grid:
    """The slots of a published night."""
    return Grid(int(manifest["start_ns"]), Fraction(manifest["camera"]["rate"]), int(manifest["slots"]))


def run_url_of(manifest: Mapping[str, Any]) -> str:
    """Where a published night's run stands."""
    return str(manifest["frames_url"]).removesuffix("/frames.zarr")


def kept_pictures(manifest: Mapping[str, Any], quality: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` of the quality rows that carry pictures, spread over the night, with `before_jpeg`.

    Raises:
        StoreError: if rows of a shard are missing or damaged.
    """
    group = zarr.open_group(storage.zarr_store(manifest["frames_url"]), mode="r")
    shard_slots = _shard_slots(group)
    slots = quality["slot"].to_numpy()
    kept = slots[slots % _stride(manifest, group) == 0]
    chosen = kept[np.unique(np.linspace(0, len(kept) - 1, most).round().astype(int))] if len(kept) else kept
    shards = sorted({int(slot) // shard_slots for slot in chosen} & set(manifest["shards"]))
    read = [store.read_rows(run_url_of(manifest), shard, pictures=True) for shard in shards]
    if not read:
        return quality.iloc[:0].assign(before_jpeg=[])
    rows = pd.concat(read)
    return rows[rows["slot"].isin(chosen) & rows["before_jpeg"].notna()].reset_index(drop=True)


def _shard_slots(group: zarr.Group) -> int:
    """Slots in a shard of a run."""
    shards = getattr(group["frames"], "shards", None)
    if not shards:
        raise store.StoreError(f"{group.store_path}: its frames are not sharded; run the night again")
    return int(shards[0])


def _stride(manifest: Mapping[str, Any], group: zarr.Group) -> int:
    """Every so many slots a picture was kept: what `tasks.plan` chose for this run."""
    grid = night_grid_of(manifest)
    stored: Any = group.attrs.get("settings", {})
    wanted = int(stored.get("preview_pictures", NightSettings.preview_pictures))
    footage = grid.slots - sum(grid.slot_at(b) - grid.slot_at(a) for a, b in manifest["gaps"])
    return max(1, footage // wanted)


def with_pictures(findings: Iterable[Finding], manifests: store.Manifests) -> list[Finding]:
    """Findings with the picture of the slot that their values name, small; without where it can't be had."""
    shown: list[Finding] = []
    cache: dict[tuple[str, int], bytes] = {}
    for finding in findings:
        slot = int(finding.values.get("slot", -1))
        key = finding.camera, slot
        if slot >= 0 and key not in cache:
            try:
                cache[key] = _picture_at(manifests.of(finding.camera), slot)
            except Exception as error:  # damage raises whatever it leads to, and must not cost the site its report
                log.warning("%s, %s: no picture for a finding (%s)", finding.camera, manifests.night, error)
                cache[key] = b""
        shown.append(replace(finding, picture=cache.get(key, b"")))
    return shown


def _picture_at(manifest: Mapping[str, Any] | None, slot: int) -> bytes:
    if manifest is None:
        return b""
    group = zarr.open_group(storage.zarr_store(manifest["frames_url"]), mode="r")
    rows = store.read_rows(run_url_of(manifest), slot // _shard_slots(group), pictures=True)
    pictures = rows.loc[(rows["slot"] == slot) & rows["before_jpeg"].notna(), "before_jpeg"]
    return jpeg(read_jpeg(pictures.iloc[0]), FINDING_WIDTH) if len(pictures) else b""
