"""Shares, colourfulness, lightness order and flicker are what their definitions say, written out by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lednet.noreference.plain import (
    DARK_BELOW,
    ORDER_SIDE,
    SATURATED_FROM,
    colourfulness,
    dark_share,
    flicker,
    lightness_order_error,
    saturated_share,
)

Frame = NDArray[np.uint8]


def random_frame(height: int = 40, width: int = 50, seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_dark_pixels_are_those_below_the_threshold() -> None:
    luma = np.array([[0, DARK_BELOW - 1, DARK_BELOW, 255]], np.uint8)
    assert dark_share(luma) == 0.5


def test_one_clipped_channel_is_a_saturated_pixel() -> None:
    pixels = np.zeros((1, 4, 3), np.uint8)
    pixels[0, 0, 2], pixels[0, 1] = SATURATED_FROM, 255
    pixels[0, 2] = SATURATED_FROM - 1
    assert saturated_share(pixels) == 0.5


@pytest.mark.parametrize("value", [0, 90, 255])
def test_grey_has_no_colour(value: int) -> None:
    assert colourfulness(np.full((8, 8, 3), value, np.uint8)) == 0


def test_colourfulness_is_hasler_and_suesstrunks_m3() -> None:
    frame = random_frame()
    r, g, b = (frame[:, :, i].astype(np.float64) for i in range(3))
    rg, yb = r - g, 0.5 * (r + g) - b
    m3 = math.sqrt(rg.var() + yb.var()) + 0.3 * math.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert colourfulness(frame) == pytest.approx(m3, rel=1e-4)


def test_order_is_kept_by_any_rising_curve() -> None:
    frame = (random_frame(30, 40) // 2).astype(np.uint8)
    assert lightness_order_error(frame, (2 * frame).astype(np.uint8)) == 0


def test_a_negative_loses_nearly_every_relation() -> None:
    frame = np.repeat(np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12, 1), 3, 2)
    assert lightness_order_error(frame, (255 - frame).astype(np.uint8)) == 119  # all but its own


def test_order_error_is_the_papers_sum_written_out() -> None:
    before, after = random_frame(12, 15), random_frame(12, 15, 1)
    old, new = before.max(2).ravel().tolist(), after.max(2).ravel().tolist()
    lost = sum((a >= c) != (b >= d) for c, d in zip(old, new, strict=True) for a, b in zip(old, new, strict=True))
    assert lightness_order_error(before, after) == pytest.approx(lost / len(old))


def test_large_frames_are_compared_at_the_papers_size() -> None:
    small = random_frame(ORDER_SIDE, 70)
    large = np.repeat(np.repeat(small, 4, 0), 4, 1)
    other = random_frame(ORDER_SIDE, 70, 1)
    assert lightness_order_error(large, np.repeat(np.repeat(other, 4, 0), 4, 1)) == lightness_order_error(small, other)


def test_frames_of_two_shapes_are_an_error_that_names_both() -> None:
    with pytest.raises(ValueError, match=r"\(40, 50, 3\) with \(20, 50, 3\)"):
        lightness_order_error(random_frame(), random_frame(20))


@given(start=st.floats(0, 0.5), step=st.floats(0, 0.02), frames=st.integers(3, 20))
def test_steady_fading_is_no_flicker(start: float, step: float, frames: int) -> None:
    assert flicker(start + step * np.arange(frames)) == pytest.approx(0, abs=1e-12)


def test_strobing_between_black_and_white_is_the_most_flicker() -> None:
    assert flicker([0, 1, 0, 1, 0]) == 1


def test_two_frames_tell_no_flicker() -> None:
    assert math.isnan(flicker([0.1, 0.2]))


def test_figures_are_plain_floats_and_leave_the_frame_alone() -> None:
    frame = random_frame()
    before = frame.copy()
    luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    found = [dark_share(luma), saturated_share(frame), colourfulness(frame), lightness_order_error(frame, frame)]
    assert {type(f) for f in found} == {float}
    assert np.array_equal(frame, before)
