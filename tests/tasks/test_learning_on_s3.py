"""Footage, pairs and models on object storage: the same as in folders. The S3 server is moto's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lednet import checkpoint
from tasks import models, pairs, storage
from tasks.footage import list_footage
from tests.tasks.learning import LEARN, filmed, save_model
from tests.tasks.night import s3_bucket


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    with s3_bucket() as url:
        yield url


def test_pairs_of_footage_on_s3_are_those_of_a_folder(bucket: str, tmp_path: Path) -> None:
    local = tmp_path / "gopro"
    for k in (1, 2):
        path = filmed(local / f"pit/GX0{k}0119.MP4", seed=k)
        storage.write(f"{bucket}/gopro/pit/{path.name}", path.read_bytes())
    [clip], [near] = (list_footage([where]) for where in (f"{bucket}/gopro", str(local)))
    assert (clip.name, clip.camera, len(clip.sources)) == (near.name, near.camera, 2)
    assert list_footage([f"{bucket}/gopro", clip.sources[0].url]) == [clip]
    plan = pairs.plan_pairs([clip], f"{bucket}/store", "d", LEARN)
    pairs.create(plan, "1")
    assert pairs.synthesise_clip(plan, 0) == ""
    count, sheet = pairs.finish(plan)
    assert count == 2
    assert storage.exists(sheet)
    for far, here in zip(*(pairs.make_pairs(c, LEARN, plan.recipes) for c in (clip, near)), strict=True):
        assert (far == here).all()


def test_models_on_s3_are_promoted_and_fetched(bucket: str, tmp_path: Path) -> None:
    store = f"{bucket}/store"
    name = models.add_version(store, save_model(tmp_path / "a.safetensors"), "2026-01-15").name
    models.promote(store, name, "me", "2026-01-15", "test")
    assert models.version_names(store) == [name]
    assert checkpoint.load(models.fetch(models.resolve("production", store)))[1].name == name
