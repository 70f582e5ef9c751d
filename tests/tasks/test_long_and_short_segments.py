"""The number of work items follows the footage, not the files: ten-second files are grouped, hour-long ones split."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import zarr

from tasks import storage, store
from tasks.types import Camera
from tests.tasks.footage import write_clip
from tests.tasks.night import plan, run_night, save_checkpoint, small_settings

DATED = Camera("pit", "Pit", "outdoor", "UTC", "pit/%Y%m%d_%H%M%S.mp4", Fraction(1, 30), "22:00", "23:00")


def frames_of(folder: Path, camera: Camera) -> tuple[np.ndarray, dict[str, object]]:
    manifest = store.read_manifest(storage.normalise(str(folder)), camera.id, "2026-01-15")
    assert manifest is not None
    return np.asarray(zarr.open_array(storage.zarr_store(manifest["frames_url"]), path="frames")), manifest


def test_one_hour_long_segment_is_split_into_several_work_items_and_wholly_restored(tmp_path: Path) -> None:
    write_clip(tmp_path / "archive/pit/20260115_220000.mp4", range(3600), fps=1, gop=60)
    settings = replace(small_settings(save_checkpoint(tmp_path)), item_slots=30, shard_least=10, shard_most=10)
    archive, target = (storage.normalise(str(tmp_path / name)) for name in ("archive", "store"))
    assert len(plan(archive, target, settings, DATED).items) == 4
    outcome = run_night(archive, target, settings, DATED)
    assert (outcome.status, outcome.frames, outcome.coverage) == ("published", 120, 1.0)


def test_ten_ten_second_segments_are_grouped_and_give_what_one_long_segment_gives(tmp_path: Path) -> None:
    camera = replace(DATED, rate=Fraction(1), end="22:01:40")
    settings = replace(small_settings(save_checkpoint(tmp_path)), item_slots=50, shard_least=20, shard_most=20)
    lossless = {"qp": "0", "preset": "ultrafast"}
    write_clip(tmp_path / "long/pit/20260115_220000.mp4", range(100), fps=1, options=lossless)
    for k in range(10):
        name = f"20260115_22{k * 10 // 60:02}{k * 10 % 60:02}.mp4"
        write_clip(tmp_path / "short/pit" / name, range(10), fps=1, first=10 * k, options=lossless)
    found = []
    for name in ("long", "short"):
        archive, target = (storage.normalise(str(tmp_path / n)) for n in (name, f"{name}-store"))
        assert len(plan(archive, target, settings, camera).items) == 3
        assert run_night(archive, target, settings, camera).coverage == 1.0
        found.append(frames_of(tmp_path / f"{name}-store", camera)[0])
    assert np.array_equal(*found)
