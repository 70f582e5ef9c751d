"""The interval of a mean over groups: its quantiles, its units, and how often it holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from lednet.student import QUANTILES, half_width, quantile


@pytest.mark.parametrize("freedom", [*range(1, len(QUANTILES) + 3), 30, 100, 10_000])
def test_quantiles_are_those_of_students_t(freedom: int) -> None:
    assert quantile(freedom) == pytest.approx(stdtrit(freedom, 0.975), abs=1e-3)


@pytest.mark.parametrize("groups", [3, 5])
def test_it_holds_the_true_mean_95_times_of_100(groups: int) -> None:
    random = np.random.default_rng(3)
    names = [str(i // 2) for i in range(2 * groups)]
    values = np.repeat(random.normal(0, 1, (4000, groups)), 2, axis=1) + random.normal(0, 0.3, (4000, 2 * groups))
    held = [abs(row.mean()) <= half_width(row.tolist(), names) for row in values]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


def test_frames_of_one_group_count_as_one() -> None:
    of_groups = half_width([1, 1, 1, 2, 2, 2, 4, 4, 4], "aaabbbccc")
    of_means = half_width([1, 2, 4], "abc")
    assert of_groups == pytest.approx(of_means)


def test_larger_groups_count_for_more() -> None:
    assert half_width([1, 1, 1, 1, 2], "aaaab") == pytest.approx(QUANTILES[0] * math.sqrt(2 * 2 * 0.8**2) / 5)


def test_frames_of_a_single_group_are_units_themselves() -> None:
    assert half_width([1, 2, 4], "aaa") == half_width([1, 2, 4], "abc")


def test_a_single_value_has_no_interval() -> None:
    assert half_width([1], "a") == math.inf
