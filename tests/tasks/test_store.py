"""The frames of a night in the store: the layout that others can open, whole shards only, the same bytes every time.

Not covered: receipts, rows, `valid` and the manifest (`test_receipts`).
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from tasks import listing, storage, store
from tasks.settings import NightSettings
from tasks.store import StoreError
from tasks.types import NightPlan, Shard, WorkItem
from tests.tasks.night import NIGHT, START_NS, files, without_pauses
from tests.tasks.runs import (
    HEIGHT,
    RECEIPT,
    SEGMENT,
    SHARD,
    SHARDS,
    SLOTS,
    WIDTH,
    array,
    folder_of,
    laid_out,
    night_plan,
    opened,
)

Frames = NDArray[np.uint8]


def noise(shard: Shard, seed: int = 0) -> Frames:
    return np.random.default_rng(seed + shard.index).integers(0, 256, (shard.count, HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def plan(tmp_path: Path) -> NightPlan:
    return laid_out(tmp_path / "store")


@pytest.fixture
def item(plan: NightPlan) -> WorkItem:
    return plan.items[0]


@pytest.fixture
def folder(plan: NightPlan) -> Path:
    return folder_of(plan)


def test_frames_are_laid_out_a_chunk_a_frame_and_a_shard_many(plan: NightPlan) -> None:
    frames = array(plan)
    assert (frames.shape, frames.dtype) == ((SLOTS, HEIGHT, WIDTH, 3), np.uint8)
    assert (frames.chunks, frames.shards) == ((1, HEIGHT, WIDTH, 3), (SHARD, HEIGHT, WIDTH, 3))
    assert [c for c in frames.compressors if isinstance(c, ZstdCodec)] == [ZstdCodec(level=5)]
    assert frames.metadata.zarr_format == 3


def test_dimensions_are_named(plan: NightPlan) -> None:
    dataset = opened(plan)
    assert dataset["frames"].dims == ("time", "y", "x", "channel")
    assert dataset["valid"].dims == ("time",)
    assert set(dataset.coords) == {"time"}


def test_xarray_reads_the_grids_times_to_the_nanosecond(plan: NightPlan) -> None:
    times = opened(plan)["time"].to_numpy()
    assert times.dtype == np.dtype("datetime64[ns]")
    assert times.astype(np.int64).tolist() == [plan.grid.time_ns(k) for k in range(SLOTS)]


def test_no_slot_is_valid_before_anything_is_stored(plan: NightPlan) -> None:
    assert not opened(plan)["valid"].to_numpy().any()


def test_attributes_carry_the_provenance(plan: NightPlan) -> None:
    attributes = dict(opened(plan).attrs)
    assert attributes["camera"] == "pit"
    assert attributes["night"] == NIGHT
    assert attributes["color_space"] == "sRGB"
    assert attributes["model"] == {"name": "tiny", "sha256": "cd" * 32}
    assert attributes["software"] == "lednet 1.2.3"
    assert attributes["settings"]["zstd_level"] == 5
    assert attributes["sources"] == [{"url": SEGMENT.url, "etag": "etag-a", "start_ns": START_NS}]


def test_laying_out_a_second_time_changes_nothing(plan: NightPlan, item: WorkItem, folder: Path) -> None:
    store.write_shard(item, SHARDS[0], noise(SHARDS[0]))
    before = files(folder)
    store.create_run(plan, NightSettings(zstd_level=5), "9.9.9")
    assert files(folder) == before


def test_the_same_plan_lays_out_the_same_bytes(plan: NightPlan, folder: Path, tmp_path: Path) -> None:
    other = replace(plan, run_url=storage.normalise(str(tmp_path / "other")))
    store.create_run(other, NightSettings(zstd_level=5), "1.2.3")
    assert files(tmp_path / "other") == files(folder)


def test_a_layout_that_was_cut_short_is_finished(plan: NightPlan, folder: Path) -> None:
    whole = files(folder)
    for name in ("ready.json", "frames.zarr/zarr.json", "frames.zarr/time/c/0"):
        (folder / name).unlink()
    store.create_run(plan, NightSettings(zstd_level=5), "1.2.3")
    assert files(folder) == whole


def test_a_second_coordinator_at_the_same_moment_costs_no_shard(plan: NightPlan, item: WorkItem, folder: Path) -> None:
    store.write_shard(item, SHARDS[0], noise(SHARDS[0]))
    (folder / "ready.json").unlink()  # it looked before the first had written this
    store.create_run(plan, NightSettings(zstd_level=5), "1.2.3")
    assert np.array_equal(array(plan)[0:4], noise(SHARDS[0]))


def test_ready_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = storage.write
    monkeypatch.setattr(storage, "write", lambda url, data: (written.append(url), write(url, data)))
    store.create_run(night_plan(storage.normalise(str(tmp_path))), NightSettings(), "1")
    assert written[-1].endswith("/run/ready.json")
    assert [u for u in written if u.endswith("ready.json")] == written[-1:]


def test_a_shard_is_one_object_with_the_hash_that_is_told(item: WorkItem, folder: Path) -> None:
    before = set(files(folder))
    sha256, size = store.write_shard(item, SHARDS[1], noise(SHARDS[1]))
    written = set(files(folder)) - before
    assert written == {"frames.zarr/frames/c/1/0/0/0"}
    data = storage.read(store.shard_object(item.run_url, 1))
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_what_was_written_is_read_back(plan: NightPlan, item: WorkItem, order: tuple[int, ...]) -> None:
    for k in order:
        store.write_shard(item, SHARDS[k], noise(SHARDS[k]))
    assert np.array_equal(array(plan)[:], np.concatenate([noise(s) for s in SHARDS]))
    assert np.array_equal(opened(plan)["frames"].to_numpy(), np.concatenate([noise(s) for s in SHARDS]))


def test_a_black_shard_is_stored(plan: NightPlan, item: WorkItem, folder: Path) -> None:
    black = np.zeros((4, HEIGHT, WIDTH, 3), np.uint8)
    sha256, size = store.write_shard(item, SHARDS[0], black)
    assert (folder / "frames.zarr/frames/c/0/0/0/0").stat().st_size == size > 0
    assert len(sha256) == 64
    with zarr.config.set({"array.read_missing_chunks": False}):
        assert not array(plan)[0:4].any()


def test_one_black_frame_among_others_is_stored(item: WorkItem) -> None:
    frames = noise(SHARDS[0])
    frames[2] = 0
    store.write_shard(item, SHARDS[0], frames)
    index = storage.read(store.shard_object(item.run_url, 0))[-4 - 16 * SHARD : -4]
    assert (np.frombuffer(index, "<u8") < 2**63).all()  # all ones stand for a chunk that is not there


def test_black_shards_of_many_threads_are_all_stored(item: WorkItem, folder: Path) -> None:
    blocks = [np.zeros((s.count, HEIGHT, WIDTH, 3), np.uint8) for s in SHARDS] * 8
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: store.write_shard(item, *pair), zip(SHARDS * 8, blocks, strict=True)))
    assert {f"frames.zarr/frames/c/{k}/0/0/0" for k in range(3)} <= set(files(folder))


def test_the_same_frames_give_the_same_bytes(item: WorkItem) -> None:
    assert store.write_shard(item, SHARDS[2], noise(SHARDS[2])) == store.write_shard(item, SHARDS[2], noise(SHARDS[2]))


def test_writing_a_shard_again_replaces_it(plan: NightPlan, item: WorkItem) -> None:
    for seed in (1, 2):
        store.write_shard(item, SHARDS[1], noise(SHARDS[1], seed))
    assert np.array_equal(array(plan)[4:8], noise(SHARDS[1], 2))


@pytest.mark.parametrize("left", [b"", b"half a sha", bytes(1000)])
def test_a_damaged_shard_is_replaced(plan: NightPlan, item: WorkItem, folder: Path, left: bytes) -> None:
    store.write_shard(item, SHARDS[1], noise(SHARDS[1]))
    expected = files(folder)
    (folder / "frames.zarr/frames/c/1/0/0/0").write_bytes(left)
    store.write_shard(item, SHARDS[1], noise(SHARDS[1]))
    assert files(folder) == expected


@pytest.mark.parametrize(
    ("shard", "shape"),
    [
        (Shard(0, 0, 4), (3, HEIGHT, WIDTH, 3)),
        (Shard(0, 0, 3), (3, HEIGHT, WIDTH, 3)),
        (Shard(0, 0, 8), (8, HEIGHT, WIDTH, 3)),
        (Shard(0, 1, 4), (4, HEIGHT, WIDTH, 3)),
        (Shard(0, 4, 4), (4, HEIGHT, WIDTH, 3)),
        (Shard(2, 8, 4), (4, HEIGHT, WIDTH, 3)),
        (Shard(3, 12, 4), (4, HEIGHT, WIDTH, 3)),
        (Shard(0, 0, 4), (4, HEIGHT, WIDTH - 1, 3)),
        (Shard(0, 0, 4), (4, HEIGHT, WIDTH)),
        (Shard(0, 0, 1), (1, HEIGHT, WIDTH, 3)),
    ],
)  # fmt: skip
def test_what_is_no_whole_shard_is_refused(item: WorkItem, folder: Path, shard: Shard, shape: tuple[int, ...]) -> None:
    before = files(folder)
    with pytest.raises(StoreError, match=r"no whole shard .*remove the run's folder"):
        store.write_shard(item, shard, np.zeros(shape, np.uint8))
    assert files(folder) == before


def test_frames_of_another_type_are_refused(item: WorkItem) -> None:
    with pytest.raises(StoreError, match="no whole shard"):
        store.write_shard(item, SHARDS[0], np.zeros((4, HEIGHT, WIDTH, 3), np.float32))  # type: ignore[arg-type]


def test_a_run_that_is_not_laid_out_is_told(item: WorkItem) -> None:
    with pytest.raises(StoreError, match=r"elsewhere/frames\.zarr: not laid out"):
        store.write_shard(replace(item, run_url=f"{item.run_url}/elsewhere"), SHARDS[0], noise(SHARDS[0]))


def test_workers_never_touch_metadata(item: WorkItem, folder: Path) -> None:
    before = {name: data for name, data in files(folder).items() if name.endswith(".json")}
    store.write_shard(item, SHARDS[0], noise(SHARDS[0]))
    store.write_valid(item.run_url, SLOTS, [RECEIPT])
    assert {name: data for name, data in files(folder).items() if name.endswith(".json")} == before


def test_a_fault_that_passes_costs_no_shard(plan: NightPlan, item: WorkItem, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    replace_file, faults = storage.os.replace, [OSError(5, "Input/output error")] * 3

    def replace_or_fail(source: Path, target: Path) -> None:
        if faults:
            raise faults.pop()
        replace_file(source, target)

    monkeypatch.setattr("tasks.storage.os.replace", replace_or_fail)
    store.write_shard(item, SHARDS[0], noise(SHARDS[0]))
    assert np.array_equal(array(plan)[0:4], noise(SHARDS[0]))


def test_a_fault_that_stays_leaves_no_half_shard(item: WorkItem, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    before = files(folder)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tasks.storage.os.replace", fail)
    with pytest.raises(storage.StorageError, match="No space left"):
        store.write_shard(item, SHARDS[0], noise(SHARDS[0]))
    assert files(folder) == before


def test_the_same_run_in_s3_has_the_same_objects(bucket: str, item: WorkItem, plan: NightPlan, folder: Path) -> None:
    remote = night_plan(f"{bucket}/store")
    store.create_run(remote, NightSettings(zstd_level=5), "1.2.3")
    for k in SHARDS:
        assert store.write_shard(remote.items[0], k, noise(k)) == store.write_shard(item, k, noise(k))
    assert store.write_valid(remote.run_url, SLOTS, [RECEIPT]) == store.write_valid(item.run_url, SLOTS, [RECEIPT])
    stored = {storage.relative(e.url, remote.run_url): storage.read(e.url) for e in listing.find(remote.run_url)}
    assert stored == files(folder)
