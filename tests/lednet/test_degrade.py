"""Every step of the degradation keeps its physics, and equal seeds give equal pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lednet.degrade import (
    RECIPES,
    Recipe,
    add_dust,
    add_sensor_noise,
    average_burst,
    blur,
    darken,
    degrade,
    jpeg,
    linear_to_srgb,
    make_night,
    restore_highlights,
    shake_kernels,
    srgb_to_linear,
    uniform,
)
from lednet.degrade import compression as module
from lednet.degrade.blur import kernel_side

Draw = Callable[[int, int], Tensor]
seeds = st.integers(0, 2**32 - 1)
NO_BOOST = torch.ones(1, 1, 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def each(*values: float) -> Tensor:
    return torch.tensor(values)


def as_image(tensor: Tensor) -> np.ndarray:
    """[1, 3, h, w] in [0, 1] -> uint8 BGR for OpenCV."""
    return np.ascontiguousarray((tensor[0] * 255).round().byte().permute(1, 2, 0).numpy()[:, :, ::-1])


def centre_of_mass(image: Tensor) -> tuple[float, float]:
    """Of a [h, w] tensor, in pixels from its top left."""
    y = (image.sum(1) * torch.arange(image.shape[0])).sum() / image.sum()
    x = (image.sum(0) * torch.arange(image.shape[1])).sum() / image.sum()
    return y.item(), x.item()


# Camera response


def test_srgb_to_linear_and_back_changes_nothing() -> None:
    x = torch.linspace(0, 1, 4097)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(x)), x, rtol=0, atol=2e-6)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(x)), x, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("srgb", "linear"), [(0.0, 0.0), (0.04045, 0.0031308), (0.5, 0.214041), (1.0, 1.0)])
def test_the_response_curve_is_the_standards(srgb: float, linear: float) -> None:
    assert srgb_to_linear(each(srgb)).item() == pytest.approx(linear, abs=1e-6)


def test_light_brighter_than_white_survives_the_response_curve() -> None:
    x = each(1.5, 4.0, 8.0)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(x)), x, rtol=1e-5, atol=0)


# Draws


@given(low=st.floats(0.01, 1), span=st.floats(0, 5), seed=seeds, log=st.booleans())
def test_draws_stay_within_their_bounds(low: float, span: float, seed: int, log: bool) -> None:
    draws = uniform((low, low + span), (100,), seeded(seed), log=log)
    assert draws.min() >= low * (1 - 1e-5)
    assert draws.max() <= (low + span) * (1 + 1e-5)


def test_log_uniform_draws_fill_every_decade_alike() -> None:
    draws = uniform((1e-4, 1.0), (20_000,), seeded(), log=True)
    shares = torch.histogram(draws.log10(), bins=4, range=(-4, 0)).hist / 20_000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), rtol=0, atol=0.02)


# Highlights and the burst average


def test_only_pixels_clipped_in_every_channel_are_taken_for_brighter_than_white() -> None:
    linear = torch.tensor([[1.0, 1.0, 0.5], [1.0, 0.9, 0.5], [1.0, 1.0, 0.5]]).reshape(1, 3, 1, 3)
    restored = restore_highlights(linear, torch.full((1, 1, 1, 1), 4.0))
    torch.testing.assert_close(restored[0, :, 0, 0], torch.full((3,), 4.0))
    assert torch.equal(restored[..., 1:], linear[..., 1:])


def test_the_average_of_equal_frames_is_the_frame() -> None:
    frame = torch.rand(3, 9, 11) * 0.95
    burst = frame.expand(7, -1, -1, -1)
    torch.testing.assert_close(linear_to_srgb(average_burst(burst, NO_BOOST)), frame, rtol=0, atol=1e-5)


def test_a_burst_is_averaged_in_linear_light_as_equation_1_says() -> None:
    frames = torch.rand(5, 3, 6, 6, dtype=torch.float64) * 0.9
    s = frames.numpy()
    g_inverse = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(average_burst(frames, NO_BOOST).numpy(), g_inverse.mean(0), atol=1e-9)
    assert not np.allclose(linear_to_srgb(average_burst(frames, NO_BOOST)).numpy(), s.mean(0), atol=1e-3)


def test_a_moving_lamp_smears_into_a_brighter_streak_when_its_clipping_is_undone() -> None:
    frames = torch.full((9, 3, 9, 25), 0.1)
    for i in range(9):
        frames[i, :, 3:6, 2 * i + 3 : 2 * i + 6] = 1.0
    clipped, restored = (
        linear_to_srgb(average_burst(frames, torch.full((1, 1, 1), boost)).clamp(0, 1)) for boost in (1.0, 6.0)
    )
    assert (restored[:, 3:6, 4:21] > clipped[:, 3:6, 4:21] + 0.1).all()
    torch.testing.assert_close(restored[:, :3], clipped[:, :3])


def test_a_shaken_lamp_smears_into_a_brighter_streak_when_its_clipping_is_undone() -> None:
    linear = torch.full((1, 3, 41, 41), 0.02)
    linear[..., 19:22, 19:22] = 1.0
    kernels = shake_kernels(each(14.0), seeded(2))
    streaks = [
        linear_to_srgb(blur(restore_highlights(linear, torch.full((1, 1, 1, 1), boost)), kernels).clamp(0, 1))
        for boost in (1.0, 6.0)
    ]
    touched = streaks[0] > linear_to_srgb(each(0.03))
    assert touched.sum() > 9 * 3
    assert (streaks[1] > streaks[0])[touched].all()


# Camera shake


@given(length=st.floats(0, 23.9), seed=seeds)
def test_a_shake_kernel_is_centred_and_its_shares_sum_to_one(length: float, seed: int) -> None:
    kernel = shake_kernels(each(length), seeded(seed))[0]
    assert kernel.shape == (25, 25)
    assert kernel.min() >= 0
    assert kernel.sum().item() == pytest.approx(1, abs=1e-4)
    assert centre_of_mass(kernel) == (pytest.approx(12, abs=0.1), pytest.approx(12, abs=0.1))


@given(seed=seeds)
def test_a_longer_shake_spreads_further_and_none_is_a_single_point(seed: int) -> None:
    still, short, long = shake_kernels(each(0.0, 6.0, 18.0), seeded(seed))
    spread = [((k > 0).sum().item()) for k in (still, short, long)]
    assert still[12, 12].item() == pytest.approx(1, abs=1e-4)
    assert spread[0] < spread[1] < spread[2]


@given(seed=seeds, length=st.floats(0, 20))
def test_blur_leaves_an_even_image_as_it_is(seed: int, length: float) -> None:
    even = torch.full((1, 3, 20, 31), 0.37)
    torch.testing.assert_close(blur(even, shake_kernels(each(length), seeded(seed))), even, rtol=0, atol=1e-5)


@given(seed=seeds, length=st.floats(0, 20))
def test_blur_keeps_the_light_of_a_dot_and_its_place(seed: int, length: float) -> None:
    dot = torch.zeros(1, 3, 40, 40)
    dot[..., 20, 19] = 5.0
    blurred = blur(dot, shake_kernels(each(length), seeded(seed)))
    torch.testing.assert_close(blurred.sum((2, 3)), torch.full((1, 3), 5.0), rtol=1e-4, atol=0)
    assert centre_of_mass(blurred[0, 0]) == (pytest.approx(20, abs=0.1), pytest.approx(19, abs=0.1))


@pytest.mark.parametrize(("longest", "side"), [(0, 25), (24, 25), (24.5, 49), (48, 49)])
def test_kernels_are_as_large_as_their_longest_path(longest: float, side: int) -> None:
    assert kernel_side(longest) == side


def test_a_path_that_no_kernel_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="no kernel holds a path of 50 pixels"):
        kernel_side(50)


def test_a_larger_kernel_of_the_same_path_blurs_alike() -> None:
    image, length = torch.rand(1, 3, 64, 64), torch.tensor([20.0])
    blurred = [blur(image, shake_kernels(length, seeded(3), side)) for side in (25, 49)]
    torch.testing.assert_close(*blurred)


def test_an_image_smaller_than_a_kernel_keeps_its_light() -> None:
    even = torch.full((1, 3, 16, 16), 0.3)
    torch.testing.assert_close(blur(even, shake_kernels(torch.tensor([40.0]), seeded(3), 49)), even)


def test_each_image_of_a_batch_is_blurred_by_its_own_kernel() -> None:
    images, kernels = torch.rand(3, 3, 16, 18), shake_kernels(each(2.0, 8.0, 15.0), seeded())
    together = blur(images, kernels)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], blur(images[i : i + 1], kernels[i : i + 1]))


# Dust and darkness


def test_no_dust_changes_nothing_and_more_dust_lowers_contrast() -> None:
    linear = torch.rand(1, 3, 24, 30)
    contrast = [add_dust(linear, each(density), seeded(4)).std().item() for density in (0.0, 0.3, 0.8)]
    assert torch.equal(add_dust(linear, each(0.0), seeded(4)), linear)
    assert contrast[0] > contrast[1] > contrast[2]


@given(gain=st.floats(0.3, 1), gamma=st.floats(1, 4))
def test_darkness_is_c_times_i_to_the_gamma(gain: float, gamma: float) -> None:
    x = torch.rand(2, 3, 5, 5) * 0.98 + 0.01
    expected = gain * x.double().numpy() ** gamma
    np.testing.assert_allclose(darken(x, each(gain, gain), each(gamma, gamma)).numpy(), expected, rtol=1e-4, atol=1e-6)


@given(gain=st.floats(0.3, 1), gamma=st.floats(1, 4))
def test_darkness_keeps_the_order_of_brightness_and_never_brightens(gain: float, gamma: float) -> None:
    x = torch.linspace(0, 1, 256).reshape(1, 1, 1, 256)
    dark = darken(x, each(gain), each(gamma))
    assert (dark.diff() >= 0).all()
    assert (dark <= x + 2e-6).all()
    assert (darken(x, each(gain), each(gamma + 0.5)) <= dark + 1e-6).all()


# Sensor noise


@pytest.mark.parametrize(("shot", "read"), [(0.002, 0.0), (0.0, 0.01), (0.004, 0.02)])
@pytest.mark.parametrize("level", [0.3, 0.5])
def test_noise_has_variance_a_times_the_light_plus_b_squared(shot: float, read: float, level: float) -> None:
    flat = linear_to_srgb(torch.full((2, 3, 160, 160), level))
    noisy = srgb_to_linear(add_sensor_noise(flat, each(shot, shot), each(read, read), seeded(1)))
    assert noisy.var().item() == pytest.approx(shot * level + read**2, rel=0.03)
    assert noisy.mean().item() == pytest.approx(level, rel=0.01)


def test_noise_of_different_images_and_channels_is_independent() -> None:
    flat = torch.full((2, 3, 64, 64), 0.6)
    noise = add_sensor_noise(flat, each(0.004, 0.004), each(0.01, 0.01), seeded(1)) - flat
    correlation = torch.corrcoef(noise.reshape(6, -1)) - torch.eye(6)
    assert correlation.abs().max() < 0.08


def test_noise_comes_after_darkness() -> None:
    shot, read, bright = 0.004, 0.004, 0.8
    recipe = Recipe("flat", gain=(0.5, 0.5), gamma=(2.0, 2.0), shot_noise=(shot, shot), read_noise=(read, read))
    night = make_night(srgb_to_linear(torch.full((1, 3, 200, 200), bright)), recipe, seeded(3))
    dark = srgb_to_linear(each(0.5 * bright**2)).item()
    predicted = shot * dark + read**2
    assert srgb_to_linear(night).var().item() == pytest.approx(predicted, rel=0.05)


def test_a_recipe_with_one_kind_of_noise_alone_is_noisy() -> None:
    flat = torch.full((1, 3, 64, 64), 0.3)
    quiet = Recipe("quiet", gain=(1.0, 1.0), gamma=(1.0, 1.0))
    assert make_night(flat, quiet, seeded()).std() == 0
    assert make_night(flat, replace(quiet, shot_noise=(0.01, 0.01)), seeded()).std() > 0.01
    assert make_night(flat, replace(quiet, read_noise=(0.02, 0.02)), seeded()).std() > 0.01


# Compression


def peak_ratio(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10((a - b).square().mean().item())


def test_jpeg_at_full_quality_is_nearly_the_identity(textured: Draw) -> None:
    x = textured(64, 80)
    assert peak_ratio(jpeg(x, each(100.0)), x) > 40


def test_lower_jpeg_quality_means_more_error(textured: Draw) -> None:
    x = textured(64, 80)
    errors = [(jpeg(x, each(q)) - x).square().mean().item() for q in (100.0, 95.0, 80.0, 50.0, 20.0, 5.0)]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1] / 20


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95])
@pytest.mark.parametrize("size", [(64, 80), (61, 75)])
def test_jpeg_does_what_opencvs_jpeg_does(quality: int, size: tuple[int, int], textured: Draw) -> None:
    x = (textured(*size) * 255).round() / 255
    _, data = cv2.imencode(".jpg", as_image(x), [cv2.IMWRITE_JPEG_QUALITY, quality])
    theirs = torch.from_numpy(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1].copy()).permute(2, 0, 1)[None] / 255
    ours = jpeg(x, each(float(quality)))
    assert ours.shape == x.shape
    assert peak_ratio(ours, theirs) >= 35


def test_the_quantisation_tables_are_the_standards() -> None:
    _, data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 50])
    zigzag = sorted(((i, j) for i in range(8) for j in range(8)),
                    key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]))  # fmt: skip
    raw, tables, at = data.tobytes(), [], 0
    while (at := raw.find(b"\xff\xdb", at)) >= 0:  # DQT segments
        end = at + 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
        for start in range(at + 4, end, 65):
            table = np.zeros((8, 8), int)
            for place, value in zip(zigzag, raw[start + 1 : start + 65], strict=True):
                table[place] = value
            tables.append(table)
        at = end
    np.testing.assert_array_equal(tables[0], module._LUMA_TABLE)
    np.testing.assert_array_equal(tables[1], module._CHROMA_TABLE)


def test_each_image_of_a_batch_is_compressed_at_its_own_quality(textured: Draw) -> None:
    x = textured(32, 48).expand(2, -1, -1, -1)
    together = jpeg(x, each(10.0, 90.0))
    torch.testing.assert_close(together[:1], jpeg(x[:1], each(10.0)))
    torch.testing.assert_close(together[1:], jpeg(x[1:], each(90.0)))


# Recipes


@pytest.mark.parametrize("name", sorted(RECIPES))
@given(height=st.integers(13, 60), width=st.integers(13, 60), batch=st.integers(1, 3), seed=seeds)
def test_any_recipe_gives_8_bit_images_of_the_same_size(
    name: str, height: int, width: int, batch: int, seed: int
) -> None:
    sharp = torch.rand((batch, 3, height, width), generator=seeded(seed))
    night = degrade(sharp, RECIPES[name], seeded(seed))
    assert night.shape == sharp.shape
    assert night.dtype == torch.float32
    assert night.min() >= 0
    assert night.max() <= 1
    torch.testing.assert_close(night * 255, (night * 255).round(), rtol=0, atol=1e-4)


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=seeds, name=st.sampled_from(sorted(RECIPES)))
def test_night_can_be_made_of_light_beyond_white_at_any_size(height: int, width: int, seed: int, name: str) -> None:
    linear = torch.rand((2, 3, height, width), generator=seeded(seed)) * 8
    night = make_night(linear, RECIPES[name], seeded(seed))
    assert night.shape == linear.shape
    assert night.min() >= 0
    assert night.max() <= 1


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_equal_seeds_give_equal_pairs_and_others_give_others(name: str, textured: Draw) -> None:
    sharp = textured(32, 32).expand(2, -1, -1, -1)
    first, again, other = (degrade(sharp, RECIPES[name], seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_degrading_does_not_touch_the_sharp_image_or_the_global_random_state(name: str) -> None:
    sharp = torch.rand(1, 3, 16, 16)
    kept, state = sharp.clone(), torch.get_rng_state()
    degrade(sharp, RECIPES[name], seeded())
    assert torch.equal(sharp, kept)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_paper_recipe_is_equations_1_and_2_alone() -> None:
    recipe = RECIPES["paper"]
    linear = torch.rand(2, 3, 12, 14)
    expected = recipe.gain[0] * linear_to_srgb(linear) ** recipe.gamma[0]
    torch.testing.assert_close(make_night(linear, recipe, seeded()), expected, rtol=0, atol=0.6 / 255)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_night_is_darker_than_day(name: str, textured: Draw) -> None:
    sharp = textured(48, 48).expand(6, -1, -1, -1)
    assert degrade(sharp, RECIPES[name], seeded()).mean() < 0.8 * sharp.mean()
