"""Publishing: a night appears whole, with what is missing of it told, or not at all; in folders and in S3."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pandas as pd
import pytest
import xarray
import zarr

from tasks import conditional, listing, storage, store
from tasks.publish import picture_rows, publish, summary
from tasks.types import CameraNight, NightPlan, Problem
from tests.tasks.night import (
    CAMERA,
    NIGHT,
    START_NS,
    Site,
    files,
    frames_of,
    make_site,
    pictures,
    write_clip,
)

SECOND = 1_000_000_000
VALID = [*range(10), *range(20, 35)]
SHARDS = [0, 1, 2, 5, 6, 7, 8]


class Published(NamedTuple):
    site: Site
    plan: NightPlan
    outcome: CameraNight

    @property
    def run(self) -> Path:
        return Path(self.plan.run_url.removeprefix("file://"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Only to be looked at."""
    site = make_site(tmp_path_factory.mktemp("night"))
    planned = site.enhance()
    return Published(site, planned, publish(planned, site.store, site.settings))


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Site, NightPlan]:
    """A short night that is stored and not published."""
    site = make_site(tmp_path, (10, 8))
    return site, site.enhance()


def test_the_outcome_is_the_night_in_a_line(published: Published) -> None:
    url = f"{published.site.store}/enhanced/pit/{NIGHT}/manifest.json"
    assert published.outcome == CameraNight("pit", "published", "", 25, 25 / 35, 0, url)


def test_the_manifest_names_the_run_and_its_frames(published: Published) -> None:
    manifest = published.site.manifest()
    assert manifest["run"] == published.plan.run
    assert manifest["frames_url"] == f"{published.plan.run_url}/frames.zarr"
    assert manifest["preview_url"] == f"{published.plan.run_url}/preview.mp4"
    assert manifest["model"] == published.plan.model
    assert manifest["camera"] == asdict(CAMERA) | {"rate": "5"}


def test_coverage_and_gaps_are_right_to_the_slot(published: Published) -> None:
    manifest = published.site.manifest()
    assert (manifest["slots"], manifest["frames"], manifest["coverage"]) == (35, 25, 25 / 35)
    assert manifest["gaps"] == [[START_NS + 2 * SECOND, START_NS + 4 * SECOND]]
    assert manifest["shards"] == SHARDS
    assert manifest["bytes"] == sum((published.run / f"frames.zarr/frames/c/{k}/0/0/0").stat().st_size for k in SHARDS)


def test_segments_tell_how_many_frames_came_of_each(published: Published) -> None:
    segments = published.site.manifest()["segments"]
    assert [(s["url"].rsplit("/")[-1], s["frames"]) for s in segments] == [
        ("220000.mp4", 10), ("220004.mp4", 10), ("220006.mp4", 5),
    ]  # fmt: skip


def test_valid_flags_are_right_to_the_slot(published: Published) -> None:
    valid = xarray.open_zarr(published.run / "frames.zarr", chunks=None)["valid"].to_numpy()
    assert np.flatnonzero(valid).tolist() == VALID


def test_the_quality_table_has_one_finite_row_a_frame(published: Published) -> None:
    table = pd.read_parquet(published.run / "quality.parquet")
    assert table["slot"].tolist() == VALID
    assert table["time_ns"].tolist() == [published.plan.grid.time_ns(s) for s in VALID]
    figures = [f"{m}_{when}" for when in ("before", "after") for m in store.QUALITY_METRICS]
    assert list(table) == ["slot", "time_ns", *figures, "change_before"]
    assert np.isfinite(table[figures].to_numpy()).all()


