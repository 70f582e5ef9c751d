"""Signs of a camera's health: each follows what it is named for, on drawn and on real pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.health import HealthSettings
from tasks.signs import BLACK, EDGE_WINDOW, WHITE, edge_width, narrow, picture_signs, shift_between, still_scene

DATA = Path(__file__).parents[3] / "shared/data"
LIMITS = HealthSettings()
HEIGHT, WIDTH = 180, 320

Picture = np.ndarray[Any, np.dtype[np.uint8]]


def drawn(seed: int = 0) -> Picture:
    """A picture of coloured boxes, some hundred, of every size."""
    rng = np.random.default_rng(seed)
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    for _ in range(150):
        x, y, w, h = (int(rng.integers(0, m)) for m in (WIDTH, HEIGHT, 40, 40))
        cv2.rectangle(picture, (x, y), (x + w, y + h), [int(v) for v in rng.integers(0, 230, 3)], -1)
    return picture


def grey(picture: Picture) -> Picture:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def test_a_covered_lens_is_flat_and_without_contrast_even_with_noise() -> None:
    noise = np.random.default_rng(0).normal(40, 4, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    covered, seeing = picture_signs(noise), picture_signs(drawn())
    assert covered.flat >= LIMITS.covered_flat
    assert covered.steepest <= LIMITS.covered_slope
    assert seeing.flat < 0.5
    assert seeing.steepest > 2 * LIMITS.covered_slope


def test_a_hand_before_the_lens_is_without_detail_however_it_is_lit() -> None:
    coarse = np.random.default_rng(0).uniform(10, 110, (3, 4)).astype(np.float32)
    shades = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    hand = np.repeat(cv2.GaussianBlur(shades, (0, 0), 20)[..., None], 3, 2).clip(0, 255).astype(np.uint8)
    signs = picture_signs(hand)
    assert signs.contrast > 0.04
    assert signs.flat >= LIMITS.covered_flat
    assert signs.steepest <= LIMITS.covered_slope


def test_a_lamp_in_the_dark_is_something_to_see() -> None:
    night = np.full((HEIGHT, WIDTH, 3), 4, np.uint8)
    cv2.circle(night, (200, 60), 4, (200, 190, 170), -1)
    assert picture_signs(night).steepest > LIMITS.covered_slope


def test_white_and_black_pixels_are_counted() -> None:
    picture = np.full((100, 200, 3), 128, np.uint8)
    picture[:30], picture[50:90] = 255, 0
    signs = picture_signs(picture)
    assert (signs.blown, signs.dark) == (pytest.approx(0.3), pytest.approx(0.4))


@pytest.mark.parametrize(
    ("level", "blown", "dark"), [(WHITE, 1, 0), (WHITE - 1, 0, 0), (BLACK, 0, 1), (BLACK + 1, 0, 0)]
)
def test_the_levels_that_hold_no_detail_count_themselves(level: int, blown: float, dark: float) -> None:
    signs = picture_signs(np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    assert (signs.blown, signs.dark) == (blown, dark)


@given(st.floats(0.1, 0.8))
def test_a_veil_raises_the_veils_share_and_lowers_contrast(density: float) -> None:
    clear = drawn()
    veiled = (clear * (1 - density) + 200 * density).astype(np.uint8)
    before, after = picture_signs(clear), picture_signs(veiled)
    assert after.veil > before.veil
    assert after.contrast < before.contrast


def test_grey_pictures_have_no_colour_and_a_tint_is_none_either() -> None:
    infrared = np.repeat(grey(drawn())[..., None], 3, 2)
    tinted = (infrared * np.array([0.5, 0.5, 0.55])).astype(np.uint8)
    assert picture_signs(infrared).colour < LIMITS.infrared_colour
    assert picture_signs(tinted).colour < picture_signs(drawn()).colour / 5


@given(st.floats(1.2, 3))
def test_edges_widen_with_blur_whatever_the_brightness(sigma: float) -> None:
    sharp = grey(drawn())
    blurred = cv2.GaussianBlur(sharp, (0, 0), sigma)
    assert edge_width(blurred) > 1.3 * edge_width(sharp)  # type: ignore[arg-type]
    assert edge_width((sharp * 0.4).astype(np.uint8)) == pytest.approx(edge_width(sharp), rel=0.1)


def test_a_scene_without_edges_has_no_edge_width() -> None:
    assert np.isnan(edge_width(np.full((HEIGHT, WIDTH), 30, np.uint8)))
    assert edge_width(grey(drawn())) < EDGE_WINDOW


def test_one_small_lamp_in_the_dark_tells_nothing_of_focus() -> None:
    night = np.full((HEIGHT, WIDTH), 3, np.uint8)
    night[90:92, 160:162] = 230
    assert np.isnan(edge_width(night))


@given(st.integers(-40, 40), st.integers(-20, 20))
def test_a_shift_is_found_to_the_pixel(dx: int, dy: int) -> None:
    large = grey(cv2.resize(drawn(3), (480, 270)))  # type: ignore[arg-type]
    here = large[45:225, 80:400]
    there = large[45 + dy : 225 + dy, 80 + dx : 400 + dx]
    shift = shift_between(there, here)
    assert shift.share * WIDTH == pytest.approx(np.hypot(dx, dy), abs=1)
    assert shift.match > 0.8


def test_a_lamp_that_goes_on_moves_nothing() -> None:
    scene = grey(drawn())
    lit = np.clip(scene * 1.5 + 20, 0, 255).astype(np.uint8)
    assert shift_between(lit, scene).share < LIMITS.moved_share / 2


def test_a_few_lamps_in_the_dark_stand_where_they_stood() -> None:
    lamps = np.full((HEIGHT, WIDTH), 3, np.uint8)
    for x, y in ((40, 50), (130, 120), (220, 40), (290, 150)):
        cv2.circle(lamps, (x, y), 2, 230, -1)
    same, turned = (shift_between(np.roll(lamps, by, 1), lamps) for by in (0, 16))
    assert same.share < LIMITS.moved_share
    assert turned.share == pytest.approx(16 / WIDTH, abs=0.01)
    assert min(same.match, turned.match) > LIMITS.moved_match


def test_pictures_that_are_kept_larger_put_no_camera_out_of_focus() -> None:
    scene = cv2.GaussianBlur(cv2.resize(drawn(), (1920, 1080)), (0, 0), 3.0)
    usual, larger = (edge_width(still_scene([narrow(scene, width)])) for width in (640, 1280))  # type: ignore[arg-type]
    assert larger < max(LIMITS.defocused_times * usual, usual + LIMITS.defocused_px)


def test_another_scene_does_not_match() -> None:
    assert shift_between(grey(drawn(1)), grey(drawn(2))).match < LIMITS.moved_match


def test_traffic_is_not_part_of_the_still_scene() -> None:
    frames = [drawn() for _ in range(9)]
    for k, frame in enumerate(frames):
        frame[60:120, 30 * k : 30 * k + 30] = 255
    np.testing.assert_array_equal(still_scene(frames), grey(drawn()))


def test_a_recorder_that_is_set_to_another_size_in_the_night_leaves_the_scene_as_it_was() -> None:
    smaller = cv2.resize(drawn(), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    scene = still_scene([drawn(), drawn(), smaller, drawn(), smaller])  # type: ignore[list-item]
    np.testing.assert_array_equal(scene, grey(drawn()))


def real(name: str, count: int = 12) -> list[Picture]:
    capture = cv2.VideoCapture(str(DATA / name))
    frames = [capture.read() for _ in range(count)]
    capture.release()
    return [np.ascontiguousarray(f[:, :, ::-1]) for ok, f in frames if ok]  # type: ignore[misc]


real_footage = pytest.mark.skipif(not (DATA / "night").is_dir(), reason=f"no real footage at {DATA}")
FIXED = ("train/fixed_campus.avi", "train/fixed_people.mp4", "train/highway_b.mp4")


@real_footage
def test_a_real_infrared_camera_has_no_colour_and_others_have() -> None:
    assert picture_signs(real("night/infrared_trail.mp4", 1)[0]).colour < LIMITS.infrared_colour
    assert all(picture_signs(real(name, 1)[0]).colour > 10 * LIMITS.infrared_colour for name in FIXED)


@real_footage
@pytest.mark.parametrize("name", FIXED)
def test_a_real_fixed_camera_is_neither_moved_nor_out_of_focus_nor_covered(name: str) -> None:
    frames = real(name, 24)
    first, second = still_scene(frames[:12]), still_scene(frames[12:])
    shift = shift_between(second, first)
    assert shift.share < LIMITS.moved_share
    assert shift.match > LIMITS.moved_match
    assert edge_width(second) < LIMITS.defocused_times * edge_width(first)
    assert picture_signs(frames[0]).flat < LIMITS.covered_flat


@real_footage
@pytest.mark.parametrize("name", FIXED)
def test_a_real_camera_out_of_focus_is_seen_at_once(name: str) -> None:
    scene = still_scene(real(name))
    assert edge_width(cv2.GaussianBlur(scene, (0, 0), 3)) > LIMITS.defocused_times * edge_width(scene)  # type: ignore[arg-type]


@real_footage
def test_real_scenes_do_not_match_each_other() -> None:
    first, second = (still_scene(real(name)) for name in FIXED[:2])
    assert shift_between(first, second).match < LIMITS.moved_match
