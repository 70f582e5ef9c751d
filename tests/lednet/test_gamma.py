"""The gamma floor: it undoes a darkness that is a gamma, and finds it."""

from __future__ import annotations

import pytest
import torch

from lednet.baselines.gamma import fit_gamma, restore_gamma
from lednet.degrade import darken


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2, 4.95])
def test_the_gamma_that_darkened_is_found_and_undone(gamma: float) -> None:
    label = torch.rand(2, 3, 16, 16) * 0.9 + 0.05
    dark = darken(label, torch.ones(2), torch.full((2,), gamma))
    assert fit_gamma([(dark, label)]) == pytest.approx(gamma)
    torch.testing.assert_close(restore_gamma(dark, gamma), label, rtol=0, atol=1e-3)


def test_a_pair_that_any_gamma_fits_does_not_choose_for_the_others() -> None:
    label = torch.rand(1, 3, 16, 16) * 0.9 + 0.05
    dark = darken(label, torch.ones(1), torch.full((1,), 2.5))
    black = torch.zeros_like(label)
    assert fit_gamma([(black, black), (dark, label)]) == pytest.approx(2.5)


def test_restored_values_stay_within_bounds() -> None:
    y = restore_gamma(torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.2]), 2.0)
    assert y.min() == 0
    assert y.max() == 1
