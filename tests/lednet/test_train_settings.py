"""The settings of a training run: from the command line, their limits, learning rate and crop stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lednet import checkpoint
from lednet.checkpoint import Card, CheckpointError
from lednet.model import SIZES, LEDNet, LEDNetConfig
from lednet.train import parse_arguments, settings_of
from lednet.train_settings import TrainSettings, learning_rate, stage_at


def asked(*more: str) -> Any:
    return parse_arguments(["--data", "clips", "--out", "run", *more])


@pytest.mark.parametrize("size", SIZES)
def test_a_run_goes_on_in_the_size_of_the_checkpoint_that_it_starts_from(tmp_path: Path, size: str) -> None:
    origin = checkpoint.save(tmp_path / "own.safetensors", LEDNet(size), half=True, training={}, validation={})
    read = checkpoint.read_card(tmp_path / "own.safetensors")
    settings = settings_of(asked("--init", "own"), read)
    assert (settings.size, settings.init) == (size, origin.sha256)


def test_a_named_size_comes_before_that_of_the_checkpoint() -> None:
    origin = Card("own", "ab", LEDNet("small").config.to_dict())
    assert settings_of(asked("--init", "own", "--size", "base"), origin).size == "base"


def test_a_run_from_scratch_is_small_by_default() -> None:
    assert (settings_of(asked()).size, settings_of(asked()).init) == ("small", "")


@pytest.mark.parametrize(("steps", "warmup"), [(4000, 200), (150, 15), (3, 1)])
def test_a_short_run_warms_up_for_a_tenth_of_it_and_falls_to_a_hundredth(steps: int, warmup: int) -> None:
    settings = settings_of(asked("--steps", str(steps)))
    assert settings.warmup_steps == warmup
    assert learning_rate(steps, settings) == pytest.approx(settings.learning_rate / 100)


@pytest.mark.parametrize(
    "config", [LEDNetConfig((32, 32, 64), (1, 1, 1), 1, (1, 1)).to_dict(), {"model": "drbn"}, {"channels": "many"}]
)
def test_a_checkpoint_of_no_known_size_is_refused_with_the_known_ones(config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"own: .* small, base, large, small-v1, base-v1, small-v2, base-v2"):
        checkpoint.size_of(Card("own", "ab", config))


@given(steps=st.integers(2, 5_000), warmup=st.integers(0, 300), peak=st.floats(1e-5, 1e-2), step=st.integers(0, 10_000))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_hundredth(
    steps: int, warmup: int, peak: float, step: int
) -> None:
    settings = TrainSettings(steps=steps, warmup_steps=warmup, learning_rate=peak)
    here, there = learning_rate(step, settings), learning_rate(step + 1, settings)
    assert 0 < here <= peak * (1 + 1e-9)
    assert there > here if step + 1 < warmup else there <= here
    assert learning_rate(warmup, settings) == pytest.approx(peak, rel=1e-6)
    assert learning_rate(max(steps, warmup + 1), settings) == pytest.approx(peak / 100, rel=1e-6)


def test_stages_follow_each_other_at_their_shares_of_the_steps() -> None:
    settings = TrainSettings(steps=100)
    starts = [next(i for i in range(200) if stage_at(i, settings) is stage) for stage in settings.stages]
    assert starts == pytest.approx([0, *(100 * s.until for s in settings.stages[:-1])], abs=1)
    assert stage_at(1_000, settings) is settings.stages[-1]


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"size": "huge"}, "small, base, large, small-v1, base-v1, small-v2, base-v2"),
        ({"recipes": ("night", "fog")}, "paper, night"),
        ({"recipes": ()}, "paper, night"),
    ],
)
def test_settings_of_an_unknown_size_or_recipe_are_refused_with_the_known_ones(
    change: dict[str, Any], known: str
) -> None:
    with pytest.raises(ValueError, match=known):
        TrainSettings(**change)
