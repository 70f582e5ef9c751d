"""The pictures that findings are measured on and shown by: of the right slot and camera, as many as there can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from tasks import evidence, store
from tasks.evidence import kept_pictures, with_pictures
from tasks.findings import Finding
from tasks.picture import jpeg
from tasks.video import read_jpeg

NIGHT = "2026-01-15"
STRIDE, SHARD = 10, 50
"""Every so many slots of the made-up night a picture is kept; slots in a shard."""


def manifest(slots: int = 1000) -> dict[str, Any]:
    return {
        "start_ns": 0, "camera": {"rate": "5"}, "slots": slots, "gaps": [], "shards": list(range(slots // SHARD)),
        "frames_url": "file:///store/enhanced/pit/2026-01-15/r/frames.zarr",
    }  # fmt: skip


def shade(slot: int) -> bytes:
    """The picture that is kept of a slot, as bright as its number."""
    return jpeg(np.full((32, 32, 3), slot % 250, np.uint8), 32)


@pytest.fixture
def _night(monkeypatch: pytest.MonkeyPatch) -> None:
    """A published night whose shards need not be stored."""

    def rows(_: str, shard: int, pictures: bool) -> pd.DataFrame:
        slots = np.arange(shard * SHARD, (shard + 1) * SHARD)
        return pd.DataFrame({"slot": slots, "before_jpeg": [None if s % STRIDE else shade(s) for s in slots]})

    group = SimpleNamespace(attrs={"settings": {"preview_pictures": 1000 // STRIDE}}, store_path="r")
    monkeypatch.setattr(zarr, "open_group", lambda *_, **__: group)
    monkeypatch.setattr(evidence, "_shard_slots", lambda _: SHARD)
    monkeypatch.setattr(store, "read_rows", rows)
    monkeypatch.setattr(store, "read_manifest", lambda *_: manifest())


def finding(camera: str, slot: int) -> Finding:
    return Finding(camera, "moved", "attention", {"slot": float(slot)})


@pytest.mark.usefixtures("_night")
@pytest.mark.parametrize("slot", [0, 60, 80])
def test_a_finding_is_shown_by_its_own_slot_and_no_other_of_its_shard(slot: int) -> None:
    [shown] = with_pictures([finding("pit", slot)], store.Manifests("file:///store", NIGHT))
    assert abs(float(read_jpeg(shown.picture).mean()) - slot) < 3


@pytest.mark.usefixtures("_night")
def test_a_finding_of_a_slot_that_no_picture_was_kept_of_has_none() -> None:
    assert with_pictures([finding("pit", 61)], store.Manifests("file:///store", NIGHT)) == [finding("pit", 61)]


def test_two_cameras_that_name_one_slot_have_each_their_own_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "read_manifest", lambda _, camera, *__: {"camera": camera})
    monkeypatch.setattr(evidence, "_picture_at", lambda manifest, _: manifest["camera"].encode())
    shown = with_pictures([finding("pit", 3), finding("silo", 3)], store.Manifests("file:///store", NIGHT))
    assert [f.picture for f in shown] == [b"pit", b"silo"]


@pytest.mark.usefixtures("_night")
def test_of_the_slots_only_those_with_a_picture_are_chosen_from() -> None:
    kept = kept_pictures(manifest(), pd.DataFrame({"slot": np.arange(1000)}), 20)
    assert len(kept) == 20
    assert kept["slot"].iloc[[0, -1]].tolist() == [0, 990]


@pytest.mark.usefixtures("_night")
def test_a_night_without_a_frame_has_no_pictures() -> None:
    assert len(kept_pictures(manifest(), pd.DataFrame({"slot": np.arange(0)}), 20)) == 0
