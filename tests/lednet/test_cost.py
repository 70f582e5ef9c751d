"""What a pass costs, against what can be counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lednet.cost import SIDE, cost_of, flops_of_pass, memory_of
from lednet.model import LEDNet, LEDNetConfig


def test_multiply_adds_of_a_convolution_are_its_weights_times_the_pixels() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    assert cost_of(layer).gmacs == pytest.approx(81 * SIDE * SIDE / 1e9)


def test_multiply_adds_of_attention_are_those_of_its_two_products() -> None:
    def attention(x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = nn.functional.scaled_dot_product_attention(x, x, x)
        return y

    assert cost_of(attention).gmacs == pytest.approx(3 * 2 * SIDE**3 / 1e9)


def test_memory_is_the_peak_of_what_lives_at_once() -> None:
    x = torch.zeros(1, 3, 256, 256)
    one = x.numel() * 4 / 2**20

    def chain(t: torch.Tensor) -> torch.Tensor:
        for _ in range(5):
            t = t + 1
        return t

    def hoard(t: torch.Tensor) -> torch.Tensor:
        return sum([t + i for i in range(4)])  # type: ignore[return-value]

    assert memory_of(chain, x) == pytest.approx(2 * one)
    assert memory_of(hoard, x) >= 5 * one
    assert memory_of(lambda t: t.mul_(1), x) == 0


def test_a_pass_over_a_batch_is_counted_without_computing_it(tiny: LEDNetConfig) -> None:
    before = torch.get_rng_state()
    counted = flops_of_pass(tiny, 3, SIDE, SIDE)
    assert torch.equal(torch.get_rng_state(), before)
    assert counted == pytest.approx(3 * 2e9 * cost_of(LEDNet(tiny).eval()).gmacs)
