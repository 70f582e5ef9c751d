"""What a camera saw at a moment: the right slots by any clock, exact pixels, and no frame that is not of then."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli import app
from tasks import moments, storage, store
from tasks.moments import find_frame, find_stretch, read_stretch, save
from tests.tasks.night import CAMERA, NIGHT, Site, decode, frames_of, make_site, pictures, run_night, write_clip

FILLED = [*range(10), *range(20, 35)]
"""Slots that the footage of `make_site` fills; the night begins at 22:00 UTC, five slots a second."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A published night with a gap of two seconds."""
    site = make_site(tmp_path_factory.mktemp("moments"))
    assert site.run().status == "published"
    return site


def at(seconds: float) -> str:
    return f"2026-01-15T22:00:{seconds:09.6f}"


@given(seconds=st.floats(0, 6.999))
def test_the_frame_of_a_moment_is_the_nearest_that_the_night_holds(site: Site, seconds: float) -> None:
    (slot,) = find_frame(site.store, CAMERA.id, at(seconds)).slots
    assert slot in FILLED
    assert abs(slot / 5 - seconds) <= min(abs(other / 5 - seconds) for other in FILLED) + 1e-5


@given(first=st.integers(0, 6500), length=st.integers(1, 9000))
def test_a_stretch_holds_every_frame_from_its_moment_on_and_none_beyond(site: Site, first: int, length: int) -> None:
    wanted = tuple(slot for slot in FILLED if first <= 200 * slot < first + length)
    if wanted:
        found = find_stretch(site.store, CAMERA.id, at(first / 1000), length / 1000)
        assert found.slots == wanted
        assert [t % 10**12 // 10**6 - 400_000 for t in found.times_ns] == [200 * slot for slot in wanted]
    else:
        with pytest.raises(
            store.StoreError, match=r"pit, night of 2026-01-15: no frame in .*; the nearest is of 2026-"
        ):
            find_stretch(site.store, CAMERA.id, at(first / 1000), length / 1000)


@pytest.mark.parametrize("when", ["2026-01-15T22:00:05", "2026-01-15 14:00:05Z", "2026-01-16T03:00:05+13:00"])
def test_a_moment_is_by_the_cameras_clock_or_by_its_own_offset(tmp_path: Path, when: str) -> None:
    site = make_site(tmp_path)
    run_night(site.archive, site.store, site.settings, replace(CAMERA, timezone="Asia/Shanghai"))
    found = find_frame(site.store, CAMERA.id, when)
    assert found.slots == (25,)
    assert found.local_time(0) == "2026-01-15T22:00:05.000+08:00"


def test_a_moment_after_midnight_is_of_the_night_that_began_before_it(tmp_path: Path) -> None:
    site = make_site(tmp_path, ())
    write_clip(tmp_path / f"archive/pit/{NIGHT}/235958.mp4", pictures(30))
    run_night(site.archive, site.store, site.settings, replace(CAMERA, start="23:59:58", end="00:00:01"))
    found = find_frame(site.store, CAMERA.id, "2026-01-16T00:00:00.4")
    assert (found.night, found.slots) == (NIGHT, (12,))


def test_a_moment_may_be_named_by_a_zone_whose_day_is_two_ahead_of_the_nights_name(tmp_path: Path) -> None:
    site = make_site(tmp_path, ())
    write_clip(tmp_path / f"archive/pit/{NIGHT}/235958.mp4", pictures(30))
    camera = replace(CAMERA, timezone="Pacific/Pago_Pago", start="23:59:58", end="00:00:01")
    run_night(site.archive, site.store, site.settings, camera)
    found = find_frame(site.store, CAMERA.id, "2026-01-17T01:00:00.4+14:00")
    assert (found.night, found.slots) == (NIGHT, (12,))


def test_frames_are_read_as_they_are_stored_with_their_times(site: Site) -> None:
    stretch = find_stretch(site.store, CAMERA.id, at(1), 5)
    times, frames = zip(*read_stretch(stretch), strict=True)
    assert times == stretch.times_ns
    np.testing.assert_array_equal(np.stack(frames), frames_of(site.plan())[list(stretch.slots)])


def test_a_night_on_s3_is_shown_as_well(bucket: str, tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))._replace(store=f"{bucket}/{tmp_path.name}")
    site.run()
    ((_, frame),) = read_stretch(find_frame(site.store, CAMERA.id, at(0.4)))
    np.testing.assert_array_equal(frame, frames_of(site.plan())[2])


def test_a_png_holds_the_very_frame(site: Site, tmp_path: Path) -> None:
    assert save(find_frame(site.store, CAMERA.id, at(5)), tmp_path / "five.png") == 1
    written = cv2.imread(str(tmp_path / "five.png"))
    assert written is not None
    np.testing.assert_array_equal(written[:, :, ::-1], frames_of(site.plan())[25])


def test_a_jpeg_is_close_to_the_frame(site: Site, tmp_path: Path) -> None:
    save(find_frame(site.store, CAMERA.id, at(5)), tmp_path / "five.JPG")
    written = cv2.imread(str(tmp_path / "five.JPG"))
    assert written is not None
    assert np.abs(written[:, :, ::-1].astype(float) - frames_of(site.plan())[25]).mean() < 4


