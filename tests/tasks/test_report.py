"""The report's files from a store: complete, loadable, and small enough to mail. The page itself has its own tests."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import zarr

from tasks import listing, report, storage, store
from tasks.evaluate import against_truth
from tasks.findings import Finding
from tasks.picture import jpeg
from tasks.publish import summary
from tasks.report import PICTURE_BYTES, PICTURE_WIDTH, Truth, collect, within, write_page, write_report
from tasks.types import NANOSECONDS, CameraNight, Receipt
from tasks.video import read_jpeg
from tests.tasks.night import CAMERA, NIGHT, START_NS, Frames, Site, frames_of, make_site

LIMIT = 5_000_000
"""Bytes of a page that people still mail."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A published night. Only to be copied."""
    site = make_site(tmp_path_factory.mktemp("night"), (20, 8))
    site.run()
    return site


@pytest.fixture
def site(finished: Site, tmp_path: Path) -> Site:
    shutil.copytree(finished.folder, tmp_path / "store")
    moved = finished._replace(store=storage.normalise(str(tmp_path / "store")))
    text = json.dumps(finished.manifest()).replace(finished.store, moved.store)
    storage.write(store.manifest_url(moved.store, "pit", NIGHT), store.sealed(json.loads(text)))
    return moved


def published(site: Site) -> CameraNight:
    return summary(site.manifest(), "published", site.store)


