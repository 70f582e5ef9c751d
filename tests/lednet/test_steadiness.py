"""Figures of steadiness are what they say, and the synthesised night of a fixed camera has one light."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lednet.clips import ClipError, find_clips, split_clips
from lednet.degrade import RECIPES, Recipe, Response
from lednet.restorer import Restorer
from lednet.steadiness import (
    HELD_OUT,
    Shown,
    clips_of,
    compared,
    darkened,
    figures,
    main,
    one_night,
    read_stretch,
    still_places,
    warping_error,
)
from lednet.temporal import TemporalSettings
from tests.tasks.footage import write_clip
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


def test_restored_frames_are_held_against_the_last_of_the_true_ones() -> None:
    truth = np.stack([np.roll(picture(), 5 * k, 1) for k in range(COUNT)])  # the first ones were only watched
    found = figures(truth[-3:], shown(truth), 0)
    assert found.flicker == 0
    assert found.psnr > 100


def test_errors_are_told_of_the_whole_picture_and_of_what_moves_alone() -> None:
    still_half = np.zeros((HEIGHT, WIDTH), bool)
    still_half[:, : WIDTH // 2] = True
    restored = still()
    restored[:, :, WIDTH // 2 :] += 4
    found = figures(restored, Shown("clip", "moving", still(), still(), still_half), 0)
    assert found.psnr_moving == pytest.approx(10 * np.log10(255**2 / 16))
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / 8))


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


DRAWN = "gain gamma shot_noise read_noise jpeg_quality video_qp low_resolution row_noise".split()
ANEW = "video_probability dust_probability fog_probability lamp_probability".split()


def test_a_night_that_takes_nothing_away_is_the_day_whatever_the_cameras_response() -> None:
    recipe = Recipe("plain", gain=(1.0, 1.0), gamma=(1.0, 1.0), response=Response(1.0))
    assert np.array_equal(darkened(still(), recipe, seed=2), still())


@pytest.mark.parametrize("recipe", ["mine", "night"])
def test_a_fixed_camera_has_one_sensor_and_one_light_all_night(recipe: str) -> None:
    night = one_night(RECIPES[recipe], torch.Generator().manual_seed(1))
    for name in DRAWN:
        low, high = getattr(night, name)
        assert low == high, name
    assert night.jpeg_probability in (0, 1)
    assert [getattr(night, name) for name in ANEW] == [0] * len(ANEW)  # they would be drawn anew for every frame
    assert max(RECIPES["mine"].dust_probability, RECIPES["mine"].lamp_probability) > 0


def test_a_stretch_begins_at_its_frame_and_is_no_wider_than_asked(tmp_path: Path) -> None:
    clip = filmed(tmp_path / "a.mkv")
    whole = read_stretch(clip, 0, 6, 320)
    assert whole.shape == (6, 64, 96, 3)
    assert np.array_equal(read_stretch(clip, 2, 3, 96), whole[2:5])
    assert read_stretch(clip, 0, 1, 48).shape == (1, 32, 48, 3)


def test_a_stretch_has_its_colours_in_order(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    (frame,) = read_stretch(write_clip(tmp_path / "a.mkv", [0, 0.1], pictures=[red] * 2), 0, 1, 320)
    assert frame[..., 0].min() > 150 > 50 > frame[..., 2].max()


def test_a_memory_is_warm_when_its_steadiness_is_told() -> None:
    count = TemporalSettings().warm_up + 3
    dark = np.repeat(noisy(0)[:1] // 4, count, 0)
    noise = np.random.default_rng(0).normal(0, 5, dark.shape)
    stands = np.ones((HEIGHT, WIDTH), bool)
    clip = Shown("clip", "still", (dark + noise).clip(0, 255).astype(np.uint8), None, stands)
    found = compared(clip, Restorer("small", device="cpu"))
    assert found["steady"].deviation < found["frame-wise"].deviation / 3


def test_each_night_of_a_fixed_camera_is_another_and_cameras_that_move_were_held_out(tmp_path: Path) -> None:
    for name in ("fixed_gate", "a", "b", "c", "d", "e"):
        filmed(tmp_path / f"{name}.mkv", frames=10)
    options = argparse.Namespace(
        folder=tmp_path, night=None, recipe="night", nights=2, others=1, first=0, frames=2, width=64
    )
    shown = list(clips_of(options))
    held_out = [p.stem for p in split_clips(find_clips(tmp_path), HELD_OUT)[1] if p.stem != "fixed_gate"]
    assert [(s.kind, s.name) for s in shown] == [
        ("fixed", "fixed_gate 0"), ("fixed", "fixed_gate 1"), ("moving", held_out[0]), ("still", held_out[0])
    ]  # fmt: skip
    assert not np.array_equal(shown[0].dark, shown[1].dark)
    assert shown[3].truth is not None
    assert np.ptp(shown[3].truth, axis=0).max() == 0


def test_a_clip_that_is_too_short_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="6 frames from frame 0 on, not 20"):
        read_stretch(filmed(tmp_path / "short.mkv"), 0, 20, 320)


@pytest.mark.parametrize(("option", "value"), [("--frames", "0"), ("--width", "2"), ("--first", "-5")])
def test_a_number_that_nothing_can_be_measured_by_is_refused_by_name(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed(tmp_path / "fixed_gate.mkv", frames=11)
    assert main([str(tmp_path), option, value]) == 1
    assert f"{option} {value}: must be" in capsys.readouterr().err


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