def preview(data: bytes) -> tuple[str, str, list[av.VideoFrame], float]:
    """Codec, pixel format, frames, frames a second."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return stream.codec_context.name, str(stream.pix_fmt), frames, float(stream.average_rate or 0)


def test_the_preview_is_h264_with_a_frame_a_kept_picture(published: Published) -> None:
    codec, pixels, frames, fps = preview((published.run / "preview.mp4").read_bytes())
    assert (codec, pixels, fps) == ("h264", "yuv420p", published.site.settings.preview_fps)
    assert len(frames) == sum(s % 3 == 0 for s in VALID)


def test_the_preview_shows_before_beside_after(published: Published) -> None:
    frames = preview((published.run / "preview.mp4").read_bytes())[2]
    tables = list(picture_rows(published.plan.run_url, SHARDS))
    assert {(f.height, f.width) for f in frames} == {(36, 96)}
    kept = pd.concat(tables)
    assert len(kept) == len(frames)
    means = [f.to_ndarray(format="rgb24")[:, half].mean() / 255 for f in frames for half in (slice(48), slice(48, 96))]
    expected = kept[["brightness_before", "brightness_after"]].to_numpy().ravel()
    assert np.abs(np.array(means) - expected).max() < 0.03


def test_the_previews_index_stands_at_its_front(published: Published) -> None:
    data = (published.run / "preview.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_manifest_is_written_last(stored: tuple[Site, NightPlan], monkeypatch: pytest.MonkeyPatch) -> None:
    site, planned = stored
    written: list[str] = []
    write, replace = storage.write, conditional.replace
    monkeypatch.setattr(storage, "write", lambda url, data: (written.append(url), write(url, data)))
    monkeypatch.setattr(conditional, "replace", lambda url, *rest: (written.append(url), replace(url, *rest))[1])
    publish(planned, site.store, site.settings)
    assert written[-1] == store.manifest_url(site.store, "pit", NIGHT)
    assert {u.rsplit("/")[-1] for u in written[:-1]} == {"0", "quality.parquet", "preview.mp4"}


@pytest.mark.parametrize(("frames", "status"), [(1000, "failed"), (1, "published")], ids=["more", "fewer"])
def test_a_run_that_was_published_while_this_process_was_suspended_is_judged_as_any_other(
    stored: tuple[Site, NightPlan], frames: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, planned = stored
    publish(planned, site.store, site.settings)
    url = store.manifest_url(site.store, CAMERA.id, NIGHT)
    theirs = store.sealed(site.manifest() | {"run": "theirs", "frames": frames})
    storage.remove(url)
    replace, waking = conditional.replace, [theirs]

    def suspended(url: str, data: bytes, mark: str) -> str:
        if waking:
            storage.write(url, waking.pop())
        return replace(url, data, mark)

    monkeypatch.setattr(conditional, "replace", suspended)
    assert publish(planned, site.store, site.settings).status == status
    assert site.manifest()["run"] == ("theirs" if status == "failed" else planned.run)


def test_publishing_again_changes_no_byte(stored: tuple[Site, NightPlan]) -> None:
    site, planned = stored
    outcomes = [publish(planned, site.store, site.settings)]
    before = files(site.folder)
    outcomes.append(publish(planned, site.store, site.settings))
    assert files(site.folder) == before
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("lost", [[0], [1, 5]])
def test_with_missing_receipts_it_is_partial_and_nothing_is_published(
    stored: tuple[Site, NightPlan], lost: list[int]
) -> None:
    site, planned = stored
    for k in lost:
        Path(store.receipt_url(planned.run_url, k, "json").removeprefix("file://")).unlink()
    before = files(site.folder)
    outcome = publish(planned, site.store, site.settings)
    assert outcome.status == "partial"
    assert outcome.reason == f"{len(lost)} of 4 shards are not stored; run the night again to finish it"
    assert outcome.manifest_url == ""
    assert files(site.folder) == before


def test_a_damaged_receipt_is_told_and_nothing_is_published(stored: tuple[Site, NightPlan]) -> None:
    site, planned = stored
    storage.write(store.receipt_url(planned.run_url, 1, "json"), b"{")
    with pytest.raises(store.StoreError, match="remove it and run the night again"):
        publish(planned, site.store, site.settings)
    assert store.read_manifest(site.store, "pit", NIGHT) is None


def test_a_night_with_footage_of_which_no_frame_is_left_is_published_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.decode_process.fill_slots", lambda *_: iter(()))
    site = make_site(tmp_path, (10,))
    outcome = site.run()
    assert (outcome.status, outcome.frames, outcome.coverage) == ("published", 0, 0.0)
    assert site.manifest()["preview_url"] is None
    assert store.read_quality(site.plan().run_url).empty


def test_shards_done_before_the_archive_was_mounted_elsewhere_count_for_its_files_there(
    stored: tuple[Site, NightPlan],
) -> None:
    site, planned = stored
    receipt = store.read_receipt(planned.run_url, 0)
    broken = replace(receipt, problems=(Problem(receipt.sources[0][0], "damaged"),))
    store.write_receipt(planned.run_url, broken, store.read_rows(planned.run_url, 0, pictures=True))
    told = []
    for place in (site, site._replace(archive=f"{site.archive}-2")):
        Path(site.archive.removeprefix("file://")).rename(place.archive.removeprefix("file://"))
        assert publish(place.plan(), site.store, site.settings).status == "published"
        told.append(json.dumps([place.manifest()[key] for key in ("segments", "problems")]))
    assert told[1] == told[0].replace(site.archive, f"{site.archive}-2")


def test_a_new_run_takes_the_place_of_the_published_one(stored: tuple[Site, NightPlan]) -> None:
    site, planned = stored
    publish(planned, site.store, site.settings)
    write_clip(site.footage("220006.mp4"), pictures(5))
    assert site.run().frames == 12
    assert site.manifest()["run"] != planned.run
    assert storage.exists(f"{planned.run_url}/quality.parquet")


def test_a_run_of_less_footage_does_not_take_the_place_of_a_fuller_one(stored: tuple[Site, NightPlan]) -> None:
    site, planned = stored
    publish(planned, site.store, site.settings)
    before = site.manifest()
    site.footage("220000.mp4").unlink()
    outcome = site.run()
    assert (outcome.status, outcome.frames) == ("failed", before["frames"])
    assert f"run {planned.run} has {before['frames']} frames of 2 files, this one" in outcome.reason
    assert site.manifest() == before
    storage.remove(outcome.manifest_url)  # as the reason says
    assert site.run().status == "published"
    assert len(site.manifest()["segments"]) == 1


def truncate(data: bytes) -> bytes:
    return data[: len(data) * 3 // 10]


def scribble(data: bytes) -> bytes:
    middle, length = len(data) // 2, len(data) // 10
    noise = np.random.default_rng(0).integers(0, 256, length, np.uint8).tobytes()
    return data[:middle] + noise + data[middle + length :]


@pytest.mark.parametrize(
    ("suffix", "harm"), [("ts", scribble), ("mkv", scribble), ("mkv", truncate), ("mp4", scribble)]
)
def test_a_damaged_segment_is_told_and_its_readable_part_used(
    tmp_path: Path, suffix: str, harm: Callable[[bytes], bytes]
) -> None:
    site = make_site(tmp_path, (4,))
    damaged = write_clip(site.footage(f"220002.{suffix}"), pictures(40))
    damaged.write_bytes(harm(damaged.read_bytes()))
    outcome = site.run()
    problems = site.manifest()["problems"]
    assert [p["url"].rsplit("/")[-1] for p in problems] == [f"220002.{suffix}"]
    assert 3 <= problems[0]["frames"] <= 20
    assert problems[0]["reason"]
    assert outcome.quarantined == 1
    assert outcome.frames == 2 + problems[0]["frames"]


def test_a_file_that_is_no_video_is_told(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site.footage("220004.mp4").write_bytes(b"this is no video" * 100)
    site.footage("220005.mp4").write_bytes(b"")
    assert site.run().status == "published"
    problems = site.manifest()["problems"]
    assert [(p["url"].rsplit("/")[-1], p["frames"]) for p in problems] == [("220004.mp4", 0), ("220005.mp4", 0)]


def test_a_night_killed_amid_a_damaged_segment_tells_the_same_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(tmp_path, (4,))
    damaged = write_clip(site.footage("220002.ts"), pictures(40))
    damaged.write_bytes(scribble(damaged.read_bytes()))
    site.run()
    whole = site.manifest()
    frames = frames_of(site.plan())
    for k in (2, 4):
        again = site._replace(store=f"{site.store}-{k}")
        planned = again.plan()
        store.create_run(planned, again.settings, "0")
        write, left = store.write_receipt, iter(range(k))

        def fail_late(*args: Any, write: Any = write, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(*args)

        with monkeypatch.context() as patch:
            patch.setattr(store, "write_receipt", fail_late)
            with pytest.raises(KeyboardInterrupt):
                again.run()
        again.run()
        told = {key: again.manifest()[key] for key in ("problems", "frames", "coverage", "segments")}
        assert told == {key: whole[key] for key in told}
        assert np.array_equal(frames_of(planned), frames)


def test_a_night_in_s3_equals_the_night_in_folders(bucket: str, published: Published) -> None:
    local = published.site
    for name, data in files(Path(local.archive.removeprefix("file://"))).items():
        storage.write(f"{bucket}/archive/{name}", data)
    site = Site(f"{bucket}/archive", f"{bucket}/store", local.settings)
    outcome = site.run()
    url = f"{bucket}/store/enhanced/pit/{NIGHT}/manifest.json"
    assert outcome == replace(published.outcome, manifest_url=url)
    group = zarr.open_group(zarr.storage.FsspecStore.from_url(site.manifest()["frames_url"]), mode="r")
    assert np.array_equal(np.asarray(group["frames"]), frames_of(published.plan))
    assert np.flatnonzero(np.asarray(group["valid"])).tolist() == VALID
    run_url = site.plan().run_url
    for name in ("quality.parquet", "preview.mp4"):
        assert storage.read(f"{run_url}/{name}") == (published.run / name).read_bytes()


def test_a_night_in_s3_that_is_done_is_not_done_again(bucket: str, tmp_path: Path) -> None:
    local = make_site(tmp_path, (10,))
    site = local._replace(store=f"{bucket}/again")
    site.run()
    etags = {e.url: e.etag for e in listing.find(site.store)}
    planned = site.enhance()
    assert {e.url: e.etag for e in listing.find(site.store)} == etags
    assert store.done_shards(planned.run_url) == {0, 1}


def test_a_summary_keeps_the_manifests_figures(published: Published) -> None:
    manifest = published.site.manifest() | {"problems": [{}, {}], "frames": 7, "coverage": 0.2}
    told = summary(manifest, "already published", published.site.store)
    assert (told.status, told.frames, told.coverage, told.quarantined) == ("already published", 7, 0.2, 2)


def test_the_manifest_is_json_that_others_can_read(published: Published) -> None:
    text = storage.read(published.outcome.manifest_url).decode()
    assert json.loads(text)["format"] == store.MANIFEST_FORMAT
    assert text.endswith("}\n")
