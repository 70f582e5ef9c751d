"""Memory that a Dask worker keeps though it is free, given back before it would stop the worker for good.

Restoring keeps freed memory (`lednet.memory`). Dask counts it as used, and gives a worker above 80 % of its limit
nothing more to do until it is below: one that keeps so much would wait for ever, and the night with it. Not covered:
what a work item needs while it runs (docs/operating.md, memory of a worker).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from distributed import get_worker

from lednet.memory import return_freed_memory

KEPT = 0.5
"""Of a worker's limit may be kept. Coming back to returned pages costs some tenths of a second a gigabyte."""


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """Give freed memory back to the system at the end, if this is a Dask worker that holds more than `KEPT`."""
    try:
        yield
    finally:
        limit = _limit()
        if limit and psutil.Process().memory_info().rss > KEPT * limit:
            return_freed_memory()


def _limit() -> int:
    """Of the Dask worker that this is called in, in bytes; 0 where there is none."""
    try:
        worker = get_worker()
    except ValueError:
        return 0
    return worker.memory_manager.memory_limit or 0
