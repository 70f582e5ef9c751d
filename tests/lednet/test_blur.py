"""Blur by Fourier transforms is the sum over its kernel. What kernels and blurred images are like: test_degrade.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lednet.degrade import blur, shake_kernels
from lednet.degrade.blur import fast_side


@given(height=st.integers(5, 70), width=st.integers(5, 70), side=st.sampled_from([5, 25, 49]), seed=st.integers(0, 99))
def test_blur_is_the_sum_over_the_kernel_at_any_size(height: int, width: int, side: int, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    light = 8 * torch.rand((1, 2, height, width), generator=chance)
    kernel = torch.rand((1, side, side), generator=chance)
    kernel /= kernel.sum()
    mode = "reflect" if side // 2 < min(height, width) else "replicate"
    padded = F.pad(light, (side // 2,) * 4, mode=mode)
    summed = F.conv2d(padded, kernel.expand(2, -1, -1)[:, None], groups=2)
    torch.testing.assert_close(blur(light, kernel), summed, rtol=1e-5, atol=1e-5)


def test_blur_leaves_no_light_below_zero() -> None:
    light = torch.zeros(1, 3, 40, 40)
    light[..., 20, 20] = 8.0
    kernels = shake_kernels(torch.tensor([16.0]), torch.Generator().manual_seed(3))
    assert blur(light, kernels).min() == 0


@given(st.integers(1, 5000))
def test_transforms_have_the_next_side_made_of_twos_threes_and_fives(least: int) -> None:
    made = {2**a * 3**b * 5**c for a in range(14) for b in range(9) for c in range(7)}
    assert fast_side(least) == min(n for n in made if n >= least)
