"""From archive to stored shards: the right frame in every slot, restored; and the same night whatever kills it.

Works on plain functions, without Prefect. Publishing has its own tests, and so has what goes on at the same time.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest

from lednet import Restorer, quality
from lednet.checkpoint import CheckpointError
from lednet.video import VideoRestorer
from tasks import enhance, listing, storage, store
from tasks.enhance import batches, consecutive, enhance_item, load_restorer
from tasks.publish import publish
from tasks.settings import FRAME_WISE
from tasks.slots import Damage, SlotFrame
from tasks.steady import WARM_UP
from tasks.types import NightPlan, Shard
from tests.tasks.night import (
    HEIGHT,
    NIGHT,
    SHARD,
    WIDTH,
    Site,
    decode,
    files,
    frames_of,
    make_site,
    pictures,
    watched,
    write_clip,
)

FIRST_SLOTS = {"220000.mp4": 0, "220004.mp4": 20, "220006.mp4": 30}
VALID = [*range(10), *range(20, 35)]
"""The last file ends 0.9 s after slot 30; its frame at 0.8 s fills slot 34."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A night of which nothing is done yet."""
    return make_site(tmp_path)


class Done(NamedTuple):
    site: Site
    plan: NightPlan
    frames: np.ndarray
    rows: pd.DataFrame


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A night whose shards are all stored. Only to be looked at."""
    site = make_site(tmp_path_factory.mktemp("night"))
    planned = site.enhance()
    receipts = sorted(store.done_shards(planned.run_url))
    rows = pd.concat([store.read_rows(planned.run_url, k, pictures=True) for k in receipts], ignore_index=True)
    return Done(site, planned, frames_of(planned), rows)


def footage(site: Site) -> dict[int, np.ndarray]:
    """Slot -> the frame that stands at its time: of ten frames a second every other."""
    found = {}
    for name, first in FIRST_SLOTS.items():
        frames = decode(site.footage(name))[1]
        found |= {first + k: frame for k, frame in enumerate(frames[::2])}
    return found


def test_every_slot_holds_its_frame_restored_bit_for_bit(done: Done) -> None:
    video = VideoRestorer(Restorer(done.site.settings.checkpoint))
    dark = footage(done.site)
    assert sorted(dark) == VALID
    for first in range(0, max(VALID) + 1, SHARD):
        video.forget()
        for slot in (s for s in range(first - WARM_UP, first) if s in dark):
            video.watch(dark[slot][None], [slot / 5])
        for slot in (s for s in range(first, first + SHARD) if s in dark):
            assert np.array_equal(done.frames[slot], video.restore(dark[slot][None], [slot / 5])[0]), slot


def test_frame_wise_every_frame_is_restored_on_its_own(site: Site) -> None:
    site = site._replace(settings=replace(site.settings, video=FRAME_WISE))
    frames, restorer = frames_of(site.enhance()), Restorer(site.settings.checkpoint)
    for slot, frame in footage(site).items():
        assert np.array_equal(frames[slot], restorer.restore(frame[None])[0]), slot


def test_cut_into_other_items_the_same_footage_gives_the_same_frames(done: Done, site: Site) -> None:
    site = site._replace(settings=replace(site.settings, item_slots=SHARD))
    assert len(site.plan().items) > len(done.plan.items)
    assert np.array_equal(frames_of(site.enhance()), done.frames)


def test_slots_without_footage_are_black(done: Done) -> None:
    assert not done.frames[10:20].any()


def test_the_model_changes_the_frames_and_they_differ(done: Done) -> None:
    dark = footage(done.site)
    assert not any(np.array_equal(done.frames[slot], frame) for slot, frame in dark.items())
    assert len({done.frames[slot].tobytes() for slot in VALID}) == len(VALID)


def test_receipts_tell_valid_slots_sources_and_hashes(done: Done) -> None:
    receipts = [store.read_receipt(done.plan.run_url, k) for k in sorted(store.done_shards(done.plan.run_url))]
    assert [r.shard for r in receipts] == [0, 1, 2, 5, 6, 7, 8]
    assert [s for r in receipts for first, n in r.valid for s in range(first, first + n)] == VALID
    by_name = {s.url.rsplit("/")[-1]: s.url for s in done.plan.segments}
    assert receipts[5].sources == ((by_name["220004.mp4"], 2), (by_name["220006.mp4"], 2))
    for receipt in receipts:
        assert receipt.size == len(storage.read(store.shard_object(done.plan.run_url, receipt.shard)))
        assert receipt.problems == ()


def test_shards_without_footage_are_not_written(done: Done) -> None:
    objects = {storage.relative(e.url, done.plan.run_url) for e in listing.find(done.plan.run_url)}
    assert [k for k in range(9) if f"frames.zarr/frames/c/{k}/0/0/0" in objects] == [0, 1, 2, 5, 6, 7, 8]


def test_there_is_one_row_a_frame(done: Done) -> None:
    assert done.rows["slot"].tolist() == VALID
    assert done.rows["time_ns"].tolist() == [done.plan.grid.time_ns(s) for s in VALID]


@pytest.mark.parametrize("when", ["before", "after"])
def test_rows_hold_the_figures_of_the_frame(done: Done, when: str) -> None:
    dark = footage(done.site)
    for row in done.rows.to_dict("records"):
        frame = dark[row["slot"]] if when == "before" else done.frames[row["slot"]]
        expected = quality.measure(frame)._asdict()
        assert {k: row[f"{k}_{when}"] for k in expected} == pytest.approx(expected)


def test_figures_are_finite_numbers(done: Done) -> None:
    figures = done.rows[[f"{m}_{when}" for m in store.QUALITY_METRICS for when in ("before", "after")]]
    assert set(figures.dtypes) == {np.dtype(float)}
    assert np.isfinite(figures.to_numpy()).all()


def test_pictures_are_kept_at_the_stride(done: Done) -> None:
    stride = done.plan.items[0].preview_stride
    assert stride == 3  # 25 slots of footage for eight pictures
    for column in store.PICTURE_COLUMNS:
        assert done.rows.loc[done.rows[column].notna(), "slot"].tolist() == [s for s in VALID if s % stride == 0]


def test_pictures_show_the_frame_in_the_previews_width(done: Done) -> None:
    row = done.rows[done.rows["slot"] == 24].iloc[0]
    for column, frame in (("before_jpeg", footage(done.site)[24]), ("after_jpeg", done.frames[24])):
        shown = cv2.imdecode(np.frombuffer(row[column], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert shown.shape == (36, 48, 3)
        assert np.abs(shown - cv2.resize(frame, (48, 36), interpolation=cv2.INTER_AREA).astype(float)).mean() < 4


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is written again."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*") if p.is_file()
    }


def test_doing_it_again_does_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    results = [enhance_item(item, site.settings) for item in planned.items]
    assert [(r.shards_done, r.shards_skipped, r.frames) for r in results] == [(3, 0, 10), (3, 0, 12), (1, 0, 3)]
    before = stamps(site.folder)
    monkeypatch.setattr("tasks.enhance.load_restorer", lambda *_: pytest.fail("the model was loaded"))
    store.create_run(planned, site.settings, "0")
    results = [enhance_item(item, site.settings) for item in planned.items]
    assert [(r.shards_done, r.shards_skipped, r.frames) for r in results] == [(0, 3, 0), (0, 3, 0), (0, 1, 0)]
    assert stamps(site.folder) == before


def test_a_shard_that_lost_its_receipt_is_done_again_and_no_other(site: Site) -> None:
    planned = site.enhance()
    whole, before = files(site.folder), stamps(site.folder)
    Path(store.receipt_url(planned.run_url, 1, "json").removeprefix("file://")).unlink()
    assert enhance_item(planned.items[0], site.settings).shards_done == 1
    assert files(site.folder) == whole
    changed = {name.split(planned.run)[1] for name, stamp in stamps(site.folder).items() if before[name] != stamp}
    assert changed == {"/frames.zarr/frames/c/1/0/0/0", "/receipts/000001.json", "/receipts/000001.parquet"}


class Killed(BaseException):
    """No handler of ordinary errors may hold it up."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, dict[str, bytes]]:
    """A site with four shards, the last without a frame, and every file of its store after an undisturbed night.

    The store itself is not kept.
    """
    site = make_site(tmp_path_factory.mktemp("undisturbed"), (10, 8))
    site = site._replace(settings=replace(site.settings, item_slots=2 * SHARD))
    assert site.run().status == "published"
    whole = files(site.folder)
    shutil.rmtree(site.folder)
    return site, whole


