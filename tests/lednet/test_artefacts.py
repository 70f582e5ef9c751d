"""Each artefact, put into a clean picture, is found by its own measure, and where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lednet import artefact_sheet, checkpoint
from lednet.artefacts import MEASURES, WINDOW, Picture, exposed_like, lamps, tile_seams
from lednet.baselines.peers import PEERS
from tests.tasks.learning import filmed

HEIGHT, WIDTH = 192, 288


def scene() -> Picture:
    """Smooth ground, a bright wall with a sharp edge, a black corner and a lamp."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    grey = 90 + 20 * np.sin(x / 60) + 15 * np.cos(y / 50)
    grey[40:150, 170:] += 90
    grey[120:, :70] = 12
    grey[30:36, 60:66] = 255
    return np.repeat(grey[:, :, None], 3, 2).clip(0, 255).astype(np.float32)


def rim(picture: Picture) -> Picture:
    """Bright and dark rims along edges, as too much local contrast makes them."""
    return picture + 1.5 * (cv2.GaussianBlur(picture, (0, 0), 3) - cv2.GaussianBlur(picture, (0, 0), 9))


def ripples(picture: Picture) -> Picture:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    distance = np.hypot(y - 33, x - 63)
    return picture + (12 * np.sin(distance * 1.2) * np.exp(-distance / 12))[..., None].astype(np.float32)


def board(picture: Picture) -> Picture:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return picture + (3.0 * ((x + y) % 2 * 2 - 1))[..., None].astype(np.float32)


def tint(picture: Picture) -> Picture:
    black = (picture.mean(-1, keepdims=True) < 32).astype(np.float32)
    return picture + black * np.array([10, 0, -4], np.float32)


def blotches(picture: Picture) -> Picture:
    grain = np.random.default_rng(0).normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
    return picture + (20 * cv2.GaussianBlur(grain, (0, 0), 2))[..., None]


def steps(picture: Picture) -> Picture:
    made = picture.copy()
    made[:, WINDOW:] += 6
    return made


MADE: dict[str, Callable[[Picture], Picture]] = {
    "halo": rim,
    "ringing at lamps": ripples,
    "chequerboard": board,
    "colour in black": tint,
    "invented texture": blotches,
    "window seams": steps,
}


@pytest.mark.parametrize("artefact", MEASURES)
def test_an_artefact_raises_its_own_figure(artefact: str) -> None:
    truth = scene()
    clean, spoilt = (MEASURES[artefact](p, truth).figure for p in (truth, MADE[artefact](truth)))
    assert clean < 0.6
    assert spoilt > clean + 0.5


@pytest.mark.parametrize("artefact", ["halo", "ringing at lamps", "invented texture", "window seams"])
def test_brightness_alone_is_no_artefact(artefact: str) -> None:
    truth = scene()
    assert MEASURES[artefact](0.8 * truth + 10, truth).figure < 0.5


def test_the_worst_place_is_where_the_artefact_is() -> None:
    truth = scene()
    y, x = MEASURES["colour in black"](tint(truth), truth).worst()
    assert y > 120
    assert x < 70


def test_where_a_measure_has_no_place_it_tells_nothing() -> None:
    bright = np.full((HEIGHT, WIDTH, 3), 120, np.float32)
    for artefact in ("halo", "ringing at lamps", "colour in black"):
        assert np.isnan(MEASURES[artefact](bright, bright).figure)


def test_a_sky_is_no_lamp() -> None:
    picture = scene()
    picture[:60] = 255
    assert lamps(scene()).sum() == 36
    assert not lamps(picture).any()


def test_the_truth_is_brought_to_the_restored_exposure() -> None:
    truth = scene()
    brighter = 255 * (truth / 255) ** 0.6
    assert np.abs(exposed_like(truth, brighter.astype(np.float32)) - brighter).mean() < 4


@pytest.mark.parametrize("artefact", MEASURES)
def test_a_truth_without_one_colour_is_measured(artefact: str) -> None:
    truth = scene()
    truth[..., 2] = 0
    assert MEASURES[artefact](truth + 2, truth).badness.shape == truth.shape[:2]


def test_tiles_that_agree_have_no_seams() -> None:
    assert tile_seams(scene(), scene()).figure == 0
    assert tile_seams(scene(), steps(scene())).figure > 1


def test_one_command_writes_figures_and_the_worst_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        filmed(tmp_path / f"clips/{seed}.mkv", seed=seed)
    command = [str(tmp_path / "clips"), str(tmp_path / "out"), "--nights", "1", "--first", "1", "--tiled", "0"]
    assert artefact_sheet.main(command) == 0
    told = json.loads((tmp_path / "out/artefacts.json").read_text())
    assert set(told["figures"]) == set(MEASURES)
    assert set(told["figures"]["chequerboard"]) == set(artefact_sheet.WAYS)
    assert cv2.imread(str(tmp_path / "out/artefacts.png")) is not None
    assert "worst cases" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["artefacts.json", "artefacts.png"]


def test_a_network_without_a_tone_curve_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filmed(tmp_path / "clips/a.mkv")
    weights = tmp_path / "peer.safetensors"
    checkpoint.save(weights, PEERS["zero_dce_trained"](), half=True, training={}, validation={})
    assert artefact_sheet.main([str(tmp_path / "clips"), str(tmp_path / "out"), "--model", str(weights)]) == 1
    assert "no LEDNet" in capsys.readouterr().err


def test_a_folder_without_clips_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert artefact_sheet.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "no video files" in capsys.readouterr().err
