"""Batches drawn ahead: the next one is made by a thread of its own while the network learns from the last.

Covers the drawing and where its random state stands, so that a run that is interrupted and goes on sees the same
batches. Not covered: what a batch is (`lednet.clips`), when it is asked for (`lednet.trainer`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""(degraded, label)."""


class BatchesAhead:
    """Draws one batch more than was asked for.

    Args:
        draw: step -> its batch, from `generator` alone.
        generator: nobody else may draw from it.
    """

    def __init__(self, draw: Callable[[int], Batch], generator: torch.Generator) -> None:
        self._draw, self._generator = draw, generator
        self._thread = ThreadPoolExecutor(1, "next batch")
        self._next: tuple[int, Future[tuple[Batch, Tensor]]] | None = None
        self._state = generator.get_state()

    def take(self, step: int, last: bool) -> Batch:
        """The batch of a step; that of the next is begun, unless this is the `last`. Raises what drawing raises."""
        if self._next is None or self._next[0] != step:
            self.go_on_from(self._state)
            self._next = step, self._begin(step)
        batch, self._state = self._next[1].result()
        self._next = None if last else (step + 1, self._begin(step + 1))
        return batch

    @property
    def state(self) -> Tensor:
        """The generator's state after the batch that was taken last: where a resumed run goes on."""
        return self._state

    def go_on_from(self, state: Tensor) -> None:
        """Set the generator back, or on, to a `state`; what was drawn ahead is forgotten."""
        if self._next is not None:
            self._next[1].exception()  # it draws from the same generator: wait for it
        self._next, self._state = None, state
        self._generator.set_state(state)

    def _begin(self, step: int) -> Future[tuple[Batch, Tensor]]:
        return self._thread.submit(lambda: (self._draw(step), self._generator.get_state()))
