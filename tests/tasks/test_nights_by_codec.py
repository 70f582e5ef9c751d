"""A whole night with each codec that stores images: published, intact, resumed and repaired as one of zstd is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from lednet import __version__
from tasks import storage, store
from tasks.collect import find_garbage, remove
from tasks.settings import JPEG, JPEGXL, JPEGXL_LOSSLESS
from tasks.verify import check_night, repair_night
from tests.tasks.night import CAMERA, NIGHT, Site, files, frames_of, make_site

IMAGES = (JPEG, JPEGXL, JPEGXL_LOSSLESS)


@pytest.fixture(scope="module")
def zstd(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The night as it is stored by default."""
    site = make_site(tmp_path_factory.mktemp("zstd"), (10, 8))
    assert site.run().status == "published"
    return site


@pytest.fixture(scope="module", params=IMAGES)
def night(request: pytest.FixtureRequest, zstd: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The same footage stored with another codec, in a store of its own; only to be looked at."""
    return stored_with(request.param, zstd, tmp_path_factory.mktemp(request.param))


def stored_with(codec: str, zstd: Site, folder: Path) -> Site:
    site = Site(zstd.archive, storage.normalise(str(folder)), replace(zstd.settings, codec=codec))
    store.create_run(site.plan(), site.settings, __version__)
    assert site.run().status == "published"
    return site


def test_its_frames_are_those_of_zstd_or_near_them(night: Site, zstd: Site) -> None:
    frames, exact = (frames_of(site.plan()).astype(int) for site in (night, zstd))
    if night.settings.codec == JPEGXL_LOSSLESS:
        assert np.array_equal(frames, exact)
    else:
        assert 0 < np.abs(frames - exact).mean() < 5


def test_its_figures_are_of_the_restored_frames_before_they_were_stored(night: Site, zstd: Site) -> None:
    rows, exact = (store.read_quality(site.plan().run_url) for site in (night, zstd))
    pd.testing.assert_frame_equal(rows, exact)


def test_the_manifest_says_whether_it_is_lossy(night: Site, zstd: Site) -> None:
    manifest = night.manifest()
    assert manifest["lossy"] is (night.settings.codec != JPEGXL_LOSSLESS)
    assert manifest["codec"].startswith(night.settings.codec)
    assert not {"lossy", "codec"} & set(zstd.manifest())


def test_another_codec_is_another_run(night: Site, zstd: Site) -> None:
    assert night.plan().run != zstd.plan().run


def test_it_is_intact(night: Site) -> None:
    found = check_night(night.store, CAMERA.id, NIGHT)
    assert (found.findings, found.shards) == ((), 4)


def test_run_again_it_writes_nothing(night: Site) -> None:
    before = {p: p.stat().st_mtime_ns for p in night.folder.rglob("c/*/0/0/0")}
    night.enhance()
    assert {p: p.stat().st_mtime_ns for p in night.folder.rglob("c/*/0/0/0")} == before


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flipped, Path.unlink], ids=["flipped", "missing"])
def test_a_damaged_shard_is_named_and_done_anew_to_the_same_bytes(
    zstd: Site, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    site = stored_with(JPEG, zstd, tmp_path)
    whole = files(site.folder)
    (shard,) = site.folder.rglob("frames/c/1/0/0/0")
    damage(shard)
    check = check_night(site.store, CAMERA.id, NIGHT)
    assert [f.shard for f in check.findings] == [1]
    assert repair_night(check, CAMERA, site.archive, site.store, site.settings, __version__).findings == ()
    assert files(site.folder) == whole


def test_changed_back_to_zstd_the_manifest_moves_on_and_the_lossy_run_is_collected(zstd: Site, tmp_path: Path) -> None:
    lossy = stored_with(JPEG, zstd, tmp_path)
    site = lossy._replace(settings=zstd.settings)
    assert site.run().status == "published"
    assert site.manifest()["run"] == zstd.manifest()["run"]
    for garbage in find_garbage(site.store, 0):
        remove(garbage)
    assert not Path(lossy.plan().run_url.removeprefix("file://")).exists()
    group = zarr.open_group(storage.zarr_store(site.manifest()["frames_url"]), mode="r")
    assert "lossy" not in group.attrs
