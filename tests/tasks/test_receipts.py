"""What is stored beside the frames: receipts, quality rows, `valid` and the manifest, and what damage to them leads to.

The frames themselves: `test_store`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import storage, store
from tasks.store import StoreError
from tasks.types import NightPlan, Receipt
from tests.tasks.night import NIGHT
from tests.tasks.runs import RECEIPT, SLOTS, array, folder_of, laid_out, opened


@pytest.fixture
def plan(tmp_path: Path) -> NightPlan:
    return laid_out(tmp_path / "store")


@pytest.fixture
def folder(plan: NightPlan) -> Path:
    return folder_of(plan)


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
        {"problems": [{"reason": "no url"}]}, {"problems": ["text"]}, {"size": "large"}, {"size": float("inf")},
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


def manifest_with(**changes: Any) -> dict[str, Any]:
    fields = dict.fromkeys(("camera", "night", "shards", "frames", "coverage", "problems", "frames_url"), 1)
    return {"format": store.MANIFEST_FORMAT, "run": "abc", **fields, **changes}


def test_a_manifest_that_was_only_indented_anew_is_the_same(tmp_path: Path) -> None:
    root = storage.normalise(str(tmp_path))
    url, data = store.manifest_url(root, "pit", NIGHT), store.sealed(manifest_with(coverage=0.1))
    for stored in (data, json.dumps(json.loads(data), indent=4).encode()):
        storage.write(url, stored)
        told = store.read_manifest(root, "pit", NIGHT)
        assert told is not None
        assert told["coverage"] == 0.1


@pytest.mark.parametrize(("was", "now"), [(b'"frames": 1,', b'"frames": 2,'), (b'"checksum": "', b'"checksum": "0')])
def test_a_manifest_that_was_changed_is_told(was: bytes, now: bytes, tmp_path: Path) -> None:
    root = storage.normalise(str(tmp_path))
    data = store.sealed(manifest_with())
    assert was in data
    storage.write(store.manifest_url(root, "pit", NIGHT), data.replace(was, now))
    with pytest.raises(StoreError, match="its checksum does not fit, it was changed; remove it"):
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
