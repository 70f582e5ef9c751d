"""A small run for the tests of `tasks.store`: a plan of three shards, a receipt, and the arrays as others open them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import xarray
import zarr

from tasks import storage, store
from tasks.settings import NightSettings
from tasks.types import Grid, NightPlan, Problem, Receipt, Segment, Shard, WorkItem
from tests.tasks.night import CAMERA, NIGHT, START_NS

SLOTS, SHARD, HEIGHT, WIDTH = 10, 4, 6, 8
"""Two whole shards and one of two slots."""
SHARDS = (Shard(0, 0, 4), Shard(1, 4, 4), Shard(2, 8, 2))
SEGMENT = Segment("file:///archive/a.mp4", "etag-a", 123, START_NS, "2026-01-15 22:00:00", START_NS + 10**9)
RECEIPT = Receipt(
    1, "ab" * 32, 1234, ((4, 2), (7, 1)), (("file:///archive/夜 #1.mp4", 3),), (Problem("file:///a.mp4", "damaged", 2),)
)


def night_plan(root: str, rate: Fraction = Fraction(30_000, 1001)) -> NightPlan:
    """A plan whose run stands in `root`/run; nothing is laid out yet."""
    grid = Grid(START_NS, rate, SLOTS)
    item = WorkItem(
        CAMERA.id, NIGHT, f"{root}/run", grid, HEIGHT, WIDTH, SHARD, SHARDS, (SEGMENT,), "small", preview_stride=2
    )
    return NightPlan(
        replace(CAMERA, rate=rate), NIGHT, "run", f"{root}/run", grid, HEIGHT, WIDTH, SHARD, (SEGMENT,), (), (),
        (item,), len(SHARDS), {"name": "tiny", "sha256": "cd" * 32},
    )  # fmt: skip


def laid_out(folder: Path) -> NightPlan:
    """A plan whose run is laid out below a folder."""
    planned = night_plan(storage.normalise(str(folder)))
    store.create_run(planned, NightSettings(zstd_level=5), "1.2.3")
    return planned


def folder_of(plan: NightPlan) -> Path:
    """Of the plan's run, which stands on this machine."""
    return Path(plan.run_url.removeprefix("file://"))


def opened(plan: NightPlan) -> xarray.Dataset:
    """The run as xarray reads it."""
    return xarray.open_zarr(store.frames_url(plan.run_url).removeprefix("file://"), chunks=None)


def array(plan: NightPlan, name: str = "frames") -> zarr.Array:
    """One array of the run as Zarr reads it."""
    return zarr.open_array(storage.zarr_store(store.frames_url(plan.run_url)), path=name, mode="r")
