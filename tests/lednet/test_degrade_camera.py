"""What a mine's air and camera add keeps its physics: fog, lit dust, lamps, depth, vibration, noise, few pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lednet.degrade import (
    Response,
    add_dust,
    add_fog,
    add_row_noise,
    blur_in_depth,
    darken_locally,
    defocus_kernels,
    draw_nearness,
    interpolate,
    light_dust,
    linear_to_srgb,
    lower_resolution,
    shake_paths,
    srgb_to_linear,
    to_infrared,
    transform_coding,
    vibration_kernels,
)

Draw = Callable[[int, int], Tensor]
seeds = st.integers(0, 2**32 - 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def centre_of_mass(image: Tensor) -> tuple[float, float]:
    """Of a [h, w] tensor, in pixels from its top left."""
    ys, xs = (torch.arange(n).float() for n in image.shape)
    return float(image.sum(1) @ ys / image.sum()), float(image.sum(0) @ xs / image.sum())


# Response curves

CURVES = ("srgb", 2.2, 1.0, (0.0, 0.3, 0.7, 1.0))


@pytest.mark.parametrize("curve", CURVES)
def test_a_response_and_its_inverse_change_nothing(curve: str | float | tuple[float, ...]) -> None:
    x = torch.linspace(0, 1, 101)
    response = Response(curve)
    torch.testing.assert_close(response.to_stored(response.to_linear(x)), x, rtol=0, atol=1e-5)


def test_a_measured_curve_passes_through_its_points() -> None:
    response = Response((0.0, 0.5, 0.8, 1.0))
    light = torch.tensor([0.0, 1 / 3, 2 / 3, 1.0])
    torch.testing.assert_close(response.to_stored(light), torch.tensor([0.0, 0.5, 0.8, 1.0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "curve",
    ["rec709", 0.0, -1.0, 1000.0, float("inf"), float("nan"), True, None, [0.0, 1.0], (0.0, 0.5),
     (0.0, 0.6, 0.5, 1.0), (0.0, 0.5, 0.5, 1.0), (0.0, 1e-50, 1.0), (0.0, "a", 1.0), (False, True), (1.0,)],
)  # fmt: skip
def test_a_curve_that_does_not_rise_from_0_to_1_is_refused(curve: Any) -> None:
    with pytest.raises(ValueError, match="response"):
        Response(curve)


# Blur


@given(size=st.floats(0, 8), seed=seeds)
def test_kernels_of_vibration_and_defocus_sum_to_one(size: float, seed: int) -> None:
    for kernels in (vibration_kernels(torch.tensor([size]), seeded(seed)), defocus_kernels(torch.tensor([size]))):
        assert kernels.min() >= 0
        assert kernels.sum().item() == pytest.approx(1, abs=1e-4)


def test_a_vibrating_point_is_brightest_at_the_ends_of_its_swing() -> None:
    kernel = vibration_kernels(torch.tensor([6.0]), seeded(3), points=256)[0]
    offset = torch.arange(25) - 12
    distance = (offset[:, None] ** 2 + offset[None] ** 2).float().sqrt()
    assert kernel[distance > 4.5].sum() > kernel[distance < 3].sum()


def test_a_defocused_point_becomes_a_disc_of_the_radius() -> None:
    kernel = defocus_kernels(torch.tensor([4.0]))[0]
    assert kernel[12, 12] == kernel[12, 15] > 0
    assert kernel[12, 18] == 0


# A camera that moves past things


@given(seed=seeds, length=st.floats(0, 24), parallax=st.floats(0, 1.5))
def test_an_even_image_stays_even_whatever_moves_in_front_of_what(seed: int, length: float, parallax: float) -> None:
    even, generator = torch.full((2, 3, 33, 40), 0.37), seeded(seed)
    path = shake_paths(torch.full((2,), length), generator)
    moved = blur_in_depth(even, draw_nearness(even, generator), path, torch.tensor([parallax, 0.0]))
    torch.testing.assert_close(moved, even, rtol=0, atol=1e-5)


@given(seed=seeds, length=st.floats(2, 20))
def test_what_is_far_moves_less_and_neither_near_nor_far_leaves_its_place(seed: int, length: float) -> None:
    dots = torch.zeros(1, 1, 41, 120)
    dots[..., 20, 30] = dots[..., 20, 90] = 1.0
    near = torch.zeros(1, 1, 41, 120)
    near[..., :60] = 1.0
    moved = blur_in_depth(dots, near, shake_paths(torch.tensor([length]), seeded(seed)), torch.tensor([0.7]))[0, 0]
    left, right = moved[:, :60], moved[:, 60:]
    for half in (left, right):
        assert half.sum().item() == pytest.approx(1, abs=1e-3)
        assert centre_of_mass(half) == (pytest.approx(20, abs=0.1), pytest.approx(30, abs=0.1))
    assert right.max() > left.max()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_path_of_y_and_x_smears_along_its_axis(axis: int) -> None:
    path = torch.zeros(1, 64, 2)
    path[..., axis] = torch.linspace(-8, 8, 64)
    dot = torch.zeros(1, 1, 41, 41)
    dot[..., 20, 20] = 1.0
    smeared = blur_in_depth(dot, torch.ones_like(dot), path, torch.zeros(1))[0, 0]
    ys, xs = torch.nonzero(smeared > 1e-3, as_tuple=True)
    spread = [int(places.max() - places.min()) for places in (ys, xs)]
    assert spread[axis] in (16, 17)
    assert spread[1 - axis] <= 1


def test_cameras_begin_to_shake_in_any_direction() -> None:
    paths = shake_paths(torch.full((64,), 20.0), seeded())
    begun = paths[:, 1] - paths[:, 0]
    assert all(16 < (begun[:, axis] > 0).sum() < 48 for axis in (0, 1))


def test_the_path_of_a_shake_is_as_long_as_asked_and_straight_or_curved() -> None:
    paths = shake_paths(torch.full((64,), 20.0), seeded())
    steps = paths.diff(dim=1).norm(dim=2)
    torch.testing.assert_close(steps, torch.full_like(steps, 20 / 64), rtol=1e-3, atol=0)
    reached = (paths[:, -1] - paths[:, 0]).norm(dim=1)
    assert (reached > 19).any()
    assert (reached < 12).any()


def test_cameras_vibrate_in_any_direction() -> None:
    kernels = vibration_kernels(torch.full((64,), 6.0), seeded())
    place = (torch.arange(25) - 12.0) ** 2
    steep = kernels.sum(2) @ place > kernels.sum(1) @ place
    assert 16 < steep.sum() < 48


@given(seed=seeds)
def test_with_whole_parallax_only_the_near_things_move(seed: int) -> None:
    x = torch.rand((1, 3, 30, 80), generator=seeded(seed))
    near = torch.zeros(1, 1, 30, 80)
    near[..., :40] = 1.0
    moved = blur_in_depth(x, near, shake_paths(torch.tensor([14.0]), seeded(seed)), torch.ones(1))
    torch.testing.assert_close(moved[..., 55:], x[..., 55:], rtol=0, atol=1e-5)
    assert (moved[..., :25] - x[..., :25]).abs().mean() > 0.05


@given(seed=seeds, height=st.integers(1, 50), width=st.integers(1, 50))
def test_every_part_of_an_image_is_near_far_or_between(seed: int, height: int, width: int) -> None:
    near = draw_nearness(torch.zeros(3, 3, height, width), seeded(seed))
    assert near.shape == (3, 1, height, width)
    assert near.min() >= 0
    assert near.max() <= 1


# Air


def test_fog_takes_the_top_and_leaves_the_bottom() -> None:
    linear = torch.full((1, 3, 40, 16), 0.05)
    foggy = add_fog(linear, torch.tensor([0.6]), seeded())
    assert foggy[0, 0, 0].mean() > 0.05 + 0.6 * 0.2
    torch.testing.assert_close(foggy[..., -1, :], linear[..., -1, :], rtol=0, atol=1e-3)


def test_no_fog_changes_nothing() -> None:
    linear = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(add_fog(linear, torch.zeros(2), seeded()), linear)


def test_fog_is_grey() -> None:
    fog = add_fog(torch.zeros(4, 3, 16, 16), torch.full((4,), 0.8), seeded())
    assert torch.equal(fog, fog[:, :1].expand_as(fog))
    assert fog[:, 0, 0, 0].min() >= 0.8 * 0.3
    assert fog.max() <= 0.8 * 0.8


def test_dust_takes_no_more_light_than_its_density_and_gives_its_own() -> None:
    density = torch.full((16,), 0.6)
    bright, black = (add_dust(torch.full((16, 3, 24, 32), level), density, seeded()) for level in (1000.0, 0.0))
    assert bright.min() >= 1000 * (1 - 0.6)
    assert bright.max() <= 1000 + 1e-3
    assert black.min() >= 0
    assert 0.6 * 0.2 * 0.9 < black.max() <= 0.6 * 0.7 * 1.1


def test_lit_dust_keeps_the_light_and_needs_a_lamp() -> None:
    linear = torch.full((1, 3, 64, 64), 0.2)
    torch.testing.assert_close(light_dust(linear, torch.tensor([0.7])), linear)
    linear[..., 30:34, 30:34] = 6.0
    glowing = light_dust(linear, torch.tensor([0.7]))
    assert glowing.sum().item() == pytest.approx(linear.sum().item(), rel=1e-5)
    assert glowing[0, 0, 32, 40] > 0.2
    assert glowing[0, 0, 32, 32] < 6.0


def test_a_lamp_leaves_a_place_as_it_is_and_darkens_the_rest() -> None:
    x = torch.full((1, 3, 64, 96), 0.5)
    dark = darken_locally(x, torch.tensor([0.8]), seeded(1))
    assert dark.max() > 0.48
    assert dark.min() < 0.4
    assert dark.min() >= 0.5 * 0.2


# Sensor


def test_row_noise_is_one_offset_a_row_and_colour() -> None:
    x = linear_to_srgb(torch.full((1, 3, 200, 16), 0.3))
    noise = srgb_to_linear(add_row_noise(x, torch.tensor([0.01]), seeded())) - 0.3
    torch.testing.assert_close(noise[..., :1].expand_as(noise), noise)
    torch.testing.assert_close(noise[:, :1].expand_as(noise), noise)
    assert noise[0, 0, :, 0].std().item() == pytest.approx(0.01, rel=0.2)


def test_infrared_has_no_colour_and_keeps_white_white() -> None:
    grey = to_infrared(torch.rand(2, 3, 8, 8))
    assert torch.equal(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(to_infrared(torch.ones(1, 3, 4, 4)), torch.ones(1, 3, 4, 4))


def test_fewer_pixels_keep_the_mean_and_lose_detail() -> None:
    linear = torch.rand(1, 3, 48, 64)
    few = lower_resolution(linear, 2.0)
    assert few.mean().item() == pytest.approx(linear.mean().item(), abs=0.01)
    assert few.std() < linear.std()
    torch.testing.assert_close(lower_resolution(linear, 1.0), linear)


def test_a_coarser_step_of_the_video_coder_means_more_error(textured: Draw) -> None:
    x = textured(32, 48)
    errors = [(transform_coding(x, torch.tensor([qp])) - x).abs().mean().item() for qp in (4.0, 24.0, 34.0, 44.0)]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]


@pytest.mark.parametrize(("factor", "size"), [(1.3, (40, 60)), (2.0, (48, 64)), (3.7, (33, 50))])
@pytest.mark.parametrize("side", [-1, -2])
def test_fewer_pixels_move_nothing(factor: float, size: tuple[int, int], side: int) -> None:
    linear = torch.rand(1, 3, *size)
    mirrored = lower_resolution(linear.flip(side), factor).flip(side)
    torch.testing.assert_close(mirrored, lower_resolution(linear, factor), rtol=0, atol=1e-5)


def test_fewer_pixels_show_a_slope_where_it_was() -> None:
    slope = torch.linspace(0, 1, 64).expand(1, 3, 32, 64)
    shown = lower_resolution(slope, 4.0)
    torch.testing.assert_close(shown[..., 4:-4], slope[..., 4:-4], rtol=0, atol=1e-4)


def test_fewer_pixels_keep_the_light_of_what_is_smaller_than_them() -> None:
    dot = torch.zeros(1, 3, 32, 32)
    dot[..., 17, 18] = 4.0
    torch.testing.assert_close(lower_resolution(dot, 4.0).sum((2, 3)), torch.full((1, 3), 4.0))


def test_infrared_sees_red_best_and_blue_least() -> None:
    red, green, blue = (to_infrared(torch.eye(3)[c].reshape(1, 3, 1, 1)).mean().item() for c in range(3))
    assert red > green > blue > 0


@pytest.mark.parametrize("qp", [22.0, 28.0, 34.0])
def test_the_video_coders_step_is_the_standards(qp: float) -> None:
    step = {22: 8, 28: 16, 34: 32}[int(qp)]  # levels, of coefficients of the orthonormal transform
    texture = torch.rand((1, 1, 64, 64), generator=seeded()).expand(-1, 3, -1, -1) * 0.6 + 0.2
    error = (transform_coding(texture, torch.tensor([qp])) - texture) * 255
    assert error.std().item() == pytest.approx(step / 12**0.5, rel=0.1)  # of rounding to multiples of the step


# Frames between frames


def test_frames_between_two_lie_on_the_way() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (16, 24, 3)).astype(np.uint8)
    first = cv2.resize(coarse, (192, 128), interpolation=cv2.INTER_CUBIC)
    between = interpolate(first, np.roll(first, 8, 1), 4)
    assert between.shape == (4, 128, 192, 3)
    assert np.array_equal(between[0], first)
    inside = np.s_[16:-16, 32:-32]
    for i in (1, 2, 3):
        assert np.abs(between[i][inside].astype(int) - np.roll(first, 2 * i, 1)[inside]).mean() < 1


def test_a_moving_lamp_becomes_a_streak_and_no_ghosts() -> None:
    frames = []
    for x in (40, 56):
        frame = np.full((96, 128, 3), 20, np.uint8)
        cv2.circle(frame, (x, 48), 6, (255, 255, 255), -1, cv2.LINE_AA)
        frames.append(frame)
    streak = interpolate(frames[0], frames[1], 8).astype(float).mean(0)[48, :, 0]
    ghosts = (frames[0].astype(float) + frames[1])[48, :, 0] / 2
    # Half-way the lamp has passed; two pictures of it know nothing of that.
    assert ghosts[48] == 20
    assert streak[47:50].min() > 80


@pytest.mark.parametrize("curve", ["srgb", 1.8, (0.0, 0.3, 0.7, 1.0)])
def test_levels_that_are_looked_up_are_the_light_of_their_values(curve: str | float | tuple[float, ...]) -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(2, 4, 32)
    response = Response(curve)
    torch.testing.assert_close(response.to_linear(levels), response.to_linear(levels.float() / 255), rtol=0, atol=0)
