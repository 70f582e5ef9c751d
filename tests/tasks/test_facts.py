"""Facts in the store: one row a night, corrected and never doubled, checked on the way in and out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import facts, storage
from tasks.facts import FactsError, facts_url, read_facts, write_facts
from tests.tasks.made_facts import made_row, night_name
from tests.tasks.night import s3_bucket


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield storage.normalise(str(tmp_path))
        return
    with s3_bucket() as bucket:
        yield f"{bucket}/store"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return storage.normalise(str(tmp_path))


def test_rows_come_back_as_they_were_written(store: str) -> None:
    rows = [made_row("hall", 1), made_row("pit", 1), made_row("pit", 0)]
    for row in reversed(rows):
        write_facts(store, row)
    wanted = facts.checked(pd.DataFrame(rows))
    pd.testing.assert_frame_equal(read_facts(store), wanted[read_facts(store).columns])


def test_a_night_that_is_evaluated_again_is_corrected_and_not_doubled(folder: str) -> None:
    write_facts(folder, made_row(frames=10))
    write_facts(folder, made_row(frames=900))
    assert read_facts(folder)["frames"].tolist() == [900]


def test_cameras_and_nights_can_be_chosen(folder: str) -> None:
    for camera in ("hall", "pit"):
        for k in range(4):
            write_facts(folder, made_row(camera, k))
    chosen = read_facts(folder, ["pit"], night_name(2), night_name(1))
    assert chosen[["camera", "night"]].to_numpy().tolist() == [["pit", night_name(2)], ["pit", night_name(1)]]


def test_an_empty_store_has_an_empty_table_with_all_columns(folder: str) -> None:
    empty = read_facts(folder)
    assert empty.empty
    write_facts(folder, made_row())
    assert set(empty.columns) == set(read_facts(folder).columns)


@pytest.mark.parametrize(
    "wrong",
    [{"coverage": 1.5}, {"scene": "space"}, {"frames": -1}, {"night": "yesterday"}, {"frames": "many"}, {"extra": 1}],
)
def test_a_row_that_does_not_fit_is_refused_and_its_column_named(folder: str, wrong: dict[str, object]) -> None:
    with pytest.raises(FactsError, match=next(iter(wrong))):
        write_facts(folder, made_row() | wrong)
    assert read_facts(folder).empty


def test_one_bad_file_is_left_out_and_named(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    write_facts(folder, made_row())
    storage.write(facts_url(folder, "pit", night_name(1)), b"not parquet")
    wrong = pd.DataFrame([made_row("pit", 2, coverage=7.0)])
    storage.write(facts_url(folder, "pit", night_name(2)), facts.store.parquet_bytes(wrong))
    with caplog.at_level(logging.WARNING):
        assert read_facts(folder)["night"].tolist() == [night_name(0)]
    assert night_name(1) in caplog.text
    assert night_name(2) in caplog.text


@pytest.mark.parametrize("copy", ["pit/2026-02-28 (1)", "pit/2026-01-05", "pit-north/2026-02-28"])
def test_a_copy_of_a_night_counts_for_no_other(folder: str, copy: str, caplog: pytest.LogCaptureFixture) -> None:
    write_facts(folder, made_row("pit", 1))
    data = storage.read(facts_url(folder, "pit", "2026-02-28"))
    storage.write(f"{folder}/facts/{copy}.parquet", data)
    assert read_facts(folder)["night"].tolist() == ["2026-02-28"]
    assert f"{copy}.parquet: not facts (they are those of /facts/pit/2026-02-28.parquet)" in caplog.text


def test_nights_of_a_version_that_knew_fewer_figures_lack_them(folder: str) -> None:
    write_facts(folder, made_row("pit", 1))
    write_facts(folder, made_row("pit", 0, niqe_before=9.0, niqe_after=4.0))
    figures = read_facts(folder)["niqe_after"].tolist()
    assert np.isnan(figures[0])
    assert figures[1] == 4.0


def test_a_still_scene_beside_the_facts_is_no_fact(folder: str) -> None:
    write_facts(folder, made_row())
    storage.write(facts.scene_url(folder, "pit", night_name(0)), b"a picture")
    assert len(read_facts(folder)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace_schema_metadata({"pandas": '{"columns": [{"name": "night"}]}'}),
        lambda t: t.set_column(t.column_names.index("frames"), "frames", pa.array([["many"]])),
        lambda t: pa.concat_tables([t] * 2),
        lambda t: t.append_column("frames", t.column("frames")),
    ],
    ids=["description", "type", "rows", "names"],
)
def test_a_night_of_damaged_facts_costs_no_other(
    folder: str, change: Callable[[pa.Table], pa.Table], caplog: pytest.LogCaptureFixture
) -> None:
    for before_last in (0, 1):
        write_facts(folder, made_row(before_last=before_last))
    path = facts_url(folder, "pit", night_name(1)).removeprefix("file://")
    pq.write_table(change(pq.read_table(path)), path)
    assert read_facts(folder)["night"].tolist() == [night_name(0)]
    assert f"{night_name(1)}.parquet: not facts" in caplog.text