@pytest.mark.parametrize("name", ["five.png", "five.mp4"])
def test_a_folder_that_is_not_there_is_told(site: Site, tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{name}: its folder .*/none is not there; make it first"):
        save(find_frame(site.store, CAMERA.id, at(5)), tmp_path / "none" / name)


def test_an_ending_of_neither_picture_nor_video_is_told_with_those_of_both(site: Site, tmp_path: Path) -> None:
    stretch = find_stretch(site.store, CAMERA.id, at(5), 1)
    with pytest.raises(ValueError, match=r"name it .mp4, .mov or .mkv for a stretch, .png or .jpg for one frame"):
        save(stretch, tmp_path / "frame.bmp")
    assert list(tmp_path.iterdir()) == []


def test_a_videos_frames_are_as_far_apart_as_the_slots_gaps_included(site: Site, tmp_path: Path) -> None:
    stretch = find_stretch(site.store, CAMERA.id, at(1), 5)
    assert save(stretch, tmp_path / "five.mp4") == len(stretch.slots)
    times, frames = decode(tmp_path / "five.mp4")
    assert times == [Fraction(slot - 5, 5) for slot in stretch.slots]
    kept = frames_of(site.plan())[list(stretch.slots)]
    assert np.abs(frames.astype(float) - kept).mean() < 6


def test_a_frame_too_far_from_its_moment_is_not_shown_for_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "REACH_S", 0.5)
    with pytest.raises(store.StoreError, match=r"no frame within 0.5 s of .*; the nearest is of 2026-01-15T22:00:04"):
        find_frame(site.store, CAMERA.id, at(3.3))
    assert find_frame(site.store, CAMERA.id, at(3.6)).slots == (20,)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_stretch_of_no_length_is_refused(site: Site, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds: a stretch is longer"):
        find_stretch(site.store, CAMERA.id, at(1), seconds)


@pytest.mark.parametrize(
    ("camera", "when", "told"),
    [
        (CAMERA.id, "2 o'clock", r"time \"2 o'clock\": write YYYY-MM-DDTHH:MM:SS"),
        (
            CAMERA.id,
            "2026-01-15",
            r"pit: no published night holds 2026-01-15; that of 2026-01-15 is from 2026-01-15T22:00:00\.000\+00:00 to "
            r"2026-01-15T22:00:07\.000\+00:00$",
        ),
        (CAMERA.id, "2026-01-15T22:00:07", "no published night holds"),
        (CAMERA.id, "2026-01-15T21:59:59", "no published night holds"),
        (CAMERA.id, "2025-01-15T22:00:01", "no published night holds .*; published: of 2026-01-15"),
        ("silo", "2026-01-15T22:00:01", "silo: no night is published in .*; cameras there: pit"),
    ],
)
def test_what_the_store_does_not_hold_is_told_with_what_it_does(site: Site, camera: str, when: str, told: str) -> None:
    with pytest.raises((ValueError, store.StoreError), match=told):
        find_frame(site.store, camera, when)


def test_a_damaged_night_beside_it_hides_no_intact_one_and_is_told_where_it_may_hold_the_moment(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site.run()
    for name in ("2026-01-14", "2026-01-16", "backup"):
        storage.write(store.manifest_url(site.store, CAMERA.id, name), b"{}")
    assert find_frame(site.store, CAMERA.id, at(1)).night == NIGHT
    with pytest.raises(store.StoreError, match=r"2026-01-16/manifest\.json: not a manifest"):
        find_frame(site.store, CAMERA.id, "2026-01-16T22:00:01")


def test_a_shard_that_is_gone_is_told_and_not_shown_as_black(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site.run()
    stretch = find_frame(site.store, CAMERA.id, at(1))
    storage.remove(store.shard_object(stretch.run_url, 1))
    with pytest.raises(store.StoreError, match=r"c/1/0/0/0: is missing; `lednet verify --repair`"):
        save(stretch, tmp_path / "black.png")
    assert not (tmp_path / "black.png").exists()


def test_a_damaged_shard_leaves_no_video(tmp_path: Path) -> None:
    site = make_site(tmp_path, (20,))
    site.run()
    stretch = find_stretch(site.store, CAMERA.id, at(0), 2)
    storage.write(store.shard_object(stretch.run_url, 1), b"no shard")
    with pytest.raises(store.StoreError, match=r"slots \d+ to \d+: .*verify"):
        save(stretch, tmp_path / "half.mp4")
    assert [p.name for p in tmp_path.glob("*.mp4")] == []
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_the_command_writes_a_picture_or_a_video_and_says_of_when(site: Site, tmp_path: Path) -> None:
    words = ["--store", site.store, "--json"]
    picture, video = tmp_path / "a.png", tmp_path / "a.mp4"
    one = json.loads(CliRunner().invoke(app, ["show", CAMERA.id, at(5), str(picture), *words]).stdout)
    two = CliRunner().invoke(app, ["show", CAMERA.id, at(5), str(video), *words, "--seconds", "1"])
    some = json.loads(two.stdout)
    assert (one["first"], one["last"], one["frames"]) == ("2026-01-15T22:00:05.000+00:00", one["first"], 1)
    assert (some["first"], some["frames"]) == (one["first"], 5)
    assert (some["last"], some["model"]) == ("2026-01-15T22:00:05.800+00:00", "tiny")
    assert picture.stat().st_size > 0
    assert len(decode(video)[0]) == 5
