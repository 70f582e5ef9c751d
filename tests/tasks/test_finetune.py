"""The settings of a retraining: the shape of the model that it goes on from, and a rate that falls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lednet.checkpoint import Card, CheckpointError
from lednet.model import SIZES
from lednet.train_settings import learning_rate
from tasks import finetune
from tests.tasks.learning import LEARN, TINY


@pytest.mark.parametrize("size", SIZES)
def test_a_retraining_keeps_the_shape_of_the_model_in_production_older_ones_too(size: str) -> None:
    assert finetune.train_settings(LEARN, Card("own", "ab", SIZES[size].to_dict())).size == size


def test_a_model_of_a_shape_that_no_size_has_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"2026-11-23-ab: .* can't be trained on"):
        finetune.train_settings(LEARN, Card("2026-11-23-ab", "ab", TINY.to_dict()))


@pytest.mark.parametrize("steps", [40, 2000])
def test_a_retraining_ends_at_a_hundredth_of_its_rate(steps: int) -> None:
    settings = finetune.train_settings(replace(LEARN, steps=steps), Card("own", "ab", SIZES["small"].to_dict()))
    assert learning_rate(0, settings) < learning_rate(steps // 10, settings) == pytest.approx(LEARN.learning_rate)
    assert learning_rate(steps, settings) == pytest.approx(LEARN.learning_rate / 100)
