"""Pairs: the same bytes from any worker at any time, whole shards, split by clip, nothing half done."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import zarr

from tasks import finetune, listing, pairs, storage
from tasks.footage import list_footage
from tasks.pairs import PairsPlan
from tasks.sheet import contact_sheet
from tasks.store import StoreError
from tasks.types import Problem
from tests.tasks.footage import Picture
from tests.tasks.learning import LEARN, filmed
from tests.tasks.night import without_pauses


@pytest.fixture
def plan(tmp_path: Path) -> PairsPlan:
    """Two cameras, three clips, laid out."""
    for k, name in enumerate(("pit/GX010119.MP4", "pit/GX010120.MP4", "silo/GX010119.MP4")):
        filmed(tmp_path / "gopro" / name, seed=k)
    planned = planned_at(tmp_path)
    pairs.create(planned, "1")
    return planned


def planned_at(tmp_path: Path, dataset: str = "d") -> PairsPlan:
    clips = list_footage([str(tmp_path / "gopro")])
    return pairs.plan_pairs(clips, storage.normalise(str(tmp_path / "store")), dataset, LEARN)


def objects(plan: PairsPlan) -> dict[str, bytes]:
    return {storage.relative(e.url, plan.store): storage.read(e.url) for e in listing.find(plan.store)}


def test_any_order_of_work_gives_the_same_bytes(plan: PairsPlan, tmp_path: Path) -> None:
    for k in (2, 0, 1):
        pairs.synthesise_clip(plan, k)
    pairs.finish(plan)
    first = objects(plan)
    for k in (0, 1, 2, 2):  # and over what is there
        pairs.synthesise_clip(plan, k)
    pairs.finish(plan)
    assert objects(plan) == first


def test_each_clip_and_each_seed_has_random_numbers_of_its_own(plan: PairsPlan) -> None:
    clip = plan.clips[0]
    pairs_of = [
        pairs.make_pairs(*made, plan.recipes)[0]
        for made in ((clip, LEARN), (clip, LEARN), (replace(clip, name="other"), LEARN), (clip, replace(LEARN, seed=2)))
    ]
    assert np.array_equal(pairs_of[0], pairs_of[1])
    for other in pairs_of[2:]:
        assert not np.array_equal(pairs_of[0], other)


def test_a_finished_data_set_opens_with_labels_beside_degraded_frames(plan: PairsPlan) -> None:
    for k in range(3):
        assert pairs.synthesise_clip(plan, k) == ""
    count, sheet = pairs.finish(plan)
    group = zarr.open_group(storage.zarr_store(plan.url), mode="r")
    degraded, label = (np.asarray(group[name][:]) for name in pairs.IMAGES)
    assert degraded.shape == label.shape == (6, 32, 40, 3)
    assert count == 6
    assert np.asarray(group["valid"][:]).all()
    assert degraded.mean() < label.mean() / 1.5  # a night is dark
    words = {name: group[name].attrs["flag_meanings"].split() for name in ("camera", "clip", "split", "recipe")}
    assert words["camera"] == ["pit", "silo"]
    assert words["clip"] == ["pit-GX0119", "pit-GX0120", "silo-GX0119"]
    assert [words["camera"][i] for i in group["camera"][:]] == ["pit"] * 4 + ["silo"] * 2
    assert [words["recipe"][i] for i in group["recipe"][:]] == ["night", "paper"] * 3
    held = {words["clip"][c] for c, s in zip(group["clip"][:], group["split"][:], strict=True) if s}
    assert held == plan.held_out
    assert len(held) == 1
    assert group.attrs["sources"]["silo-GX0119"][0]["etag"]
    assert cv2.imdecode(np.frombuffer(storage.read(sheet), np.uint8), cv2.IMREAD_COLOR).shape[1] == 1280


def test_pairs_of_a_recipe_of_ones_own_are_made_where_its_file_is_not(plan: PairsPlan, tmp_path: Path) -> None:
    path = tmp_path / "very dusty.toml"
    path.write_text("gain = [0.3, 0.4]\ngamma = [1.0, 1.2]\n")
    learn = replace(LEARN, recipes=f"night,{path}")
    own = pairs.plan_pairs(plan.clips[:1], plan.store, "", learn)
    path.write_text(path.read_text().replace("0.4", "0.5"))
    assert pairs.plan_pairs(plan.clips[:1], plan.store, "", learn).key != own.key
    path.unlink()
    pairs.create(own, "1")
    assert pairs.synthesise_clip(own, 0) == ""
    recipe = zarr.open_group(storage.zarr_store(own.url), mode="r")["recipe"]
    assert recipe.attrs["flag_meanings"] == "night very_dusty.toml"
    assert pairs.finish(own)[0] == 2


def test_the_contact_sheet_shows_every_recipe_and_clips_from_all_over_the_data_set(
    plan: PairsPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(pictures: Sequence[tuple[str, Picture, Picture]]) -> bytes:
        seen.extend(words for words, *_ in pictures)
        return b""

    monkeypatch.setattr(pairs, "contact_sheet", look)
    for k in range(3):
        pairs.synthesise_clip(plan, k)
    pairs.finish(plan)
    assert seen == ["pit-GX0119, night", "pit-GX0120, paper", "silo-GX0119, night"]
    seen.clear()
    monkeypatch.setattr(pairs, "MOST_ON_SHEET", 2)
    pairs.finish(plan)
    assert seen == ["pit-GX0119, night", "pit-GX0120, paper"]


def test_words_of_any_script_can_be_told_apart_on_the_sheet() -> None:
    picture = np.zeros((36, 64, 3), np.uint8)
    sheets = {contact_sheet([(words, picture, picture)]) for words in ("北坡", "南坡", "??", "????", "")}
    assert len(sheets) == 5


def test_cameras_with_chinese_names_are_told_apart_in_the_data_set(root: str, tmp_path: Path) -> None:
    for k, name in enumerate(("北坡", "南坡")):
        filmed(tmp_path / "gopro" / name / "GX010119.MP4", seed=k)
    plan = replace(planned_at(tmp_path), store=root)
    pairs.create(plan, "1")
    assert [pairs.synthesise_clip(plan, k) for k in range(2)] == ["", ""]
    assert pairs.done_clips(plan) == {"北坡-GX0119": "", "南坡-GX0119": ""}
    assert pairs.finish(plan)[0] == 4
    group = zarr.open_group(storage.zarr_store(plan.url), mode="r")
    assert group["camera"].attrs["flag_meanings"] == "北坡 南坡"
    assert [c.name for c in plan.clips] == group["clip"].attrs["flag_meanings"].split()


def test_a_clip_is_done_only_after_its_shards_are_stored(plan: PairsPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    write = storage.write

    def dies(url: str, data: bytes) -> None:
        if "/label/c/" in url:
            raise storage.StorageError("the store went away")
        write(url, data)

    monkeypatch.setattr(storage, "write", dies)
    with pytest.raises(storage.StorageError):
        pairs.synthesise_clip(plan, 1)
    assert pairs.done_clips(plan) == {}
    monkeypatch.undo()
    pairs.synthesise_clip(plan, 1)
    assert pairs.done_clips(plan) == {"pit-GX0120": ""}


def test_a_clip_that_cannot_be_read_is_named_and_its_rows_are_not_valid(tmp_path: Path) -> None:
    filmed(tmp_path / "gopro/pit/GX010119.MP4")
    (tmp_path / "gopro/pit/GX010120.MP4").write_bytes(b"no video")
    plan = planned_at(tmp_path)
    pairs.create(plan, "1")
    assert pairs.synthesise_clip(plan, 0) == ""
    assert "GX010120.MP4" in pairs.synthesise_clip(plan, 1)
    assert "GX010120.MP4: not a readable video" in pairs.done_clips(plan)["pit-GX0120"]
    assert pairs.finish(plan)[0] == 2
    assert (
        np.asarray(zarr.open_array(storage.zarr_store(plan.url), path="valid")[:]).tolist() == [True] * 2 + [False] * 2
    )


def test_a_clip_on_a_bad_sector_is_named_and_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filmed(tmp_path / "gopro/pit/GX010119.MP4")
    filmed(tmp_path / "gopro/pit/GX010120.MP4", seed=1)
    plan = planned_at(tmp_path)
    pairs.create(plan, "1")
    bad_sector(monkeypatch, "GX010119.MP4")
    assert "GX010119.MP4: cannot be read" in pairs.synthesise_clip(plan, 0)
    assert pairs.synthesise_clip(plan, 1) == ""
    problems: list[Problem] = []
    assert [c.name for c in finetune.read_all(plan.clips, LEARN, problems)] == ["pit-GX0120"]
    assert [p.url.rpartition("/")[2] for p in problems] == ["GX010119.MP4"]


def bad_sector(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The disk can't read a file any more; no pauses between tries."""
    real = os.pread

    def pread(descriptor: int, count: int, at: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, count, at)

    monkeypatch.setattr(os, "pread", pread)
    without_pauses(monkeypatch)


def test_another_data_set_is_never_written_under_the_same_name(plan: PairsPlan, tmp_path: Path) -> None:
    filmed(tmp_path / "gopro/pit/GX010121.MP4", seed=7)
    with pytest.raises(StoreError, match="name another --dataset"):
        pairs.create(planned_at(tmp_path), "1")
    assert planned_at(tmp_path, "").dataset != plan.dataset
    assert planned_at(tmp_path, "").dataset == f"pairs-{planned_at(tmp_path).key}"


def test_laying_out_again_leaves_what_is_stored(plan: PairsPlan) -> None:
    pairs.synthesise_clip(plan, 0)
    before = objects(plan)
    pairs.create(plan, "1")
    assert objects(plan) == before


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000])
def test_a_damaged_done_flag_is_named_with_what_to_do(plan: PairsPlan, data: bytes) -> None:
    flag = storage.join(plan.aside, "done", f"{plan.clips[0].name}.json")
    storage.write(flag, data)
    with pytest.raises(StoreError, match=r"not a done flag .*remove it, and its clip is made again"):
        pairs.done_clips(plan)
