"""Photographs in training: what is read, what is left out, and how often they are drawn beside clips."""

from __future__ import annotations

import json
import os
import struct
import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from lednet import photos, train
from lednet.clips import Clip, ClipError
from lednet.degrade import srgb_to_linear
from lednet.model import SIZES, LEDNetConfig
from lednet.photos import read_photos
from lednet.train_settings import TrainSettings

CPU = torch.device("cpu")
ROOM = 10**9


def write_photo(path: Path, height: int = 80, width: int = 96, level: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), (level, 30, 200), np.uint8))
    return path


def test_photographs_of_all_folders_are_read_as_rgb(tmp_path: Path) -> None:
    write_photo(tmp_path / "one.png", level=10)
    write_photo(tmp_path / "deep/er/two.PNG", level=90)
    read = read_photos(tmp_path, CPU, ROOM)
    assert {photo.name: photo.frames[0, :, 0, 0].tolist() for photo in read} == {
        "one": [200, 30, 10],
        "two": [200, 30, 90],
    }
    assert all(photo.photo and not photo.high_speed and photo.frames.shape == (1, 3, 80, 96) for photo in read)


@pytest.mark.parametrize(("content", "cause"), [(b"no picture", "OpenCV reads"), (None, "below 64 pixels")])
def test_what_is_no_photograph_is_named_and_left_out(
    content: bytes | None, cause: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_photo(tmp_path / "good.png")
    if content is None:
        write_photo(tmp_path / "bad.png", 63, 400)
    else:
        (tmp_path / "bad.png").write_bytes(content)
    assert [photo.name for photo in read_photos(tmp_path, CPU, ROOM)] == ["good"]
    assert "bad.png" in caplog.text
    assert cause in caplog.text


def test_a_photograph_whose_name_is_not_utf8_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_photo(tmp_path / "good.png")
    write_photo(tmp_path / "bad.png").rename(tmp_path / os.fsdecode(b"m\xe4ll.png"))
    assert [photo.name for photo in read_photos(tmp_path, CPU, ROOM)] == ["good"]
    assert r"m\xe4ll.png: its name is not UTF-8" in caplog.text


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(ClipError, match="holds no photographs"):
        read_photos(tmp_path, CPU, ROOM)


def test_a_folder_of_unreadable_photographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"")
    with pytest.raises(ClipError, match="none of 1 photographs can be read"):
        read_photos(tmp_path, CPU, ROOM)


def test_large_photographs_are_shrunk_in_linear_light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MOST_SIDE", 100)
    stripes = np.zeros((128, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    cv2.imwrite(str(tmp_path / "stripes.png"), stripes)
    (photo,) = read_photos(tmp_path, CPU, ROOM)
    assert photo.frames.shape == (1, 3, 64, 80)
    assert set(photo.frames.flatten().tolist()) == {188}  # half of white's light, in sRGB


def test_a_large_photograph_is_never_in_linear_light_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (203, 210, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "large.png"), picture)
    monkeypatch.setattr(photos, "MOST_SIDE", 100)
    (whole,) = read_photos(tmp_path, CPU, ROOM)
    heights: list[int] = []

    def linear(strip: Tensor) -> Tensor:
        heights.append(strip.shape[2])
        return srgb_to_linear(strip)

    monkeypatch.setattr(photos, "STRIP_ROWS", 8)
    monkeypatch.setattr(photos, "srgb_to_linear", linear)
    (in_strips,) = read_photos(tmp_path, CPU, ROOM)
    assert max(heights) == 8 * 3
    assert torch.equal(in_strips.frames, whole.frames)


@pytest.mark.parametrize(("height", "width", "shrink"), [(130, 6_400, 2), (64, 140_000, 1)])
def test_long_and_narrow_photographs_are_shrunk_to_no_icons(
    height: int, width: int, shrink: int, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "panorama.png"), np.full((height, width, 3), 90, np.uint8))
    (photo,) = read_photos(tmp_path, CPU, ROOM)
    assert photo.frames.shape == (1, 3, height // shrink, width // shrink)


def test_a_photograph_that_states_more_pixels_than_can_be_read_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_photo(tmp_path / "good.png")
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "huge.png").write_bytes(bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    assert [photo.name for photo in read_photos(tmp_path, CPU, ROOM)] == ["good"]
    assert "huge.png: not a picture that OpenCV reads" in caplog.text


def test_no_more_photographs_are_held_than_memory_is_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(5):
        write_photo(tmp_path / f"{i}.png")
    read = read_photos(tmp_path, CPU, 3 * 80 * 96 * 3)
    assert len(read) == 3
    assert "3 of 5 photographs" in caplog.text
    assert [photo.name for photo in read] == [photo.name for photo in read_photos(tmp_path, CPU, ROOM)][:3]


@pytest.mark.parametrize("share", [0.5, 0.3, 0.2])
def test_photographs_are_the_share_of_what_is_drawn_that_is_asked_for(share: float) -> None:
    frames = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    clips = [Clip("slow", frames, False), Clip("fast", frames, True)]
    pictures = [Clip(f"p{i}", frames[:1], False, photo=True) for i in range(400)]
    drawn = TrainSettings(photo_share=share).draws(clips + pictures)
    assert sum(clip.photo for clip in drawn) / len(drawn) == pytest.approx(share, abs=0.03)
    assert sum(clip.name == "fast" for clip in drawn) == 6 * sum(clip.name == "slow" for clip in drawn)


def test_a_run_counts_its_photographs_and_holds_out_clips_alone(
    tmp_path: Path, two_clips: Path, tiny: LEDNetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZES, "tiny", tiny)
    short = partial(TrainSettings, validation_pairs=4, validation_crop=32, gamma_pairs=16)  # which no option sets
    monkeypatch.setattr(train, "TrainSettings", short)
    for i in range(3):
        write_photo(tmp_path / f"photos/{i}.png")
    arguments = ["--data", str(two_clips), "--photos", str(tmp_path / "photos"), "--out", str(tmp_path / "run")]
    arguments += ["--size", "tiny", "--steps", "2", "--light-steps", "0", "--crop-scale", "0.25"]
    assert train.main([*arguments, "--perceptual", "off", "--device", "cpu"]) == 0
    card = json.loads((tmp_path / "run/tiny.json").read_text())
    assert card["training"]["photos"] == 3
    assert {*card["training"]["clips"], *card["validation"]["clips"]} == {"pit", "silo"}
