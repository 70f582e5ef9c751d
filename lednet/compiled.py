"""The network's pass by torch.compile: fused kernels, and on a GPU a CUDA graph for each shape of input.

Covers which inputs are compiled, the thread that it happens in, and the plain pass wherever compiling is not to be had.
Not covered: training (`lednet.trainer`), the statistics of tiles and the memory of earlier frames, which are not
compiled.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lednet.model import LEDNet

MOST_SHAPES = 8
"""Shapes of input that are compiled: each takes a minute or so, and on a GPU keeps its memory."""

MOST_FAILED = 2
"""Shapes that fail before nothing is compiled any more: it is then the machine that can't, and not a shape."""

RECOMPILE_LIMIT = 128
"""torch counts the shapes of all networks of a process together, and gives up at 8 of them."""

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    """The one thread of all compiled passes: torch's CUDA graphs belong to the thread that recorded them."""
    return ThreadPoolExecutor(1, "compiled pass")


class CompiledPass:
    """`LEDNet.restore` without its side products, compiled on the first input of a shape.

    What can't be compiled is restored by the plain pass: more than `MOST_SHAPES` shapes; a batch smaller than one
    that was compiled, which is mostly the last; a shape that has failed, the first of which a warning tells; and
    everything after `MOST_FAILED` shapes have failed.

    Args:
        backend: of torch.compile; tests give ones that take no time.
    """

    def __init__(self, network: LEDNet, backend: str | Callable[..., Any] = "inductor") -> None:
        def image(x: Tensor, pooled: tuple[Tensor, ...]) -> Tensor:
            return network.restore(x, pooled).image

        self._plain, self._backend = image, backend
        self._compiled: Callable[[Tensor, tuple[Tensor, ...]], Tensor] | None = None
        self._counts: defaultdict[object, set[int]] = defaultdict(set)
        """Sizes of the batches that are compiled, by all else that a shape consists of."""
        self.failed: set[object] = set()
        """Shapes that could not be compiled, or whose compiled pass failed."""
        self.without = 0
        """Passes that were plain ones for such a failure."""

    def __call__(self, x: Tensor, pooled: Sequence[Tensor] = ()) -> Tensor:
        """[n, 3, h, w] in [0, 1], and statistics as for `LEDNet.restore` -> the restored images, the caller's own."""
        given = tuple(pooled)
        shape = (x.shape, len(given))
        if shape in self.failed or len(self.failed) >= MOST_FAILED:
            self.without += 1
            return self._plain(x, given)
        if not self._admits(x, len(given)):
            return self._plain(x, given)
        stream = torch.cuda.current_stream(x.device) if x.is_cuda else None
        try:
            return _thread().submit(self._run, x, given, stream).result()
        except Exception as error:  # no compiler, no triton, no memory for the graph, a fault of torch's ...
            self._note(shape, error)
        # Not before the error is let go: with it goes what the failed pass held, and short of memory was perhaps why.
        return self._plain(x, given)

    def _admits(self, x: Tensor, given: int) -> bool:
        """Whether a shape is compiled; a new one is from now on, if there is room for it."""
        counts = self._counts[x.shape[1:], given]
        if len(x) not in counts and len(x) < max(counts, default=0):
            return False
        if len(x) not in counts and sum(map(len, self._counts.values())) < MOST_SHAPES:
            counts.add(len(x))
        return len(x) in counts

    def _note(self, shape: tuple[torch.Size, int], error: Exception) -> None:
        """A shape that failed: the first is told of, since others mostly fail for the same reason."""
        if not self.failed:
            size = " x ".join(map(str, shape[0]))
            log.warning("restoring %s goes on without torch.compile, which failed: %s", size, _first_line(error))
        self.failed.add(shape)
        self.without += 1
        if len(self.failed) == MOST_FAILED:
            log.info("%d shapes failed: from now on nothing is compiled", MOST_FAILED)
        log.debug("torch.compile failed", exc_info=error)

    def _run(self, x: Tensor, given: tuple[Tensor, ...], stream: torch.cuda.Stream | None) -> Tensor:
        if self._compiled is None:
            mode = "reduce-overhead" if self._backend == "inductor" else None
            self._compiled = torch.compile(self._plain, fullgraph=True, dynamic=False, backend=self._backend, mode=mode)
        limit = torch.compiler.config.patch(recompile_limit=RECOMPILE_LIMIT)  # type: ignore[attr-defined]
        with torch.inference_mode(), torch.cuda.stream(stream), limit:
            x = x.contiguous(memory_format=torch.channels_last)  # other strides would be compiled anew
            return self._compiled(x, given).clone()  # the next replay of the graph writes over its output


def _first_line(error: Exception) -> str:
    cause = getattr(error, "inner_exception", error)  # torch wraps what a backend raised
    return f"{type(cause).__name__}: {(str(cause).strip() or 'no reason given').splitlines()[0]}"
