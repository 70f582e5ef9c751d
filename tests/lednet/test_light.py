"""The tone curve sees the frame's tones and noise, is one curve a frame, and undoes nothing by itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lednet.light import NOISE_TONES, SAMPLE_STRIDE, TONES, ToneCurve, apply_curve, lift, tone_statistics


def averages(x: torch.Tensor) -> torch.Tensor:
    return tone_statistics(x).mean((2, 3), keepdim=True)


@given(level=st.floats(0, 1), height=st.sampled_from([16, 24, 40]))
def test_the_shares_of_all_tones_sum_to_one_in_each_channel(level: float, height: int) -> None:
    histogram = averages(torch.full((1, 3, height, 16), level))[0, : 3 * TONES, 0, 0].reshape(3, TONES)
    torch.testing.assert_close(histogram.sum(1), torch.ones(3))


def test_a_flat_frame_falls_into_the_bin_of_its_lifted_tone() -> None:
    tone = 7 / (TONES - 1)
    x = torch.full((1, 3, 16, 16), tone**2.2)
    histogram = averages(x)[0, :TONES, 0, 0]
    assert histogram[7].item() == pytest.approx(1, abs=1e-4)


def test_noise_is_told_by_the_tone_that_it_sits_on() -> None:
    x = torch.full((1, 3, 64, 64), 0.02)
    x[..., 32:] = 0.8
    noisy = x.clone()
    noisy[..., 32:] += 0.1 * torch.randn(1, 3, 64, 32)
    quiet, loud = (averages(v.clamp(0, 1))[0, -3 * NOISE_TONES :, 0, 0].reshape(3, NOISE_TONES)[0] for v in (x, noisy))
    more = loud - quiet
    assert more[NOISE_TONES // 2 :].sum() > 0.005
    assert more[:2].abs().sum() < 1e-3


def test_a_frames_statistics_are_the_mean_of_its_halves() -> None:
    x = torch.rand(1, 3, 32, 64)
    halves = [averages(x[..., :32]), averages(x[..., 32:])]
    # The 3x3 neighbourhood of a sampled pixel never crosses the border: halves begin on the sampling grid.
    assert 32 % SAMPLE_STRIDE == 0
    torch.testing.assert_close(averages(x), sum(halves) / 2)


def test_an_untrained_curve_is_the_fixed_lift() -> None:
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(apply_curve(x, *ToneCurve()(averages(x))), lift(x))


def test_the_curve_is_positive_one_a_channel_and_fp32_under_bf16() -> None:
    light = ToneCurve().bfloat16()
    torch.nn.init.normal_(light.curve.weight)
    gain, power = light(averages(torch.rand(2, 3, 16, 16)))
    assert gain.shape == power.shape == (2, 3, 1, 1)
    assert gain.min() > 0
    assert power.min() > 0
    assert gain.dtype == power.dtype == torch.float32