def embedded(page: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


def test_it_writes_page_and_tables_and_names_the_page(site: Site) -> None:
    url = write_report(NIGHT, site.store, [published(site)], {})
    assert url == f"{site.store}/reports/{NIGHT}/index.html"
    assert listing.names(f"{site.store}/reports/{NIGHT}") == ["cameras.csv", "index.html", "quality.parquet"]
    assert storage.read(url).startswith(b"<!DOCTYPE html>")


def test_the_camera_table_loads(site: Site) -> None:
    lost = CameraNight("gate", "failed", "worker lost")
    write_report(NIGHT, site.store, [published(site), lost], {})
    table = pd.read_csv(site.folder / "reports" / NIGHT / "cameras.csv").set_index("camera")
    assert set(table.index) == {"pit", "gate"}
    assert table.loc["pit", "frames"] == 14
    assert table.loc["pit", "coverage"] == pytest.approx(14 / 35)
    rows = store.read_quality(site.plan().run_url)
    assert table.loc["pit", "brightness_after"] == pytest.approx(rows["brightness_after"].mean())


def test_the_quality_table_loads_with_every_row_and_its_camera(site: Site) -> None:
    write_report(NIGHT, site.store, [published(site)], {})
    table = pd.read_parquet(site.folder / "reports" / NIGHT / "quality.parquet")
    assert table["slot"].tolist() == [*range(10), *range(20, 24)]
    assert set(table["camera"]) == {"pit"}


def test_the_page_shows_the_sharpest_the_median_and_the_least_sharp_moment(site: Site) -> None:
    page = storage.read(write_report(NIGHT, site.store, [published(site)], {})).decode()
    run_url = site.plan().run_url
    kept = pd.concat(store.read_rows(run_url, k, pictures=True) for k in store.done_shards(run_url))
    kept = kept[kept["before_jpeg"].notna()].sort_values(["sharpness_after", "slot"])
    chosen = kept.iloc[[len(kept) - 1, len(kept) // 2, 0]]
    assert set(embedded(page)) == {*chosen["before_jpeg"], *chosen["after_jpeg"]}
    labels = ("Sharpest moment", "Typical moment (median sharpness)", "Least sharp moment")
    for label, slot in zip(labels, chosen["slot"], strict=True):
        assert f"{label}, 22:00:{slot // 5:02}" in page


def test_a_truth_adds_its_picture_and_figures(site: Site, tmp_path: Path) -> None:
    slots = [*range(10), *range(20, 24)]
    group = zarr.create_group(str(tmp_path / "truth.zarr"))
    group.create_array("frames", data=frames_of(site.plan())[slots])
    group.create_array("time_ns", data=np.array([START_NS + s * NANOSECONDS // 5 for s in slots], np.int64))
    url = (tmp_path / "truth.zarr").as_uri()
    figures = against_truth(site.manifest(), CAMERA, url, 10**8)
    page = storage.read(write_report(NIGHT, site.store, [published(site)], {"pit": Truth(url, figures)})).decode()
    assert len(embedded(page)) == 9
    assert "PSNR" in page


def test_a_night_without_a_frame_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.decode_process.fill_slots", lambda *_: iter(()))
    site = make_site(tmp_path, (4,))
    outcome = site.run()
    page = storage.read(write_report(NIGHT, site.store, [outcome], {})).decode()
    assert "No pictures were kept" in page
    assert listing.names(f"{site.store}/reports/{NIGHT}") == ["cameras.csv", "index.html"]


def test_a_report_without_any_night_is_written(tmp_path: Path) -> None:
    root = storage.normalise(str(tmp_path))
    url = write_report(NIGHT, root, [CameraNight("pit", "failed", "worker lost three times")], {})
    assert b"worker lost three times" in storage.read(url)


def test_writing_it_again_gives_the_same_page(site: Site) -> None:
    pages = [storage.read(write_report(NIGHT, site.store, [published(site)], {})) for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "harm", ["manifest.json", "RUN/quality.parquet", "RUN/receipts/000001.parquet", "missing manifest"]
)
def test_a_camera_that_cannot_be_read_does_not_cost_the_others_their_report(
    site: Site, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = site.folder / "enhanced"
    shutil.copytree(folder / "pit", folder / "gate")
    run_url = site.plan().run_url.replace("/pit/", "/gate/")
    text = (
        json.dumps(site.manifest()).replace("/enhanced/pit/", "/enhanced/gate/").replace('"id": "pit"', '"id": "gate"')
    )
    storage.write(store.manifest_url(site.store, "gate", NIGHT), store.sealed(json.loads(text)))
    both = [
        published(site),
        CameraNight("gate", "published", manifest_url=store.manifest_url(site.store, "gate", NIGHT)),
    ]
    if harm == "missing manifest":
        (folder / "gate" / NIGHT / "manifest.json").unlink()
    else:
        storage.write(f"{folder.as_uri()}/gate/{NIGHT}/{harm}".replace("RUN", run_url.rsplit("/")[-1]), b"damaged")
    page = storage.read(write_report(NIGHT, site.store, both, {})).decode()
    table = pd.read_csv(site.folder / "reports" / NIGHT / "cameras.csv").set_index("camera")
    assert table["status"].to_dict() == {"pit": "published", "gate": "damaged"}
    assert "run the night again" in page
    assert len(embedded(page)) == 6
    assert f"gate, {NIGHT}: not in the report: file://" in caplog.text
    assert "Traceback" not in caplog.text


def scene(seed: int, width: int = 640, noise: float = 12) -> Frames:
    """A picture as heavy as a noisy night's."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (9, 16, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, width * 9 // 16), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return (smooth + rng.normal(0, noise, smooth.shape)).clip(0, 255).astype(np.uint8)


def many_cameras(
    root: Path, cameras: int, width: int = 640, pictured: Sequence[int] = (0, 300, 598)
) -> tuple[str, list[CameraNight]]:
    """A store with published nights as the report reads them: manifest, quality rows, a shard's pictures."""
    url = storage.normalise(str(root))
    figures = {f"{m}_{when}": 0.25 for m in store.QUALITY_METRICS for when in ("before", "after")}
    slots = 600
    jpegs = [jpeg(scene(k, width), width) for k in range(4)]
    table = pd.DataFrame({"slot": range(slots), "time_ns": [START_NS + s * NANOSECONDS for s in range(slots)]})
    table = table.assign(**figures, before_jpeg=None, after_jpeg=None)
    table["sharpness_after"] = np.linspace(0, 1, slots)
    for k, slot in enumerate(pictured):
        table.at[slot, "before_jpeg"], table.at[slot, "after_jpeg"] = jpegs[k], jpegs[k + 1]
    outcomes = []
    for n in range(cameras):
        camera = f"camera-{n:03}"
        run_url = f"{url}/enhanced/{camera}/{NIGHT}/run"
        store.write_receipt(run_url, Receipt(0, "", 0, ((0, slots),)), table)
        storage.write(store.quality_url(run_url), store.parquet_bytes(store.read_rows(run_url, 0)))
        group = zarr.open_group(storage.zarr_store(store.frames_url(run_url)), mode="w", zarr_format=3)
        group.create_array(
            "frames", shape=(slots, 2, 2, 3), chunks=(1, 2, 2, 3), shards=(slots, 2, 2, 3), dtype="uint8"
        )
        manifest = {
            "format": 1, "night": NIGHT, "run": "run", "model": {"name": "small", "sha256": "ab" * 32},
            "camera": {"id": camera, "name": camera, "scene": "outdoor", "timezone": "UTC", "rate": "1"},
            "slots": slots, "frames": slots, "coverage": 1.0, "shards": [0], "bytes": 1, "height": 1080, "width": 1920,
            "frames_url": store.frames_url(run_url), "preview_url": None, "start_ns": START_NS,
            "gaps": [], "segments": [], "problems": [],
        }  # fmt: skip
        storage.write(store.manifest_url(url, camera, NIGHT), json.dumps(manifest).encode())
        outcomes.append(summary(manifest, "published", url))
    return url, outcomes


def test_the_page_of_fifty_cameras_stays_small_and_shows_them_all(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 50, width=320)
    page = storage.read(write_report(NIGHT, url, outcomes, {}))
    pictures = embedded(page.decode())
    assert len(page) < LIMIT
    assert len(pictures) == 300
    assert sum(map(len, pictures)) <= PICTURE_BYTES
    assert min(read_jpeg(p).shape[1] for p in pictures) >= 160


def test_pictures_of_findings_share_their_camera_s_bytes(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 12)
    found = [
        Finding(o.camera, "infrared", "note", {"value": 0.001, "threshold": 0.01}, jpeg(scene(5), 640))
        for o in outcomes
        for _ in range(2)
    ]
    page = storage.read(write_report(NIGHT, url, outcomes, {}, findings=found)).decode()
    pictures = embedded(page)
    assert len(pictures) == 96
    assert sum(map(len, pictures)) <= PICTURE_BYTES
    assert len(page.encode()) < LIMIT


def test_the_typical_moment_is_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.report.PICTURE_BYTES", PICTURE_BYTES // 10)  # as ten times the cameras would have
    url, outcomes = many_cameras(tmp_path, 3)
    widths = [read_jpeg(p).shape[1] for p in embedded(storage.read(write_report(NIGHT, url, outcomes, {})).decode())]
    assert widths[0] > widths[2]


def test_the_page_is_written_in_the_language_that_is_asked_for(site: Site) -> None:
    page = storage.read(write_report(NIGHT, site.store, [published(site)], {}, language="zh")).decode()
    assert "逐台摄像机" in page


def test_pictures_of_few_cameras_are_left_as_they_are(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 2)
    pictures = embedded(storage.read(write_report(NIGHT, url, outcomes, {})).decode())
    assert {read_jpeg(p).shape for p in pictures} == {(360, 640, 3)}
    assert set(pictures) == {jpeg(scene(k), 640) for k in range(4)}


def test_pictures_wider_than_the_page_are_shrunk(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 1, width=960)
    pictures = embedded(storage.read(write_report(NIGHT, url, outcomes, {})).decode())
    assert {read_jpeg(p).shape[1] for p in pictures} == {PICTURE_WIDTH}


@pytest.mark.parametrize("most", [4_000, 9_000, 20_000, 60_000, 200_000])
def test_a_moment_stays_within_its_share_and_its_sides_in_one_size(most: int) -> None:
    fitted = within([jpeg(scene(k, noise=5 * k), 640) for k in range(3)], most)
    assert len(fitted) == 3
    assert sum(map(len, fitted)) <= most
    assert len({read_jpeg(p).shape for p in fitted}) == 1


def test_a_larger_share_gives_larger_pictures() -> None:
    moment = [jpeg(scene(k), 640) for k in range(2)]
    widths = [read_jpeg(within(moment, most)[0]).shape[1] for most in (3_000, 10_000, 30_000, 90_000)]
    assert widths == sorted(widths)
    assert len(set(widths)) == 4


def test_a_moment_that_fits_no_share_is_left_out() -> None:
    assert within([jpeg(scene(0), 640)], 100) == []


def test_sizes_are_tried_from_large_to_small() -> None:
    def falling(values: Sequence[int]) -> bool:
        return list(values) == sorted(values, reverse=True)

    assert falling([width for width, _ in report.SMALLER])
    assert falling([quality for _, quality in report.SMALLER])
    assert report.SMALLER[0][0] == PICTURE_WIDTH


def rewritten(url: str, **changes: Any) -> CameraNight:
    """The first camera of `many_cameras` with another manifest."""
    manifest = store.read_manifest(url, "camera-000", NIGHT)
    assert manifest is not None
    storage.write(store.manifest_url(url, "camera-000", NIGHT), json.dumps(manifest | changes).encode())
    return summary(manifest | changes, "published", url)


def test_only_the_shards_that_hold_pictures_are_read(tmp_path: Path) -> None:
    url, _ = many_cameras(tmp_path, 1, width=64)
    without_rows = rewritten(url, shards=[0, 1, 2, 3])
    assert len(embedded(storage.read(write_report(NIGHT, url, [without_rows], {})).decode())) == 6


@pytest.mark.parametrize(
    ("pictured", "moments"),
    [((300,), ["Typical moment"]), ((0, 300), ["Typical moment", "Least sharp moment"])],
)
def test_a_moment_that_is_the_only_one_is_shown_once(
    tmp_path: Path, pictured: tuple[int, ...], moments: list[str]
) -> None:
    url, outcomes = many_cameras(tmp_path, 1, width=64, pictured=pictured)
    page = storage.read(write_report(NIGHT, url, outcomes, {})).decode()
    assert re.findall("<bdi>([A-Z][a-z ]+ moment)", page) == moments


def test_a_damaged_picture_costs_its_camera_alone(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 2, width=64)
    run_url = f"{url}/enhanced/camera-000/{NIGHT}/run"
    rows = store.read_rows(run_url, 0, pictures=True)
    rows.at[300, "after_jpeg"] = b"no picture"
    storage.write(store.receipt_url(run_url, 0, "parquet"), store.parquet_bytes(rows))
    page = storage.read(write_report(NIGHT, url, outcomes, {})).decode()
    assert f"lednet verify {NIGHT}" in page
    assert len(embedded(page)) == 6


def test_quality_rows_of_an_earlier_report_do_not_outlive_their_nights(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 1, width=64)
    write_report(NIGHT, url, outcomes, {})
    storage.remove(store.manifest_url(url, "camera-000", NIGHT))
    write_report(NIGHT, url, [CameraNight("camera-000", "failed", "worker lost")], {})
    assert listing.names(f"{url}/reports/{NIGHT}") == ["cameras.csv", "index.html"]


def test_quality_rows_of_two_versions_stand_in_one_table(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 2, width=64)
    older = store.quality_url(f"{url}/enhanced/camera-000/{NIGHT}/run")
    storage.write(older, store.parquet_bytes(pd.read_parquet(older).drop(columns="contrast_before").head(5)))
    write_report(NIGHT, url, outcomes, {})
    table = pd.read_parquet(tmp_path / "reports" / NIGHT / "quality.parquet")
    assert table.groupby("camera").size().to_dict() == {"camera-000": 5, "camera-001": 600}
    assert table["contrast_before"].isna().sum() == 5
    assert table["slot"].dtype == "int64"


@pytest.mark.parametrize("removed", [True, False])
def test_rows_that_are_lost_before_the_page_is_written_do_not_cost_the_others_theirs(
    removed: bool, tmp_path: Path
) -> None:
    url, outcomes = many_cameras(tmp_path, 2, width=64)
    page = collect(NIGHT, url, outcomes, {})
    rows = store.quality_url(f"{url}/enhanced/camera-000/{NIGHT}/run")
    storage.remove(rows) if removed else storage.write(rows, b"damaged")
    write_page(page)
    table = pd.read_parquet(tmp_path / "reports" / NIGHT / "quality.parquet")
    assert table.groupby("camera").size().to_dict() == {"camera-001": 600}


def test_the_moment_in_an_hour_that_comes_twice_is_told_apart(tmp_path: Path) -> None:
    url, _ = many_cameras(tmp_path, 1, width=64)
    run_url = f"{url}/enhanced/camera-000/{NIGHT}/run"
    rows = store.read_rows(run_url, 0, pictures=True)
    twice_ns = 1_792_888_200 * NANOSECONDS  # 2026-10-25 02:30 in Berlin, before the clock goes back
    rows["time_ns"] += twice_ns - rows["time_ns"].iloc[300]
    storage.write(store.receipt_url(run_url, 0, "parquet"), store.parquet_bytes(rows))
    camera = {"id": "camera-000", "name": "Pit", "scene": "outdoor", "timezone": "Europe/Berlin", "rate": "1"}
    page = storage.read(write_report(NIGHT, url, [rewritten(url, camera=camera)], {})).decode()
    assert "Typical moment (median sharpness), 02:30:00 CEST" in page


def test_why_a_newer_run_did_not_take_the_nights_place_is_told(tmp_path: Path) -> None:
    url, outcomes = many_cameras(tmp_path, 1, width=64)
    refused = replace(outcomes[0], status="failed", reason="the published run has more frames")
    unplanned = CameraNight("camera-000", "failed", "planning: access was denied")
    for outcome in (refused, unplanned):
        page = storage.read(write_report(NIGHT, url, [outcome], {})).decode()
        assert "a newer run of this night failed; the one before it is shown" in page
        assert outcome.reason in page
        assert len(embedded(page)) == 6
        assert pd.read_csv(tmp_path / "reports" / NIGHT / "cameras.csv")["state"].tolist() == ["attention"]
