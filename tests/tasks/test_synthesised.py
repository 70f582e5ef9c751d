"""Figures of the synthesised night: of the camera's own daylight, the same at every call, and honest of what lacks."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fsspec.implementations.local import LocalFileSystem

from lednet import Restorer
from lednet.degrade import RECIPES, degrade
from lednet.metrics import psnr
from tasks import storage
from tasks.settings import SynthesisSettings
from tasks.synthesised import (
    Daylight,
    DaylightError,
    daylight_key,
    find_daylight,
    load_perceptual,
    read_daylight,
    synthesised_figures,
)
from tests.tasks.night import Frames, pictures, save_checkpoint, write_clip

SETTINGS = SynthesisSettings(frames=4, width=64)
MOST = 10**8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sunny pictures, a clip and a text."""
    day = tmp_path / "day"
    day.mkdir()
    for k in range(2):
        picture = np.random.default_rng(k).integers(90, 255, (90, 120, 3), np.uint8)
        cv2.imwrite(str(day / f"{k}.png"), picture)
    write_clip(day / "2.mp4", (pictures(20).astype(int) + 100).clip(0, 255).astype(np.uint8))
    (day / "notes.txt").write_text("film at noon")
    return day


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer(save_checkpoint(tmp_path_factory.mktemp("model")), device="cpu")


def names(location: str) -> list[str]:
    return [e.url.rpartition("/")[2] for e in find_daylight(location)]


def test_daylight_is_a_folder_a_file_or_a_pattern(folder: Path) -> None:
    assert names(str(folder)) == ["0.png", "1.png", "2.mp4"]
    assert names(str(folder / "1.png")) == ["1.png"]
    assert names(str(folder / "*.png")) == ["0.png", "1.png"]
    assert names(folder.as_uri() + "/2*") == ["2.mp4"]


@pytest.mark.parametrize("place", ["nothing", "day/*.jpg", "day/7.png"])
def test_a_place_without_daylight_is_named(folder: Path, place: str) -> None:
    with pytest.raises(DaylightError, match=place.replace("*", r"\*")):
        find_daylight(str(folder.parent / place))


def test_frames_come_from_every_file_no_wider_than_asked(folder: Path) -> None:
    daylight = read_daylight(find_daylight(str(folder)), SETTINGS, MOST)
    assert len(daylight.frames) == 4
    assert {f.shape[1] for f in daylight.frames} == {64}


def test_a_folder_of_fewer_pictures_gives_each_once(folder: Path) -> None:
    assert len(read_daylight(find_daylight(str(folder / "*.png")), SETTINGS, MOST).frames) == 2


def test_frames_of_a_clip_are_spread_over_it(folder: Path) -> None:
    frames = read_daylight(find_daylight(str(folder / "2.mp4")), SETTINGS, MOST).frames
    assert len({f.tobytes() for f in frames}) == 4


def test_bad_files_and_dark_frames_are_left_out_and_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "0.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "1.png"), np.full((60, 80, 3), 10, np.uint8))
    with caplog.at_level(logging.WARNING):
        daylight = read_daylight(find_daylight(str(folder)), SETTINGS, MOST)
    assert 0 < len(daylight.frames) < 4
    assert "0.png: left out" in caplog.text
    assert "no daylight" in caplog.text


def test_a_camera_filmed_by_night_alone_has_no_daylight(folder: Path) -> None:
    cv2.imwrite(str(folder / "dark.png"), np.full((60, 80, 3), 10, np.uint8))
    with pytest.raises(DaylightError, match="film by day"):
        read_daylight(find_daylight(str(folder / "dark.png")), SETTINGS, MOST)


def test_the_key_follows_the_files_and_the_synthesis(folder: Path) -> None:
    entries = find_daylight(str(folder))
    key = daylight_key(entries, SETTINGS)
    assert daylight_key(entries, SETTINGS) == key
    assert daylight_key(entries[1:], SETTINGS) != key
    assert daylight_key(entries, SynthesisSettings(frames=4, width=64, seed=1)) != key
    assert daylight_key(entries, SynthesisSettings(frames=4, width=64, lpips_weights="elsewhere")) == key


def test_figures_of_a_release_that_darkens_otherwise_are_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = find_daylight(str(folder))
    key = daylight_key(entries, SETTINGS)
    monkeypatch.setitem(RECIPES, "night", replace(RECIPES["night"], gain=(0.3, 0.5)))
    assert daylight_key(entries, SETTINGS) != key


def test_a_store_that_fails_for_now_gives_no_figures_of_fewer_frames(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = find_daylight(str(folder))
    monkeypatch.setattr("time.sleep", lambda _: None)

    def busy(fs: object, path: str, **options: object) -> bytes:
        if str(path).endswith("1.png"):
            raise OSError(errno.EIO, "the disk is away")
        return Path(path).read_bytes()

    monkeypatch.setattr(LocalFileSystem, "cat_file", busy)
    with pytest.raises(storage.StorageError, match=r"1\.png"):
        read_daylight(entries, SETTINGS, MOST)


class Copy(Restorer):
    """Gives the dark frame back, and keeps it."""

    def __init__(self) -> None:
        self.seen: list[Frames] = []

    def restore(self, frames: Frames) -> Frames:
        self.seen.append(frames.copy())
        return frames


def sunny(count: int = 3) -> Daylight:
    frames = np.random.default_rng(5).integers(60, 255, (count, 48, 64, 3), np.uint8)
    return Daylight(tuple(frames), "key")


def test_figures_are_those_of_the_restored_synthesised_night() -> None:
    copy, daylight = Copy(), sunny()
    rows = synthesised_figures(daylight, copy, SETTINGS, None)
    for k, frame in enumerate(daylight.frames):
        sharp = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255
        dark = degrade(sharp, RECIPES["night"], torch.Generator().manual_seed(SETTINGS.seed + k))
        assert rows["psnr"][k] == pytest.approx(psnr(dark, sharp).item(), abs=1e-4)


def test_equal_daylight_and_an_equal_model_give_equal_figures(restorer: Restorer) -> None:
    first, second = (synthesised_figures(sunny(), restorer, SETTINGS, None) for _ in range(2))
    assert first.equals(second)
    assert np.isfinite(first[["psnr", "ssim", "mae"]].to_numpy()).all()


def test_a_model_that_gives_the_daylight_back_is_perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    daylight, perfect = sunny(1), Copy()
    monkeypatch.setattr(perfect, "restore", lambda frames: daylight.frames[0][None].copy())
    row = synthesised_figures(daylight, perfect, SETTINGS, lambda x, y: (x - y).abs().mean()).iloc[0]
    assert (row["psnr"], row["mae"], row["lpips"]) == (math.inf, 0, 0)
    assert row["ssim"] == pytest.approx(1)


def test_lpips_without_its_weights_is_not_computed_and_the_reason_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load: Callable[[str], object] = load_perceptual.__wrapped__
    with caplog.at_level(logging.WARNING):
        assert load(str(tmp_path / "none.npz")) is None
    assert "LPIPS not computed" in caplog.text
    assert synthesised_figures(sunny(1), Copy(), SETTINGS, None)["lpips"].isna().all()
