"""Figures without a reference: each follows what it is named after, on any frame, and stays a number."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lednet.noreference.plain import DARK_BELOW, SATURATED_FROM, colourfulness, dark_share, saturated_share
from lednet.quality import CENTRE_HEIGHT, CENTRE_WIDTH, LEAST_SIDE, Quality, change, coarse_luma, measure

Frame = NDArray[np.uint8]


def plain(value: int | tuple[int, int, int], height: int = 96, width: int = 128) -> Frame:
    return np.full((height, width, 3), value, np.uint8)


def texture(height: int = 96, width: int = 128, seed: int = 0) -> Frame:
    """Rectangles with hard edges."""
    rng = np.random.default_rng(seed)
    frame = plain(40, height, width)
    for _ in range(12):
        y, x = rng.integers(0, height - 10), rng.integers(0, width - 10)
        frame[y : y + rng.integers(5, 30), x : x + rng.integers(5, 30)] = rng.integers(20, 220)
    return frame


def noisy(frame: Frame, sigma: float, seed: int = 0) -> Frame:
    """With noise of this sigma, in 0 to 1, the same in all channels."""
    noise = np.random.default_rng(seed).normal(0, 255 * sigma, frame.shape[:2])[:, :, None]
    return np.round(frame + noise).clip(0, 255).astype(np.uint8)


def luma_of(frame: Frame) -> Frame:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def blurred(frame: Frame, sigma: float) -> Frame:
    return cv2.GaussianBlur(frame, (0, 0), sigma)  # type: ignore[return-value]


@pytest.mark.parametrize("value", [0, 1, 64, 128, 255])
def test_a_plain_frame_has_its_brightness_and_its_share_and_nothing_else(value: int) -> None:
    dark, saturated = float(value < DARK_BELOW), float(value >= SATURATED_FROM)
    assert measure(plain(value)) == pytest.approx(Quality(value / 255, 0, 0, 0, dark, saturated, 0), abs=1e-6)


def test_brightness_is_luma_of_rgb() -> None:
    weights = [measure(plain(colour)).brightness for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    assert weights == pytest.approx([0.299, 0.587, 0.114], abs=0.003)


def test_contrast_is_the_deviation_of_luma() -> None:
    halves = plain(50)
    halves[:, 64:] = 150
    assert measure(halves).contrast == pytest.approx(50 / 255)


def test_brightness_and_contrast_are_of_the_whole_frame() -> None:
    frame = plain(0, 2 * CENTRE_HEIGHT, 2 * CENTRE_WIDTH)
    frame[: CENTRE_HEIGHT // 4] = 200
    assert measure(frame).brightness == pytest.approx(25 / 255)
    assert measure(frame).sharpness == 0


@pytest.mark.parametrize("sigma", [0.01, 0.02, 0.05, 0.08])
def test_noise_is_the_sigma_that_was_added(sigma: float) -> None:
    assert measure(noisy(plain(128, 360, 640), sigma)).noise == pytest.approx(sigma, rel=0.06)


def test_noise_hardly_follows_smooth_content() -> None:
    ramp = np.broadcast_to(np.linspace(20, 220, 640)[None, :, None], (360, 640, 3)).astype(np.uint8)
    assert measure(ramp).noise < 0.003
    assert measure(noisy(ramp, 0.03)).noise == pytest.approx(0.03, rel=0.1)


def test_sharpness_falls_with_every_step_of_blur() -> None:
    steps = [measure(blurred(texture(), s)).sharpness for s in (0.5, 1, 2, 4, 8)]
    assert all(a > 1.2 * b for a, b in pairwise(steps))


def test_sharpness_falls_with_motion_blur() -> None:
    kernel = np.full((1, 15), 1 / 15, np.float32)
    assert measure(cv2.filter2D(texture(), -1, kernel)).sharpness < 0.7 * measure(texture()).sharpness  # type: ignore[arg-type]


def test_sharpness_is_not_rounded_to_nothing_in_the_dark() -> None:
    dark = (texture() // 16).astype(np.uint8)
    assert 0 < measure(blurred(dark, 2)).sharpness < measure(dark).sharpness


def test_noise_and_sharpness_are_those_of_the_middle() -> None:
    middle = texture(CENTRE_HEIGHT, CENTRE_WIDTH)
    frame = noisy(plain(90, 3 * CENTRE_HEIGHT, 3 * CENTRE_WIDTH), 0.2)
    frame[CENTRE_HEIGHT : 2 * CENTRE_HEIGHT, CENTRE_WIDTH : 2 * CENTRE_WIDTH] = middle
    assert measure(frame)[2:4] == pytest.approx(measure(middle)[2:4])


def test_shares_and_colour_of_every_fourth_pixel_are_nearly_those_of_all() -> None:
    frame = noisy(texture(360, 640), 0.2)
    figures = measure(frame)
    assert figures.dark_share == pytest.approx(dark_share(luma_of(frame)), abs=0.01)
    assert figures.saturated_share == pytest.approx(saturated_share(frame), abs=0.01)
    assert figures.colourfulness == pytest.approx(colourfulness(frame), abs=1)


def test_single_clipped_pixels_are_not_averaged_away() -> None:
    frame = plain(100)
    frame[::2, ::2] = 255
    assert measure(frame).saturated_share == 1  # every fourth of every fourth is one of them


@pytest.mark.parametrize("side", range(1, LEAST_SIDE + 3))
def test_the_smallest_frames_have_finite_figures(side: int) -> None:
    for height, width in ((side, side), (side, 64), (64, side)):
        figures = measure(noisy(plain(100, height, width), 0.1))
        assert np.isfinite(figures).all()
        assert (figures.noise, figures.sharpness) == (0, 0) if side < LEAST_SIDE else figures.noise > 0


@pytest.mark.parametrize("frame", [
    np.ones((32, 32, 3), np.float32), np.ones((32, 32), np.uint8), np.ones((32, 32, 4), np.uint8),
    np.ones((0, 32, 3), np.uint8),
])  # fmt: skip
def test_anything_but_a_uint8_rgb_frame_is_refused(frame: Frame) -> None:
    with pytest.raises(ValueError, match="a frame is uint8"):
        measure(frame)


def test_figures_are_plain_floats() -> None:
    assert all(type(value) is float for value in measure(texture()))


def test_figures_stay_in_their_ranges() -> None:
    extremes = [texture(seed=3), noisy(plain(128), 1.0), plain((255, 0, 255))]
    board = plain(0)
    board[::2, ::2] = board[1::2, 1::2] = 255
    for frame in [*extremes, board]:
        figures = measure(frame)
        assert 0 <= figures.brightness <= 1
        assert 0 <= figures.contrast <= 0.5
        assert figures.noise >= 0
        assert figures.sharpness >= 0
        assert 0 <= figures.dark_share <= 1
        assert 0 <= figures.saturated_share <= 1
        assert figures.colourfulness >= 0


def test_views_that_are_not_contiguous_are_measured_alike() -> None:
    frame = texture()
    assert measure(frame[:, ::-1]) == pytest.approx(measure(np.ascontiguousarray(frame[:, ::-1])))
    assert measure(frame[:, :, ::-1]) == pytest.approx(measure(np.ascontiguousarray(frame[:, :, ::-1])))


def test_mirroring_changes_no_figure() -> None:
    # Shares and colourfulness are of a subsample, which lies elsewhere in the mirror.
    assert measure(texture()[:, ::-1])[:4] == pytest.approx(measure(texture())[:4], rel=1e-4)


def test_the_frame_is_left_as_it_is() -> None:
    frame = texture()
    before = frame.copy()
    measure(frame)
    assert np.array_equal(frame, before)


def test_change_is_zero_where_half_of_the_picture_repeats_and_the_step_of_the_rest_where_it_does_not() -> None:
    frame = np.random.default_rng(0).integers(0, 200, (192, 256, 3)).astype(np.uint8)
    part, whole = frame.copy(), frame + 2
    part[:60] = 0
    here = coarse_luma(frame)
    assert change(here, coarse_luma(part)) == 0
    assert change(here, coarse_luma(whole.astype(np.uint8))) == pytest.approx(2)


@pytest.mark.parametrize("frame", [plain(0), plain(90, 7, 9), texture(12, 12)])
def test_change_of_a_picture_that_shows_nothing_or_is_tiny_is_not_known(frame: Frame) -> None:
    assert np.isnan(change(coarse_luma(frame), coarse_luma(frame)))
