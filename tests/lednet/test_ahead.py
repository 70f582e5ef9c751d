"""Batches drawn ahead: the same ones as without, and a state that a run can go on from."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from lednet.ahead import BatchesAhead


def numbers(generator: torch.Generator) -> BatchesAhead:
    """Batches that say which step they are of and which random number came."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        if step == 13:
            raise OSError("no such clip")
        return torch.tensor(step), torch.rand((), generator=generator)

    return BatchesAhead(draw, generator)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_batches_drawn_ahead_are_those_drawn_one_by_one() -> None:
    ahead, alone = numbers(seeded()), seeded()
    for step in range(6):
        assert [x.item() for x in ahead.take(step, last=step == 5)] == [step, torch.rand((), generator=alone).item()]


def test_a_run_that_goes_on_from_the_state_after_any_batch_sees_the_batches_that_were_left() -> None:
    straight = numbers(seeded())
    seen = [straight.take(step, last=False)[1].item() for step in range(6)]
    for stopped_after in range(1, 6):
        stopped, resumed = numbers(seeded()), numbers(torch.Generator().manual_seed(99))
        for step in range(stopped_after):
            stopped.take(step, last=False)
        resumed.go_on_from(stopped.state)
        assert [resumed.take(step, last=False)[1].item() for step in range(stopped_after, 6)] == seen[stopped_after:]


def test_a_step_asked_for_again_gets_its_own_batch() -> None:
    ahead = numbers(seeded())
    start = ahead.state
    first = ahead.take(0, last=False)[1]
    ahead.go_on_from(start)
    assert torch.equal(ahead.take(0, last=False)[1], first)


def test_the_next_batch_is_drawn_while_the_last_is_in_use() -> None:
    begun = threading.Event()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        if step == 1:
            begun.set()
        return torch.tensor(step), torch.tensor(step)

    BatchesAhead(draw, seeded()).take(0, last=False)
    assert begun.wait(10)


def test_after_the_last_batch_none_is_drawn() -> None:
    generator = seeded()
    ahead = numbers(generator)
    ahead.take(0, last=True)
    assert torch.equal(generator.get_state(), ahead.state)


def test_what_drawing_raises_is_raised_when_its_batch_is_taken() -> None:
    ahead = numbers(seeded())
    ahead.take(12, last=False)
    with pytest.raises(OSError, match="no such clip"):
        ahead.take(13, last=False)
