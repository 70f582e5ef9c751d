"""The tone curve sees the frame's tones and noise, is one curve a frame, and undoes nothing by itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lednet.light import (
    DEVIATIONS,
    FIGURES,
    LOOK_FIGURES,
    LOOK_TONES,
    LOOKS,
    MOST_COLOUR,
    MOST_CONTRAST,
    NOISE_FIGURES,
    NOISE_TONES,
    QUANTILES,
    SAMPLE_STRIDE,
    TONES,
    Standardise,
    ToneCurve,
    apply_curve,
    as_bright_as,
    lift,
    quantiles,
    tone_statistics,
)


def histogram_of(x: torch.Tensor) -> torch.Tensor:
    return tone_statistics(x)[:, : 3 * TONES, 0, 0].reshape(-1, 3, TONES)


def noise_of(x: torch.Tensor) -> torch.Tensor:
    return tone_statistics(x)[:, -NOISE_FIGURES:, 0, 0].reshape(-1, NOISE_TONES, DEVIATIONS)


def looks_of(x: torch.Tensor) -> torch.Tensor:
    """[n, 2, LOOK_TONES, LOOKS]: of colours, of contrasts."""
    looks = tone_statistics(x)[:, 3 * TONES : -NOISE_FIGURES, 0, 0]
    return looks.reshape(-1, 2, LOOK_TONES, LOOKS)


def strengths_of(x: torch.Tensor) -> torch.Tensor:
    """Mean place, 0 to 1, of the strengths of colours and of contrasts: [n, 2]."""
    return (looks_of(x).sum(2) * torch.linspace(0, 1, LOOKS)).sum(2)


@given(level=st.floats(0, 1), height=st.integers(16, 40), width=st.integers(16, 24))
def test_the_shares_of_all_tones_sum_to_one_in_each_channel(level: float, height: int, width: int) -> None:
    x = torch.full((1, 3, height, width), level)
    torch.testing.assert_close(histogram_of(x).sum(2), torch.ones(1, 3))
    torch.testing.assert_close(noise_of(x).sum((1, 2)), torch.ones(1))
    torch.testing.assert_close(looks_of(x).sum((2, 3)), torch.ones(1, 2))


def test_a_flat_frame_falls_into_the_bin_of_its_lifted_tone() -> None:
    tone = 7 / (TONES - 1)
    assert histogram_of(torch.full((1, 3, 16, 16), tone**2.2))[0, 0, 7].item() == pytest.approx(1, abs=1e-3)


def test_noise_is_told_by_the_tone_that_it_sits_on() -> None:
    x = torch.full((1, 3, 64, 64), 0.02)
    x[..., 32:] = 0.9
    noisy = x.clone()
    noisy[..., 32:] += 0.05 * torch.randn(1, 3, 64, 32)
    more = noise_of(noisy.clamp(0, 1))[0] - noise_of(x)[0]
    assert more[-1, 1:].sum() > 0.3
    assert more[0].abs().sum() < 1e-3


@pytest.mark.parametrize(("gamma", "which"), [(1.0, 0), (2.0, 0), (1.0, 1), (2.0, 1)])
def test_colours_and_contrasts_are_as_strong_as_the_darkness_makes_them(gamma: float, which: int) -> None:
    x = torch.full((1, 3, 32, 32), 0.8)
    if which == 0:
        x[:, 2] = 0.6
    else:
        x[:, :, 8:16] = x[:, :, 24:] = 0.6
    apart = gamma * math.log(0.8 / 0.6)
    # Of contrasts, half of all pairs stand beside each other and are alike.
    expected = (apart / MOST_COLOUR) ** 0.5 if which == 0 else (apart / MOST_CONTRAST) ** 0.5 / 2
    assert strengths_of(x**gamma)[0, which].item() == pytest.approx(expected, abs=0.01)


def test_a_grey_flat_frame_has_neither_colour_nor_contrast() -> None:
    assert strengths_of(torch.full((1, 3, 32, 32), 0.3)).max() < 0.01


def test_a_frame_smaller_than_a_square_has_no_colour_that_could_be_told() -> None:
    assert looks_of(torch.rand(1, 3, 7, 40)).abs().max() == 0


def test_a_curve_of_before_colours_and_contrasts_is_the_same_curve() -> None:
    torch.manual_seed(1)
    light = ToneCurve().eval()
    for weights in light.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    before, begin = light.state_dict(), 3 * len(QUANTILES)
    for name in ("scale.mean", "scale.variance", "mlp.0.weight"):
        assert before[name].shape[1] == FIGURES
        before[name] = torch.cat([before[name][:, :begin], before[name][:, begin + LOOK_FIGURES :]], 1)
    light.load_state_dict(before)
    first = light.mlp[0]
    statistics = tone_statistics(torch.rand(2, 3, 32, 32))
    told = light.figures(statistics)
    known = torch.cat([told[:, :begin], told[:, begin + LOOK_FIGURES :]], 1)
    expected = torch.nn.functional.conv2d(known, before["mlp.0.weight"], before["mlp.0.bias"])
    torch.testing.assert_close(first(told), expected)


def test_a_frames_statistics_are_the_mean_of_its_halves() -> None:
    x = torch.rand(1, 3, 32, 64)
    # The 3x3 neighbourhood of a sampled pixel never crosses the border: halves begin on the sampling grid.
    assert 32 % SAMPLE_STRIDE == 0
    halves = tone_statistics(x[..., :32]) + tone_statistics(x[..., 32:])
    torch.testing.assert_close(tone_statistics(x), halves / 2)


def test_quantiles_are_those_of_the_values_to_a_bin() -> None:
    torch.manual_seed(1)
    x = torch.rand(1, 3, 512, 512).repeat_interleave(4, 2).repeat_interleave(4, 3) ** 2
    expected = x[0, :, ::4, ::4].flatten(1).quantile(torch.tensor(QUANTILES), 1).t()
    torch.testing.assert_close(lift(quantiles(histogram_of(x))[0]), lift(expected), atol=1 / TONES, rtol=0)


def test_figures_are_standardised_by_all_that_training_showed() -> None:
    torch.manual_seed(1)
    scale, batches = Standardise(4), 3 + 2 * torch.randn(50, 16, 4, 1, 1)
    for batch in batches:
        scale(batch)
    everything = batches.flatten(0, 1)
    torch.testing.assert_close(scale.mean, everything.mean(0, keepdim=True))
    torch.testing.assert_close(scale.variance, everything.var(0, keepdim=True, unbiased=False), rtol=0.1, atol=0)


def test_figures_are_left_to_the_past_when_not_training() -> None:
    scale = Standardise(4).eval()
    x = torch.full((2, 4, 1, 1), 0.5)
    torch.testing.assert_close(scale(x), x, rtol=1e-3, atol=0)
    assert scale.seen == 0


def test_an_untrained_curve_is_the_fixed_lift() -> None:
    x, light = torch.rand(2, 3, 16, 16), ToneCurve()
    torch.testing.assert_close(apply_curve(x, *light(light.figures(tone_statistics(x)))), lift(x))


def test_the_curve_is_one_a_channel_and_fp32_under_bf16() -> None:
    light = ToneCurve().eval().bfloat16()
    torch.nn.init.normal_(light.curve.weight)
    gain, power, offset = light(light.figures(tone_statistics(torch.rand(2, 3, 16, 16))))
    assert gain.shape == power.shape == offset.shape == (2, 3, 1, 1)
    assert gain.min() > 0
    assert power.min() > 0
    assert gain.dtype == power.dtype == offset.dtype == torch.float32


def test_tied_curves_are_one_the_mean_of_the_three() -> None:
    light = ToneCurve().eval()
    torch.nn.init.normal_(light.curve.weight, std=0.1)
    figures = light.figures(tone_statistics(torch.rand(2, 3, 16, 16)))
    with torch.no_grad():
        apart = light.curve(light.mlp(figures)).reshape(2, 3, 3).mean(2)
        light.tie()
        together = light.curve(light.mlp(figures)).reshape(2, 3, 3)
    torch.testing.assert_close(together, apart[:, :, None].expand(2, 3, 3))


def smooth_picture() -> torch.Tensor:
    """Light that runs from 0.1 to 0.9, in squares of 8 pixels: [1, 3, 32, 48]."""
    values = torch.linspace(0.1, 0.9, 4 * 6).reshape(1, 1, 4, 6).expand(1, 3, 4, 6)
    return values.repeat_interleave(8, 2).repeat_interleave(8, 3)


@given(gain=st.floats(0.6, 1.1), power=st.floats(0.5, 2.0))
def test_a_label_that_is_a_power_and_a_gain_away_is_reached(gain: float, power: float) -> None:
    exposed = smooth_picture()
    label = gain * exposed**power
    torch.testing.assert_close(as_bright_as(exposed, label), label, rtol=0, atol=0.03)


def test_channels_are_brought_to_their_own_light() -> None:
    exposed = smooth_picture()
    label = exposed * torch.tensor([0.5, 0.8, 1.0]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(as_bright_as(exposed, label), label, rtol=0, atol=0.01)


def test_light_that_is_right_already_is_left_alone() -> None:
    exposed = smooth_picture()
    torch.testing.assert_close(as_bright_as(exposed, exposed), exposed, rtol=0, atol=1e-4)


def test_noise_and_fine_detail_stay_when_the_light_is_corrected() -> None:
    noise = 0.05 * torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    noise = noise - torch.nn.functional.avg_pool2d(noise, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    corrected = as_bright_as(smooth_picture() + noise, smooth_picture())
    torch.testing.assert_close(corrected - smooth_picture(), noise, rtol=0, atol=0.01)


@given(exposed=st.floats(-0.05, 1.3), label=st.floats(0, 1))
def test_flat_and_black_pictures_get_finite_light(exposed: float, label: float) -> None:
    corrected = as_bright_as(torch.full((1, 3, 16, 16), exposed), torch.full((1, 3, 16, 16), label))
    assert torch.isfinite(corrected).all()
    if exposed > 0.1 and label > 0.1:
        torch.testing.assert_close(corrected, torch.full_like(corrected, label), rtol=0, atol=1e-3)
