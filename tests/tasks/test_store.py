"""A night in the store: the layout that others can open, whole shards only, receipts, and what damage leads to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from tasks import listing, storage, store
from tasks.settings import NightSettings
from tasks.store import StoreError
from tasks.types import Grid, NightPlan, Problem, Receipt, Segment, Shard, WorkItem
from tests.tasks.night import CAMERA, NIGHT, START_NS, files, s3_bucket, without_pauses

SLOTS, SHARD, HEIGHT, WIDTH = 10, 4, 6, 8
"""Two whole shards and one of two slots."""
SHARDS = (Shard(0, 0, 4), Shard(1, 4, 4), Shard(2, 8, 2))
SEGMENT = Segment("file:///archive/a.mp4", "etag-a", 123, START_NS, "2026-01-15 22:00:00", START_NS + 10**9)
RECEIPT = Receipt(
    1, "ab" * 32, 1234, ((4, 2), (7, 1)), (("file:///archive/夜 #1.mp4", 3),), (Problem("file:///a.mp4", "damaged", 2),)
)

Frames = NDArray[np.uint8]


def night_plan(root: str, rate: Fraction = Fraction(30_000, 1001)) -> NightPlan:
    grid = Grid(START_NS, rate, SLOTS)
    item = WorkItem(
        CAMERA.id, NIGHT, f"{root}/run", grid, HEIGHT, WIDTH, SHARD, SHARDS, (SEGMENT,), "small", preview_stride=2
    )
    return NightPlan(
        replace(CAMERA, rate=rate), NIGHT, "run", f"{root}/run", grid, HEIGHT, WIDTH, SHARD, (SEGMENT,), (), (),
        (item,), len(SHARDS), {"name": "tiny", "sha256": "cd" * 32},
    )  # fmt: skip


def noise(shard: Shard, seed: int = 0) -> Frames:
    return np.random.default_rng(seed + shard.index).integers(0, 256, (shard.count, HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket() as url:
        yield url


@pytest.fixture
def plan(tmp_path: Path) -> NightPlan:
    """Of a run that is laid out in a folder."""
    planned = night_plan(storage.normalise(str(tmp_path / "store")))
    store.create_run(planned, NightSettings(zstd_level=5), "1.2.3")
    return planned


@pytest.fixture
def item(plan: NightPlan) -> WorkItem:
    return plan.items[0]


@pytest.fixture
def folder(plan: NightPlan) -> Path:
    """Of the run."""
    return Path(plan.run_url.removeprefix("file://"))


def opened(plan: NightPlan) -> xarray.Dataset:
    return xarray.open_zarr(store.frames_url(plan.run_url).removeprefix("file://"), chunks=None)


def array(plan: NightPlan, name: str = "frames") -> zarr.Array:
    return zarr.open_array(storage.zarr_store(store.frames_url(plan.run_url)), path=name, mode="r")


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


def test_valid_slots_are_those_of_the_receipts(plan: NightPlan) -> None:
    first = Receipt(0, "", 0, ((0, 1), (3, 1)))
    assert store.write_valid(plan.run_url, SLOTS, [first, RECEIPT]) == 5
    assert np.flatnonzero(opened(plan)["valid"].to_numpy()).tolist() == [0, 3, 4, 5, 7]


def test_a_night_without_a_frame_has_no_valid_slot(plan: NightPlan) -> None:
    assert store.write_valid(plan.run_url, SLOTS, []) == 0
    assert np.asarray(array(plan, "valid")).tolist() == [False] * SLOTS


def rows(*slots: int) -> pd.DataFrame:
    return pd.DataFrame({"slot": slots, "sharpness_after": 0.5, "before_jpeg": b"b", "after_jpeg": None})


@pytest.mark.parametrize("receipt", [RECEIPT, Receipt(0, "", 0, ())], ids=["full", "empty"])
def test_receipts_survive_the_round_trip(plan: NightPlan, receipt: Receipt) -> None:
    store.write_receipt(plan.run_url, receipt, rows())
    stored = storage.read(store.receipt_url(plan.run_url, receipt.shard, "parquet"))
    expected = replace(receipt, rows_sha256=hashlib.sha256(stored).hexdigest())
    assert store.read_receipt(plan.run_url, receipt.shard) == expected


def test_the_receipt_is_written_after_its_rows(plan: NightPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(storage, "write", lambda url, data: written.append(url))
    store.write_receipt(plan.run_url, RECEIPT, rows(4, 5, 7))
    assert written == [f"{plan.run_url}/receipts/000001.{suffix}" for suffix in ("parquet", "json")]


def test_rows_come_with_pictures_only_on_request(plan: NightPlan) -> None:
    store.write_receipt(plan.run_url, RECEIPT, rows(4, 5, 7))
    assert list(store.read_rows(plan.run_url, 1)) == ["slot", "sharpness_after"]
    assert store.read_rows(plan.run_url, 1, pictures=True)["before_jpeg"].tolist() == [b"b"] * 3


def test_done_shards_are_those_with_a_receipt(plan: NightPlan, folder: Path) -> None:
    assert store.done_shards(plan.run_url) == set()
    for k in (0, 2, 123_456):
        store.write_receipt(plan.run_url, Receipt(k, "", 0, ()), rows())
    storage.write(store.receipt_url(plan.run_url, 1, "parquet"), b"rows without a receipt")
    (folder / "receipts" / ".000001.json.tmp").touch()
    (folder / "receipts" / "notes.json").touch()
    assert store.done_shards(plan.run_url) == {0, 2, 123_456}


def broken_receipts() -> list[bytes]:
    fields = {"shard": 1, "sha256": "", "size": 0, "valid": [[0, 1]], "sources": [], "problems": [], "rows_sha256": ""}
    changed = [
        {"valid": 3}, {"valid": [[1]]}, {"valid": [["a", 1]]}, {"sources": None}, {"shard": None},
        {"problems": [{"reason": "no url"}]}, {"problems": ["text"]}, {"size": "large"},
    ]  # fmt: skip
    whole = [json.dumps(fields | c).encode() for c in changed]
    short = [json.dumps({k: v for k, v in fields.items() if k != gone}).encode() for gone in fields]
    return [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", *whole, *short]


@pytest.mark.parametrize("data", broken_receipts())
def test_a_damaged_receipt_is_told_with_the_next_step(plan: NightPlan, data: bytes) -> None:
    storage.write(store.receipt_url(plan.run_url, 1, "json"), data)
    with pytest.raises(StoreError, match=r"000001\.json: not a receipt .*remove it and run the night again"):
        store.read_receipt(plan.run_url, 1)


@pytest.mark.parametrize("data", [None, b"", b"PAR1 no more", b"x" * 500])
def test_damaged_or_missing_rows_are_told_with_the_next_step(plan: NightPlan, data: bytes | None) -> None:
    if data is not None:
        storage.write(store.receipt_url(plan.run_url, 1, "parquet"), data)
    with pytest.raises(StoreError, match=r"000001\.parquet: no quality rows .*remove .*000001\.json and run"):
        store.read_rows(plan.run_url, 1)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'"text"', b"{}", b'{"format": 2}', b'{"format": 1}', b"\xff\xfe"]
)  # fmt: skip
def test_a_damaged_manifest_is_told_with_the_next_step(tmp_path: Path, data: bytes) -> None:
    root = storage.normalise(str(tmp_path))
    storage.write(store.manifest_url(root, "pit", NIGHT), data)
    with pytest.raises(StoreError, match=r"pit/2026-01-15/manifest.json: not a manifest.*remove it and run the night"):
        store.read_manifest(root, "pit", NIGHT)


def test_a_night_without_a_manifest_is_none(tmp_path: Path) -> None:
    assert store.read_manifest(storage.normalise(str(tmp_path)), "pit", NIGHT) is None


def test_equal_values_give_equal_json(tmp_path: Path) -> None:
    texts = [store.canonical_json(v) for v in ({"b": Fraction(5, 2), "a": "夜"}, {"a": "夜", "b": Fraction(5, 2)})]
    assert texts[0] == texts[1]
    assert json.loads(texts[0]) == {"a": "夜", "b": "5/2"}
    assert texts[0].endswith(b"}\n")


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.sets(st.integers(0, 60)))
def test_runs_hold_every_slot_once_and_never_touch(slots: set[int]) -> None:
    runs = store.runs_of(sorted(slots))
    assert [s for first, count in runs for s in range(first, first + count)] == sorted(slots)
    assert all(count > 0 for _, count in runs)
    assert all(a + n < b for (a, n), (b, _) in pairwise(runs))


def test_rows_whose_description_by_pandas_is_damaged_are_told(tmp_path: Path) -> None:
    table = pa.table({"slot": [0, 1]}).replace_schema_metadata({"pandas": '{"columns": [{"name": "slot"}]}'})
    (tmp_path / "receipts").mkdir()
    pq.write_table(table, tmp_path / "receipts/000001.parquet")
    with pytest.raises(StoreError, match="no quality rows"):
        store.read_rows(f"file://{tmp_path}", 1)


def test_a_small_file_of_more_rows_than_a_night_can_have_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "receipts").mkdir()
    path = tmp_path / "receipts/000001.parquet"
    pq.write_table(pa.table({"slot": pa.nulls(store.MOST_ROWS + 1, pa.int64())}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(StoreError, match="a night has at most"):
        store.read_rows(f"file://{tmp_path}", 1)
