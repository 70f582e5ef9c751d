"""Figures of steadiness are what they say, and the synthesised night of a fixed camera has one light."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lednet.clips import ClipError
from lednet.degrade import RECIPES
from lednet.steadiness import Shown, darkened, figures, main, one_night, read_stretch, still_places, warping_error
from tests.tasks.learning import filmed

HEIGHT, WIDTH, COUNT = 48, 64, 8


def picture() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grey = 120 + 60 * np.sin(x / 5) + 40 * np.cos(y / 4)
    return np.repeat(grey[:, :, None], 3, 2).clip(0, 255).astype(np.uint8)


def still() -> np.ndarray:
    return np.repeat(picture()[None], COUNT, 0)


def noisy(sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, still().shape)
    return (still() + noise).clip(0, 255).astype(np.uint8)


def shown(truth: np.ndarray | None = None) -> Shown:
    return Shown("clip", "still", still(), truth, np.ones((HEIGHT, WIDTH), bool))


def test_deviation_is_the_noise_over_time() -> None:
    assert figures(still(), shown(), 0).deviation == 0
    assert figures(noisy(4), shown(still()), 0).deviation == pytest.approx(4, rel=0.15)


def test_light_that_really_changes_costs_nothing() -> None:
    changing = (still() * np.linspace(0.6, 1, COUNT)[:, None, None, None]).astype(np.uint8)
    found = figures(changing, shown(changing), 0)
    assert found.deviation < 0.3  # of whole levels
    assert found.flicker == 0
    assert figures(changing, shown(), 0).deviation > 5


def test_a_video_without_the_noise_of_its_truth_is_steady() -> None:
    assert figures(still(), shown(noisy(4)), 0).deviation < 0.3
    assert figures(noisy(4), shown(noisy(4)), 0).deviation == pytest.approx(4, rel=0.15)


def test_light_that_changes_from_place_to_place_costs_nothing_where_it_is_restored() -> None:
    lit = still().astype(float)
    lit[COUNT // 2 :] *= np.linspace(1, 1.4, WIDTH)[:, None]
    lit = lit.clip(0, 255).astype(np.uint8)
    assert figures(lit, shown(lit), 0).deviation < 0.1 * figures(lit, shown(), 0).deviation
    assert figures(still(), shown(lit), 0).deviation == pytest.approx(figures(lit, shown(), 0).deviation, rel=0.1)


def test_brightness_that_goes_up_and_down_flickers() -> None:
    strobing = still().astype(int) + np.array([0, 6] * (COUNT // 2))[:, None, None, None]
    assert figures(strobing.clip(0, 255).astype(np.uint8), shown(), 0).flicker == pytest.approx(6, rel=0.1)


def test_movement_is_no_warping_error_and_noise_is() -> None:
    moving = np.stack([np.roll(picture(), k, 1) for k in range(COUNT)])[:, :, COUNT:]
    assert warping_error(still(), still()) < 0.1
    noise = np.random.default_rng(0).normal(0, 8, moving.shape)
    assert warping_error((moving + noise).clip(0, 255).astype(np.uint8), moving) > 2 * warping_error(moving, moving) + 2


def test_a_moving_thing_does_not_stand_still() -> None:
    frames = still()
    for k in range(COUNT):
        frames[k, 10:20, 4 * k : 4 * k + 10] = 255
    places = still_places(frames)
    assert not places[12:18, 5:30].any()
    assert places[30:].all()


def test_a_fixed_cameras_night_has_one_light_and_new_noise_in_every_frame() -> None:
    dark = darkened(still(), RECIPES["night"], seed=2).astype(float)
    means = dark.mean((1, 2, 3))
    assert means.max() - means.min() < 0.5
    assert means.mean() < 0.7 * still().mean()
    assert np.abs(np.diff(dark, axis=0)).mean() > 0.1
    assert np.array_equal(dark, darkened(still(), RECIPES["night"], seed=2))


def test_a_fixed_camera_has_one_sensor_all_night() -> None:
    mine = one_night(RECIPES["mine"], torch.Generator().manual_seed(1))
    assert mine.low_resolution[0] == mine.low_resolution[1]
    assert mine.row_noise[0] == mine.row_noise[1]


def test_a_clip_that_is_too_short_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="6 frames from frame 0 on, not 20"):
        read_stretch(filmed(tmp_path / "short.mkv"), 0, 20, 320)


def test_both_ways_are_told_for_every_kind_of_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fixed_gate", "a", "b"):
        filmed(tmp_path / f"clips/{name}.mkv", frames=11)
    filmed(tmp_path / "night/c.mkv", frames=11)
    command = [str(tmp_path / "clips"), "--night", str(tmp_path / "night"), "--frames", "3", "--nights", "1"]
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {r["kind"] for r in rows} >= {"fixed", "real night"}
    for row in rows:
        assert row["steady"]["ms"] > 0
        assert (row["steady"]["psnr"] is None) == (row["kind"] == "real night")
