"""Footage is listed as clips with their chapters in order, split by camera and clip, and decoded in that order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from footage import number_of, numbered, write_clip
from hypothesis import given
from hypothesis import strategies as st

from lednet.clips import ClipError, clip_and_chapter
from tasks import footage, listing, storage
from tasks.decode import VideoError
from tasks.footage import FootageClip, group_clips, list_footage, read_clip, split_footage
from tasks.listing import Entry
from tests.tasks.learning import LEARN
from tests.tasks.night import without_pauses


def entry(path: str, etag: str = "1") -> Entry:
    return Entry(f"s3://gopro/{path}", 9, etag)


def grouped(*paths: str) -> list[tuple[str, str, list[str]]]:
    clips = group_clips("s3://gopro", [entry(p) for p in paths])
    return [(c.name, c.camera, [s.url.rpartition("/")[2] for s in c.sources]) for c in clips]


def put(path: Path, fps: int, first: int, frames: int = 6) -> None:
    write_clip(path, [k / fps for k in range(frames)], fps=fps, first=first)


def shown(clip: FootageClip, **changes: int) -> list[int]:
    return [number_of(frame.permute(1, 2, 0).numpy()) for frame in read_clip(clip, replace(LEARN, **changes)).frames]


def test_chapters_of_a_clip_stand_together_in_order() -> None:
    assert grouped("pit/GX010119.MP4", "pit/GX010120.MP4", "pit/GX020119.MP4", "pit/GX020119.LRV") == [
        ("pit-GX0119", "pit", ["GX010119.MP4", "GX020119.MP4"]),
        ("pit-GX0120", "pit", ["GX010120.MP4"]),
    ]


def test_older_names_put_the_first_chapter_first() -> None:
    assert grouped("a/GP020119.MP4", "a/GP010119.MP4", "a/GOPR0119.MP4") == [
        ("a-GOPR0119", "a", ["GOPR0119.MP4", "GP010119.MP4", "GP020119.MP4"])
    ]


@given(st.integers(0, 9999), st.permutations(range(1, 12)))
def test_chapters_are_ordered_by_their_number_however_they_are_listed(clip: int, order: list[int]) -> None:
    [(_, _, names)] = grouped(*(f"GX{chapter:02}{clip:04}.MP4" for chapter in order))
    assert names == [f"GX{chapter:02}{clip:04}.MP4" for chapter in range(1, 12)]


def test_a_clip_number_that_comes_again_on_another_day_or_camera_is_another_clip() -> None:
    names = [name for name, _, _ in grouped("pit/0115/GX010119.MP4", "pit/0116/GX010119.MP4", "silo/GX010119.MP4")]
    assert names == ["pit-0115-GX0119", "pit-0116-GX0119", "silo-GX0119"]


def test_folders_of_any_script_are_cameras_of_their_own() -> None:
    names = grouped("北坡/GX010119.MP4", "南坡/GX010119.MP4", "Grube Süd/GX010119.MP4")
    assert {(name, camera) for name, camera, _ in names} == {
        ("北坡-GX0119", "北坡"), ("南坡-GX0119", "南坡"), ("Grube_Süd-GX0119", "Grube_Süd"),
    }  # fmt: skip


def test_a_name_is_the_same_however_its_accents_are_stored() -> None:
    assert grouped("S\u00fcd/GX010119.MP4")[0][:2] == grouped("Su\u0308d/GX010119.MP4")[0][:2]


@given(st.text(st.characters(codec="ascii", exclude_characters="/"), min_size=1))
def test_plain_names_stay_as_cards_know_them(folder: str) -> None:
    assert footage._safe(folder) == re.sub(r"[^A-Za-z0-9_.]+", "_", folder)


def test_footage_without_folders_belongs_to_one_camera() -> None:
    assert grouped("GX010119.MP4", "walk 240fps.mov") == [
        ("gopro-GX0119", "gopro", ["GX010119.MP4"]), ("gopro-walk_240fps", "gopro", ["walk 240fps.mov"])
    ]  # fmt: skip


def test_the_gopro_data_set_keeps_its_own_split_and_its_blurred_frames_are_no_labels() -> None:
    folders = ("train/GOPR0372_07_00", "test/GOPR0384_11_00")
    kinds = ("sharp", "blur", "blur_gamma")
    files = [entry(f"{folder}/{kind}/{k:06}.png") for folder in folders for kind in kinds for k in (48, 47)]
    clips = group_clips("s3://gopro", files)
    assert [(c.name, c.camera, c.data_set_split) for c in clips] == [
        ("gopro-GOPR0372_07_00", "gopro", "train"), ("gopro-GOPR0384_11_00", "gopro", "test")
    ]  # fmt: skip
    assert [s.url.rpartition("/")[2] for s in clips[0].sources] == ["000047.png", "000048.png"]
    training, held_out = split_footage(clips, 0.2)
    assert [c.name for c in training] == ["gopro-GOPR0372_07_00"]
    assert [c.name for c in held_out] == ["gopro-GOPR0384_11_00"]


@pytest.mark.parametrize(("part", "held_out"), [("train", {1, 2, 3}), ("test", {9})])
def test_the_gopro_data_sets_test_is_never_trained_on_also_where_it_is_named_by_itself(
    part: str, held_out: set[int]
) -> None:
    files = [Entry(f"s3://set/{part}/GOPR0384_11_0{k}/sharp/000047.png", 9, "e") for k in range(9)]
    assert len(split_footage(group_clips(f"s3://set/{part}", files), 0.2)[1]) in held_out


@pytest.mark.parametrize("folder", ["train", "test"])
def test_a_camera_may_be_called_like_a_part_of_the_gopro_data_set(folder: str) -> None:
    files = [entry(f"{folder}/GX01{k:04}.MP4") for k in range(12)] + [entry(f"{folder}/lapse/G0010001.JPG")]
    clips = group_clips("s3://gopro", files)
    assert {(c.camera, c.data_set_split) for c in clips} == {(folder, "")}
    assert {f"{folder}-GX0000", f"{folder}-lapse"} <= {c.name for c in clips}
    assert all(split_footage(clips, 0.2))


def test_a_cameras_folder_may_be_called_like_a_part_of_the_gopro_data_set() -> None:
    [clip] = group_clips("s3://gopro", [entry("pit/test/GX010119.MP4")])
    assert (clip.name, clip.camera, clip.data_set_split) == ("pit-test-GX0119", "pit", "")


def test_a_clip_is_also_known_by_the_names_of_its_files_as_lednet_train_lists_them() -> None:
    files = [entry("pit/GX010119.MP4"), entry("pit/GX020119.MP4"), entry("silo/GOPR0372_07_00/000047.png")]
    chaptered, pictures = group_clips("s3://gopro", files)
    assert chaptered.names == {"pit-GX0119", "GX010119", "GX020119"}
    assert pictures.names == {pictures.name}


def test_footage_that_is_there_is_told_without_listing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "gopro/GX010119.MP4", 10, 0)
    monkeypatch.setattr(listing, "find", None)
    footage.need_footage(["", str(tmp_path / "gopro")])
    footage.need_footage([str(tmp_path / "gopro/GX010119.MP4")])
    for where, said in (([str(tmp_path / "none")], "none: no clips in it"), ([""], "no footage named")):
        with pytest.raises(ClipError, match=said):
            footage.need_footage(where)


def test_every_camera_of_two_clips_has_one_held_out_and_new_footage_moves_none_back() -> None:
    old = group_clips("s3://gopro", [entry(f"{c}/GX01{k:04}.MP4") for c in ("pit", "silo") for k in range(12)])
    more = group_clips("s3://gopro", [entry(f"{c}/GX01{k:04}.MP4") for c in ("pit", "silo", "road") for k in range(20)])
    before, after = ({c.name for c in split_footage(clips, 0.2)[1]} for clips in (old, more))
    assert before <= after
    assert {name.partition("-")[0] for name in after} == {"pit", "silo", "road"}


def test_footage_that_is_named_twice_is_listed_once_with_its_folders_camera(tmp_path: Path) -> None:
    put(tmp_path / "gopro/pit/day/GX010119.MP4", 10, 0)
    [clip] = list_footage([str(tmp_path / "gopro/pit/day/GX010119.MP4"), str(tmp_path / "gopro")])
    assert (clip.name, clip.camera) == ("pit-day-GX0119", "pit")


@pytest.mark.parametrize("look", [list_footage, footage.need_footage])
def test_a_folder_that_is_not_there_is_told_also_beside_one_that_is(
    look: Callable[[list[str]], object], tmp_path: Path
) -> None:
    put(tmp_path / "gopro/GX010119.MP4", 10, 0)
    with pytest.raises(ClipError, match=r"more: not there, or nothing in it; mount it, or leave it out"):
        look([str(tmp_path / "gopro"), str(tmp_path / "more")])


def test_a_file_that_has_gone_since_an_event_told_of_it_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "gopro/GX010119.MP4", 10, 0)
    [clip] = list_footage([str(tmp_path / "gopro"), str(tmp_path / "gopro/GX010120.MP4")])
    assert clip.name == "gopro-GX0119"
    assert "GX010120.MP4: not there any more" in caplog.text


def test_two_clips_of_one_name_are_told_apart_or_refused(tmp_path: Path) -> None:
    for card in ("a", "b"):
        put(tmp_path / card / "gopro/GX010119.MP4", 10, 0)
    with pytest.raises(ClipError, match=r"two clips of one name, gopro-GX0119; give each camera a folder"):
        list_footage([str(tmp_path / card / "gopro") for card in ("a", "b")])
    assert len(list_footage([str(tmp_path)])) == 2


def test_no_location_is_not_the_current_folder() -> None:
    with pytest.raises(ClipError, match="no footage named"):
        list_footage([""])


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"no clips in it .*\.mp4"):
        list_footage([str(tmp_path)])


def test_a_clip_that_is_only_out_of_reach_is_not_called_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "gopro/pit/GX010119.MP4", 10, 0)
    (clip,) = list_footage([str(tmp_path / "gopro")])
    without_pauses(monkeypatch)
    (tmp_path / "gopro").rename(tmp_path / "unmounted")
    with pytest.raises(storage.StorageError):
        read_clip(clip, LEARN)


def test_the_key_changes_with_the_content() -> None:
    a, b = (group_clips("s3://gopro", [entry("GX010119.MP4", etag)])[0] for etag in "12")
    assert a.name == b.name
    assert a.key != b.key


def test_high_speed_frames_run_on_across_chapters(tmp_path: Path) -> None:
    for name, first in (("GX020119", 6), ("GX010119", 0)):
        put(tmp_path / f"pit/{name}.MP4", 240, first)
    [clip] = list_footage([str(tmp_path)])
    assert shown(clip, high_speed_frames=10) == list(range(10))


def test_other_frames_are_spread_over_all_chapters(tmp_path: Path) -> None:
    for chapter in (1, 2):
        put(tmp_path / f"pit/GX0{chapter}0119.MP4", 10, 100 * chapter, frames=10)
    [clip] = list_footage([str(tmp_path)])
    numbers = shown(clip, frames_per_clip=4)
    assert numbers == sorted(numbers)
    assert [n // 100 for n in numbers] == [1, 1, 2, 2]


def test_a_clip_of_one_frame_gives_it(tmp_path: Path) -> None:
    put(tmp_path / "GX010001.MP4", 10, 7, frames=1)
    (clip,) = list_footage([str(tmp_path)])
    assert shown(clip) == [7]


def test_memory_bounds_how_much_is_decoded(tmp_path: Path) -> None:
    large = [numbered(k, 480, 640) for k in range(3)]  # nearly a megabyte each
    write_clip(tmp_path / "pit/GX010119.MP4", [0, 1 / 240, 2 / 240], fps=240, pictures=large)
    [clip] = list_footage([str(tmp_path)])
    assert len(shown(clip, clip_mb=1)) == 1
    assert len(shown(clip, clip_mb=9)) == 3


@pytest.mark.parametrize("pictures", [False, True])
def test_what_memory_holds_is_spread_over_the_whole_clip(pictures: bool, tmp_path: Path) -> None:
    frames = [numbered(k, 240, 320) for k in range(16)]  # a quarter of a megabyte each
    folder = tmp_path / "pit"
    folder.mkdir()
    if pictures:
        for k, frame in enumerate(frames):
            cv2.imwrite(str(folder / f"G001{k:04}.png"), frame[:, :, ::-1])
    else:
        write_clip(folder / "GX010119.MP4", [k / 10 for k in range(16)], fps=10, pictures=frames)
    [clip] = list_footage([str(tmp_path)])
    numbers = shown(clip, clip_mb=1, frames_per_clip=16)
    assert len(numbers) == 4
    assert numbers[0] <= 3
    assert numbers[-1] >= 12


@pytest.mark.parametrize("folder", [".Trash-1000/files", "$RECYCLE.BIN", "pit/@eaDir/GX010119.MP4"])
def test_what_was_deleted_and_previews_are_no_footage(folder: str) -> None:
    names = (f"{folder}/GX010007.MP4", f"{folder}/SHOT.jpg", "pit/GX010119.MP4")
    assert grouped(*names) == [("pit-GX0119", "pit", ["GX010119.MP4"])]


def test_footage_of_120_frames_a_second_is_high_speed_as_cameras_film_it(tmp_path: Path) -> None:
    rate = Fraction(120_000, 1001)
    write_clip(tmp_path / "GX010119.MP4", [k / rate for k in range(6)], fps=rate, base=1 / rate)
    [clip] = list_footage([str(tmp_path)])
    assert read_clip(clip, LEARN).high_speed


def test_footage_that_counts_in_milliseconds_is_not_taken_for_high_speed(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.avi", [Fraction(50 * k + k % 3, 1000) for k in range(6)], fps=1000)
    [clip] = list_footage([str(tmp_path)])
    assert not read_clip(clip, LEARN).high_speed


def test_which_of_high_speed_frames_is_the_sharpest_is_known(tmp_path: Path) -> None:
    """A burst is centred on it, and it is the label."""
    sharp = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    frames = [cv2.GaussianBlur(sharp, (0, 0), 2.0) for _ in range(5)]
    frames[3] = sharp
    (tmp_path / "GOPR0372_07_00").mkdir()
    for k, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"GOPR0372_07_00/{k:06}.png"), frame)
    [clip] = list_footage([str(tmp_path)])
    assert np.argmax(read_clip(clip, LEARN).sharpness) == 3


def test_pictures_are_read_in_order_and_broken_ones_named(tmp_path: Path) -> None:
    folder = tmp_path / "GOPR0372_07_00"
    folder.mkdir()
    for k in range(5):
        cv2.imwrite(str(folder / f"{k:06}.png"), numbered(k)[:, :, ::-1])
    [clip] = list_footage([str(tmp_path)])
    read = read_clip(clip, LEARN)
    assert read.high_speed
    assert [number_of(np.asarray(f.permute(1, 2, 0))) for f in read.frames] == list(range(5))
    (folder / "000003.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"000003\.png: not a readable picture"):
        read_clip(clip, LEARN)


@pytest.mark.parametrize("stem", ["walk", "GX1", "MVI_0119", "GX01011"])
def test_other_names_are_clips_of_one_chapter(stem: str) -> None:
    assert clip_and_chapter(stem) == (stem, 0)
