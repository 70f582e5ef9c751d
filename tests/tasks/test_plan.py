"""A plan is the same for the same inputs, covers the footage and no more, and its work items follow the footage.

Not covered: the shards and gaps that it is made of (`test_shards_and_gaps`).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import pytest
from footage import write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from lednet.checkpoint import CheckpointError
from tasks import decode_process
from tasks.decode import Header, VideoError
from tasks.items import TAIL_S, Touching
from tasks.plan import NothingToDoError, plan_night, run_key, shards_with_footage
from tasks.types import NANOSECONDS, Grid, NightPlan, Segment, Shard
from tests.tasks.planning import CAMERA, HOUR, NIGHT, SMALL, START, opens, plan, put, segment

# The whole


def test_a_plan_says_where_what_and_with_which_weights(tmp_path: Path) -> None:
    planned = plan(put(tmp_path, range(0, 100, 10)))
    assert (planned.camera, planned.night, planned.height, planned.width) == (CAMERA, NIGHT, 720, 1280)
    assert planned.run_url == f"file:///store/enhanced/pit/{NIGHT}/{planned.run}"
    assert planned.grid == Grid(START, Fraction(5), 3 * HOUR * 5)
    assert planned.model["name"]
    assert len(planned.model["sha256"]) == 64
    assert planned.planned_slots == 500
    assert {(i.camera, i.night, i.run_url, i.grid, i.checkpoint) for i in planned.items} == {
        ("pit", NIGHT, planned.run_url, planned.grid, "small")
    }


def test_a_night_of_real_files_is_planned_by_their_headers(tmp_path: Path) -> None:
    camera = replace(CAMERA, segment_s=None)
    for name in ("200000", "200006"):
        write_clip(tmp_path / f"pit/{name}_20260115.mp4", [k / 10 for k in range(40)])
    planned = plan_night(camera, NIGHT, f"file://{tmp_path}", "file:///store", SMALL)
    assert (planned.height, planned.width) == (48, 64)
    assert [(s.start_ns - START, s.end_ns - START) for s in planned.segments] == [
        (0, 4 * NANOSECONDS), (6 * NANOSECONDS, 10 * NANOSECONDS),
    ]  # fmt: skip
    assert [((a - START) / NANOSECONDS, (b - START) / NANOSECONDS) for a, b in planned.gaps] == [(4, 6), (10, 3 * HOUR)]
    assert planned.planned_slots == 40


def test_weights_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    archive = put(tmp_path, range(0, 100, 10))
    with pytest.raises(CheckpointError, match="nowhere"):
        plan(archive, settings=replace(SMALL, checkpoint="nowhere.safetensors"))


def test_a_machine_that_can_start_no_decoder_fails_the_plan_and_blames_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "pit/200000_20260115.mp4", [k / 10 for k in range(40)])
    monkeypatch.setattr(decode_process, "START_PAUSE_S", 0)
    monkeypatch.setattr(decode_process.sys, "executable", str(tmp_path / "gone"))
    decode_process.end_helpers()  # one that waits for work would do it
    with pytest.raises(decode_process.DecoderStartError, match="No such file"):
        plan(f"file://{tmp_path}", replace(CAMERA, segment_s=None), probe=decode_process.prober(SMALL))


# The run key


def test_the_same_inputs_give_the_same_plan(tmp_path: Path) -> None:
    archive = put(tmp_path, range(0, 100, 10))
    assert plan(archive) == plan(archive)


def test_the_key_does_not_depend_on_where_archive_and_store_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.listing._etag", lambda info: "same")
    here, there = put(tmp_path / "a", range(0, 100, 10)), put(tmp_path / "b", range(0, 100, 10))
    assert plan(here).run == plan(there, store="s3://bucket/store").run


KEY = ("weights", SMALL, Grid(START, Fraction(5), 100), (720, 1280), (segment(0, 10),), "file:///archive")
CHANGES: dict[str, tuple[int, object]] = {
    "weights": (0, "other"),
    "stored setting": (1, replace(SMALL, shard_mb=2)),
    "limit of pixels": (1, replace(SMALL, most_pixels=1000)),
    "rate": (2, Grid(START, Fraction(30000, 1001), 100)),
    "start": (2, Grid(START + 1, Fraction(5), 100)),
    "end": (2, Grid(START, Fraction(5), 101)),
    "size": (3, (1280, 720)),
    "etag": (4, (segment(0, 10, etag="2"),)),
    "name": (4, (segment(0, 10, "b.mp4"),)),
    "time": (4, (segment(1, 10),)),
    "length": (4, (segment(0, 11),)),
    "another file": (4, (segment(0, 10), segment(10, 20, "b.mp4"))),
    "no file": (4, ()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_the_result_changes_the_key(change: str) -> None:
    place, value = CHANGES[change]
    changed = [*KEY[:place], value, *KEY[place + 1 :]]
    assert run_key(*changed) != run_key(*KEY)  # type: ignore[arg-type]


def test_settings_that_change_no_result_leave_the_key() -> None:
    other = replace(SMALL, item_slots=7, batch=3, queue_batches=2)
    assert run_key(KEY[0], other, *KEY[2:]) == run_key(*KEY)


def test_a_key_is_short_and_fit_for_a_name() -> None:
    assert len(run_key(*KEY)) == 16
    assert set(run_key(*KEY)) <= set("0123456789abcdef")


def test_new_content_under_an_old_name_is_a_new_run(tmp_path: Path) -> None:
    archive = put(tmp_path, range(0, 100, 10))
    before = plan(archive).run
    next((tmp_path / "pit").iterdir()).write_bytes(b"longer video")
    assert plan(archive).run != before


# Work items


def check_items(planned: NightPlan) -> None:
    shards = [shard for item in planned.items for shard in item.shards]
    assert shards == sorted(set(shards), key=lambda s: s.index)
    runs = shards_with_footage(planned.grid, planned.shard_slots, planned.segments)
    assert [shard.index for shard in shards] == list(chain.from_iterable(runs))
    for shard in shards:
        assert shard.first == shard.index * planned.shard_slots
        assert shard.count == min(planned.shard_slots, planned.grid.slots - shard.first)
    assert planned.shards == len(shards)
    assert len(planned.items) == len(list(planned.items))
    assert [planned.items[i] for i in range(len(planned.items))] == list(planned.items)
    for item in planned.items:
        assert item.shards
        assert list(item.segments) == sorted(item.segments, key=lambda s: s.start_ns)
        for shard in item.shards:
            begin, end = (planned.grid.time_ns(s) for s in (shard.first, shard.first + shard.count))
            needed = {s for s in planned.segments if s.start_ns < end and s.end_ns > begin}
            assert needed <= set(item.segments)


def test_work_items_are_the_shards_in_order_each_with_its_files(tmp_path: Path) -> None:
    planned = plan(put(tmp_path, range(0, 3 * HOUR, 10)), probe=opens(36, 64))
    assert planned.shard_slots == 100
    assert len(planned.items) == 3 * HOUR * 5 / 300
    assert {len(item.shards) for item in planned.items} == {3}
    assert {len(item.segments) for item in planned.items} <= {6, 7, 8}
    check_items(planned)


def test_the_number_of_work_items_follows_the_footage_and_not_the_files(tmp_path: Path) -> None:
    short = plan(put(tmp_path / "short", range(0, HOUR, 10)))
    long = plan(put(tmp_path / "long", range(1)), replace(CAMERA, segment_s=HOUR))
    assert (len(short.segments), len(long.segments)) == (360, 1)
    assert [i.shards for i in short.items] == [i.shards for i in long.items]
    assert len(long.items) >= HOUR * 5 // 300
    check_items(long)


def test_a_gap_makes_no_work(tmp_path: Path) -> None:
    planned = plan(put(tmp_path, range(0, 60, 10)))
    assert sum(s.count for i in planned.items for s in i.shards) <= 60 * 5 + planned.shard_slots
    assert len(planned.gaps) == 1


def test_shards_larger_than_a_work_item_make_one_each(tmp_path: Path) -> None:
    planned = plan(put(tmp_path, range(0, 300, 10)), settings=replace(SMALL, item_slots=1))
    assert {len(item.shards) for item in planned.items} == {1}
    check_items(planned)


def test_about_as_many_pictures_are_kept_as_asked_for(tmp_path: Path) -> None:
    planned = plan(put(tmp_path, range(0, HOUR, 10)), settings=replace(SMALL, preview_pictures=50))
    assert {item.preview_stride for item in planned.items} == {HOUR * 5 // 50}
    assert plan(put(tmp_path / "b", range(1))).items[0].preview_stride == 1


@settings(max_examples=30)
@given(
    begins=st.lists(st.integers(-600, 3 * HOUR + 600), min_size=1, max_size=12, unique=True),
    length=st.sampled_from([1, 7, 60, 900]),
    size=st.sampled_from([(36, 64), (240, 320), (720, 1280), (2160, 3840)]),
    item_slots=st.sampled_from([1, 50, 1500]),
    rate=st.sampled_from([Fraction(1), Fraction(5), Fraction(30000, 1001)]),
)
def test_every_slot_that_a_file_covers_belongs_to_exactly_one_work_item(
    begins: list[int],
    length: int,
    size: tuple[int, int],
    item_slots: int,
    rate: Fraction,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("archive")
    archive = put(root, range(0))
    for begin in begins:
        at = 20 * HOUR + begin
        (root / "pit" / f"{at // HOUR:02}{at // 60 % 60:02}{at % 60:02}_20260115.mp4").write_bytes(b"video")
    camera = replace(CAMERA, segment_s=length, rate=rate)
    try:
        planned = plan(archive, camera, replace(SMALL, item_slots=item_slots), opens(*size))
    except NothingToDoError:
        assert all(b + length <= 0 or b >= 3 * HOUR for b in begins)
        return
    check_items(planned)
    owned = [
        s for item in planned.items for shard in item.shards for s in range(shard.first, shard.first + shard.count)
    ]
    assert len(owned) == len(set(owned))
    covered = {
        slot
        for s in planned.segments
        for slot in (planned.grid.slot_at(s.start_ns), planned.grid.slot_at(s.end_ns - 1))
        if 0 <= slot < planned.grid.slots
    }
    assert covered <= set(owned)
    assert len(planned.segments) == sum(b + length > 0 and b < 3 * HOUR for b in begins)


# Nothing to do


def test_an_archive_without_files_leaves_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError) as caught:
        plan(f"file://{tmp_path}")
    looked_for = f"pit/%H%M%S_%Y%m%d.mp4 below file://{tmp_path}"
    assert str(caught.value) == f"no file of it in the archive: none of this night's hours fits {looked_for}"
    assert caught.value.problems == ()


@pytest.mark.parametrize("error", [VideoError("u", "holds no video stream"), PermissionError("no rights")])
def test_a_night_none_of_whose_files_can_be_read_leaves_nothing_to_do_and_says_why(
    error: Exception, tmp_path: Path
) -> None:
    def probe(url: str) -> Header:
        raise error

    archive = put(tmp_path, range(0, 30, 10))
    (tmp_path / "pit" / "205959_20260115.mp4").touch()
    for camera in (CAMERA, replace(CAMERA, segment_s=None)):
        with pytest.raises(NothingToDoError, match="none of its 4 files can be read") as caught:
            plan(archive, camera, probe=probe)
        assert len(caught.value.problems) == 4
        assert len({p.url for p in caught.value.problems}) == 4


def test_unreadable_files_are_left_out_where_others_can_be_read(tmp_path: Path) -> None:
    def probe(url: str) -> Header:
        if "200000" in url:
            raise VideoError(url, "holds no video stream")
        return opens()(url)

    planned = plan(put(tmp_path, range(0, 30, 10)), probe=probe)
    assert [s.url[-19:-13] for s in planned.segments] == ["200010", "200020"]
    assert [p.reason for p in planned.problems] == ["holds no video stream"]


def test_a_night_that_clocks_leave_out_leaves_nothing_to_do(tmp_path: Path) -> None:
    camera = replace(CAMERA, timezone="Europe/Berlin", start="02:00", end="03:00", segment_s=7200)
    (tmp_path / "pit").mkdir()
    (tmp_path / "pit" / "010000_20260329.mp4").write_bytes(b"video")
    with pytest.raises(NothingToDoError, match="reaches no slot of the night"):
        plan_night(camera, "2026-03-29", f"file://{tmp_path}", "file:///store", SMALL, opens())


def test_a_file_that_exceeds_its_stated_length_serves_the_next_work_item_as_well() -> None:
    grid, named = Grid(START, Fraction(1), 100), (segment(0, 60), segment(60, 100, "b.mp4"))
    assert Touching(grid, named).of([Shard(0, 62, 10)]) == named
    assert Touching(grid, named).of([Shard(0, 70, 10)]) == named[1:]


@given(
    spans=st.lists(st.tuples(st.integers(-20, 130), st.integers(1, 90)), max_size=12),
    first=st.integers(0, 90),
    count=st.integers(1, 20),
)
def test_a_work_item_gets_every_segment_that_reaches_into_it_and_no_other(
    spans: list[tuple[int, int]], first: int, count: int
) -> None:
    grid = Grid(START, Fraction(1), 100)
    segments = [
        Segment(f"file:///{k}", "", 1, START + begin * NANOSECONDS, "", START + (begin + length) * NANOSECONDS)
        for k, (begin, length) in enumerate(sorted(spans))
    ]
    begin, end = grid.time_ns(first - 1) - TAIL_S * NANOSECONDS, grid.time_ns(first + count + 1)
    expected = tuple(s for s in segments if s.start_ns < end and s.end_ns > begin)
    assert Touching(grid, segments).of([Shard(0, first, count)]) == expected