@pytest.fixture
def fresh(undisturbed: tuple[Site, dict[str, bytes]]) -> Iterator[tuple[Site, dict[str, bytes]]]:
    """The same with an empty store."""
    yield undisturbed
    shutil.rmtree(undisturbed[0].folder, ignore_errors=True)


def failing_after(calls: int, function: Callable[..., object], error: BaseException) -> Callable[..., object]:
    """A function that works so many times and then never again."""
    left = iter(range(calls))

    def call(*args: object) -> object:
        if next(left, None) is None:
            raise error
        return function(*args)

    return call


def kill_and_go_on(site: Site, name: str, after: int, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Run a night that is killed in a function's call, then run it again; returns the shards done before the kill.

    Asserts that those were not touched again.
    """
    module, function = name.split(".")
    owner = {"storage": storage, "store": store}[module]
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, failing_after(after, getattr(owner, function), Killed()))
        with pytest.raises(Killed):
            site.run()
    planned = site.plan()
    finished = store.done_shards(planned.run_url)
    mine = {f"{planned.run}/frames.zarr/frames/c/{k}/0/0/0" for k in finished}
    before = {name: stamp for name, stamp in stamps(site.folder).items() if name.split(NIGHT + "/")[1] in mine}
    assert site.run().status == "published"
    assert {name: stamps(site.folder)[name] for name in before} == before
    return finished


@pytest.mark.parametrize("after", range(4))
def test_a_night_killed_between_shard_and_receipt_ends_as_if_undisturbed(
    fresh: tuple[Site, dict[str, bytes]], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, whole = fresh
    finished = kill_and_go_on(site, "store.write_receipt", after, monkeypatch)
    assert finished == {*[0, 1, 5, 6][:after]}
    assert files(site.folder) == whole


@pytest.mark.parametrize("after", [0, 3, 6, 7, 8, 9, 15, 17, 18, 19, 20])
def test_a_night_killed_at_any_write_ends_as_if_undisturbed(
    fresh: tuple[Site, dict[str, bytes]], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, whole = fresh
    kill_and_go_on(site, "storage.stored", after, monkeypatch)  # all writes go through it
    assert files(site.folder) == whole


def test_a_failed_write_stops_the_item_and_loses_no_frame(
    fresh: tuple[Site, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, whole = fresh
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    write = store.write_shard
    faults = [storage.StorageError("the disk is full")]

    def fail_once(*args: object) -> object:
        if faults:
            raise faults.pop()
        return write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "write_shard", fail_once)
    with pytest.raises(storage.StorageError, match="disk is full"):
        enhance_item(planned.items[0], site.settings)
    assert store.done_shards(planned.run_url) == set()
    site.run()
    assert files(site.folder) == whole


@pytest.mark.parametrize("batch", [2, 3])
def test_batches_change_nothing_but_the_pace(fresh: tuple[Site, dict[str, bytes]], done: Done, batch: int) -> None:
    site = fresh[0]._replace(settings=replace(fresh[0].settings, batch=batch))
    assert site.run().frames == 9
    assert np.abs(frames_of(site.plan())[:5].astype(int) - done.frames[:5]).max() <= 1


def test_items_in_any_order_give_the_same_night(fresh: tuple[Site, dict[str, bytes]]) -> None:
    site, whole = fresh
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    for item in reversed(planned.items):
        enhance_item(item, site.settings)
    publish(planned, site.store, site.settings)
    assert files(site.folder) == whole


def test_a_frame_of_another_size_is_scaled(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site = site._replace(settings=replace(site.settings, video=FRAME_WISE))
    write_clip(site.footage("220001.mp4"), pictures(10, HEIGHT * 2, WIDTH * 2))
    frames = frames_of(site.enhance())
    decoded = decode(site.footage("220001.mp4"))[1]
    small = cv2.resize(decoded[0], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    assert np.array_equal(frames[5], Restorer(site.settings.checkpoint).restore(small[None])[0])


def test_a_shard_is_the_same_whoever_restores_the_frames_of_another_size_before_it(site: Site) -> None:
    scene = np.repeat(pictures(1), 29, 0)
    write_clip(site.footage("220004.mp4"), scene[:20].repeat(2, 1).repeat(2, 2))
    write_clip(site.footage("220006.mp4"), scene[20:])
    hashes = set()
    for first in (5, 8):  # shard 8 after the others, or alone
        cut = site._replace(store=f"{site.store}-{first}", settings=replace(site.settings, item_slots=9 * SHARD))
        planned = cut.plan()
        [item] = planned.items
        store.create_run(planned, cut.settings, "0")
        enhance_item(replace(item, shards=tuple(s for s in item.shards if s.index >= first)), cut.settings)
        hashes.add(store.read_receipt(planned.run_url, 8).sha256)
    assert len(hashes) == 1


def test_damage_in_the_slots_that_a_memory_begins_at_stops_no_item(site: Site) -> None:
    planned = site.plan()
    item = planned.items[-1]
    assert item.shards[0].index == 8
    path = site.footage("220004.mp4")
    path.write_bytes(path.read_bytes()[:-600])
    store.create_run(planned, site.settings, "0")
    assert enhance_item(item, site.settings).frames == 3


def test_a_segment_that_has_gone_since_the_plan_is_a_problem_and_costs_no_other(site: Site) -> None:
    planned = site.plan()
    site.footage("220004.mp4").unlink()
    store.create_run(planned, site.settings, "0")
    for item in planned.items:
        enhance_item(item, site.settings)
    receipts = [store.read_receipt(planned.run_url, k) for k in sorted(store.done_shards(planned.run_url))]
    valid = [s for r in receipts for first, n in r.valid for s in range(first, first + n)]
    assert valid == [*range(10), *range(30, 35)]
    assert {p.url.rsplit("/")[-1] for r in receipts for p in r.problems} == {"220004.mp4"}
    assert all("cannot be read" in p.reason for r in receipts for p in r.problems)


def test_a_missing_checkpoint_is_told(site: Site) -> None:
    item = replace(site.plan().items[0], checkpoint=str(site.folder / "gone.safetensors"))
    with pytest.raises(CheckpointError, match="no such file"):
        enhance_item(item, site.settings)


def stretches(*indices: int) -> list[list[int]]:
    shards = [Shard(k, k * SHARD, SHARD) for k in indices]
    return [[s.index for s in stretch] for stretch in consecutive(shards)]


def test_holes_split_shards_into_stretches() -> None:
    assert stretches(0, 1, 2, 5, 7, 8) == [[0, 1, 2], [5], [7, 8]]
    assert stretches(3) == [[3]]
    assert stretches() == []


def test_a_night_that_is_to_be_compiled_asks_for_it_and_is_the_same_run(site: Site) -> None:
    planned, settings, asked = site.plan(), replace(site.settings, compile=True), []

    def load(checkpoint: str, memory_mb: int, precision: str, compiled: bool) -> Restorer:
        asked.append(compiled)
        return Restorer(checkpoint, memory_mb=memory_mb)

    store.create_run(planned, site.settings, "0")
    enhance_item(planned.items[0], settings, load=load)
    assert asked == [True]
    assert settings.stored() == site.settings.stored()


def test_a_checkpoint_is_loaded_under_the_bound_of_memory_in_the_precision_and_compiled_as_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(enhance, "Restorer", lambda _, **known: asked.append(known))
    enhance._load.__wrapped__(site.settings.checkpoint, 77, "fp32", True)
    assert asked == [{"precision": "fp32", "memory_mb": 77, "compile": True}]


def test_a_result_tells_the_frames_and_the_time_that_they_took(site: Site) -> None:
    planned, settings = site.plan(), replace(site.settings, batch=3)
    store.create_run(planned, settings, "0")
    started = time.monotonic()
    result = enhance_item(planned.items[0], settings)
    assert result.frames == 10
    assert 0 < result.seconds <= time.monotonic() - started


@pytest.mark.parametrize("cause", ["its run was cancelled", "the deadline came"])
def test_an_item_that_is_left_says_what_stopped_it_and_how_much_is_left(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    planned, restored, deadline = site.plan(), list[int](), 1000.0

    def over() -> bool:
        return sum(restored) > SHARD

    def clock() -> float:
        return deadline if over() and cause == "the deadline came" else 0.0

    store.create_run(planned, site.settings, "0")
    monkeypatch.setattr(enhance, "time", SimpleNamespace(time=clock, monotonic=time.monotonic))
    with caplog.at_level(logging.WARNING):
        enhance_item(
            planned.items[0],
            site.settings,
            until_s=deadline,
            wanted=lambda: not over() or cause == "the deadline came",
            load=lambda *known: watched(load_restorer(*known), restored.append),
        )
    assert f"{cause} before 2 of its shards" in caplog.text


def test_every_frame_is_a_sign_of_life_those_of_the_memory_too(site: Site) -> None:
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    signs: list[bool] = []
    result = enhance_item(planned.items[-1], site.settings, alive=lambda: signs.append(True))
    assert len(signs) == result.frames + WARM_UP


def test_damage_travels_with_the_frames_that_it_was_met_among_and_none_is_lost() -> None:
    a, b, c = (SlotFrame(k, np.zeros((1, 1, 3), np.uint8), "") for k in range(3))
    damage = Damage(0, "", "")
    assert list(batches(iter([a, damage, b, c]), 2)) == [([a, b], [damage]), ([c], [])]
    assert list(batches(iter([a, b, damage]), 2)) == [([a, b], []), ([], [damage])]
    assert list(batches(iter([a, b]), 2)) == [([a, b], [])]
