"""The plan's numbers: they agree with each other and with the night that is then run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lednet import Restorer
from tasks import storage, store
from tasks.decode import VideoError
from tasks.enhance import load_restorer
from tasks.estimate import Estimate, estimate
from tasks.rates import NightRate
from tasks.settings import CODECS
from tasks.types import NightPlan
from tests.tasks.night import Site, make_site

RAW = 48 * 64 * 3
"""Bytes of a restored frame."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, NightPlan]:
    site = make_site(tmp_path_factory.mktemp("night"))
    return site, site.plan()


@pytest.fixture(scope="module")
def measured(planned: tuple[Site, NightPlan]) -> Estimate:
    site, plan = planned
    return estimate(plan, site.settings, 0)


def test_it_counts_what_was_planned(measured: Estimate, planned: tuple[Site, NightPlan]) -> None:
    assert measured.camera == "pit"
    assert (measured.segments, measured.problems, measured.gaps) == (3, 0, 1)
    assert (measured.slots, measured.footage_slots, measured.shards_left) == (35, 25, planned[1].shards)


def test_gigabytes_in_are_those_of_the_files(measured: Estimate, planned: tuple[Site, NightPlan]) -> None:
    sizes = [planned[0].footage(s.url.rsplit("/")[-1]).stat().st_size for s in planned[1].segments]
    assert measured.gb_in == pytest.approx(sum(sizes) / 1e9)


def test_raw_gigabytes_are_frames_times_their_size(measured: Estimate) -> None:
    assert measured.gb_raw == pytest.approx(25 * RAW / 1e9)


def test_raw_gigabytes_are_those_of_the_size_that_is_stored_whatever_a_file_has(
    planned: tuple[Site, NightPlan],
) -> None:
    site, plan = planned
    smaller = estimate(replace(plan, height=24, width=32), site.settings, 0)
    assert smaller.gb_raw == pytest.approx(25 * RAW / 4 / 1e9)


def test_it_restores_under_the_settings_bound_of_memory_and_compiles_nothing(
    planned: tuple[Site, NightPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, plan = planned
    asked: list[tuple[str, int, str, bool]] = []

    def load(*known: Any) -> Restorer:
        asked.append(known)
        return load_restorer(*known)

    monkeypatch.setattr("tasks.estimate.load_restorer", load)
    estimate(plan, replace(site.settings, tile_mb=77, precision="fp32", compile=True), 0)
    assert asked == [(site.settings.checkpoint, 77, "fp32", False)]


def test_hours_are_frames_at_the_measured_rate(measured: Estimate) -> None:
    assert measured.frames_per_s > 0
    assert measured.hours == pytest.approx(25 / measured.frames_per_s / 3600)


@pytest.mark.parametrize("codec", CODECS)
def test_stored_gigabytes_are_near_those_of_the_finished_night(codec: str, measured: Estimate, tmp_path: Path) -> None:
    site = make_site(tmp_path, (10, 8))
    site = site._replace(settings=replace(site.settings, codec=codec))
    planned_gb = next(iter(estimate(site.plan(), site.settings, 0).gb_stored.values()))
    site.run()
    assert planned_gb * 1e9 == pytest.approx(site.manifest()["bytes"], rel=0.3)
    assert 0 < planned_gb < 1.1 * measured.gb_raw


def test_the_codec_of_the_settings_comes_first_and_each_stands_once(planned: tuple[Site, NightPlan]) -> None:
    site, plan = planned
    images = ["jpegxl-lossless, effort 1", "jpegxl, distance 1, effort 1", "jpeg 95"]
    assert list(estimate(plan, site.settings, 0).gb_stored) == ["zstd 1", "zstd 3", "zstd 9", *images]
    chosen = estimate(plan, replace(site.settings, codec="jpeg"), 0)
    assert list(chosen.gb_stored) == ["jpeg 95", "zstd 1", "zstd 3", "zstd 9", *images[:2]]


def test_the_codecs_that_change_frames_tell_by_how_much(measured: Estimate) -> None:
    assert set(measured.psnr_db) == {"jpegxl, distance 1, effort 1", "jpeg 95"}
    assert all(30 < db < 60 for db in measured.psnr_db.values())


def test_a_known_rate_takes_the_place_of_the_measured_one(planned: tuple[Site, NightPlan]) -> None:
    site, plan = planned
    told = estimate(plan, site.settings, 0, known_rate=50.0)
    assert (told.frames_per_s, told.hours) == (50.0, pytest.approx(25 / 50 / 3600))


def test_last_nights_rate_comes_before_a_measurement_and_after_the_users_and_each_is_named(
    planned: tuple[Site, NightPlan], measured: Estimate
) -> None:
    site, plan = planned
    last = NightRate("2026-01-14", plan.height, plan.width, "small", 600, 20.0)
    told = estimate(plan, site.settings, 0, last=last)
    assert (told.frames_per_s, told.rate_from) == (30.0, "reached in the night of 2026-01-14 with small")
    assert estimate(plan, site.settings, 0, known_rate=50.0, last=last).rate_from == "as told by --rate"
    assert measured.rate_from == "measured on this machine, the network alone"


def test_what_is_done_takes_no_more_time(planned: tuple[Site, NightPlan]) -> None:
    site, plan = planned
    done = estimate(plan, site.settings, plan.shards)
    assert (done.shards_left, done.hours) == (0, 0.0)
    some = estimate(plan, site.settings, 3)
    assert some.shards_left == plan.shards - 3
    assert some.hours == pytest.approx((1 - 3 / plan.shards) * 25 / some.frames_per_s / 3600)


def test_every_figure_is_finite_and_not_negative(measured: Estimate) -> None:
    figures = [value for value in vars(measured).values() if isinstance(value, int | float)]
    figures += measured.gb_stored.values()
    assert all(math.isfinite(value) and value >= 0 for value in figures)


def test_it_writes_nothing(planned: tuple[Site, NightPlan], measured: Estimate) -> None:
    assert not planned[0].folder.exists()
    assert store.done_shards(planned[1].run_url) == set()


def test_a_file_that_went_bad_since_the_plan_leaves_the_next_to_be_measured(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10, 8))
    plan = site.plan()
    site.footage("220000.mp4").write_bytes(b"no video any more")
    assert estimate(plan, site.settings, 0).frames_per_s > 0


def test_when_no_frame_can_be_decoded_after_all_the_file_is_named(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10, 8))
    plan = site.plan()
    for name in ("220000.mp4", "220004.mp4"):
        site.footage(name).write_bytes(b"no video any more")
    with pytest.raises(VideoError, match=r"220004\.mp4"):
        estimate(plan, site.settings, 0)


def test_a_segment_that_gives_no_frame_is_told_as_such(
    planned: tuple[Site, NightPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.estimate.read_frames", lambda *_: iter(()))
    with pytest.raises(VideoError, match="no frame of it can be decoded"):
        estimate(planned[1], planned[0].settings, 0)


def test_an_unreadable_archive_is_an_error_of_the_storage(planned: tuple[Site, NightPlan], tmp_path: Path) -> None:
    site, plan = planned
    gone = replace(plan.segments[0], url=storage.normalise(str(tmp_path / "gone.mp4")))
    with pytest.raises(OSError, match=r"gone\.mp4"):
        estimate(replace(plan, segments=(gone,)), site.settings, 0)
