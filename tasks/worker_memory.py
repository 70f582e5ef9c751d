"""The memory of Dask workers: how many a machine's carries, and freed memory given back before it stops one for good.

Restoring keeps freed memory (`lednet.memory`). Dask counts it as used, and gives a worker above 80 % of its limit
nothing more to do until it is below: one that keeps so much would wait for ever, and the night with it. Not covered:
what a work item needs while it runs (docs/operating.md, memory of a worker).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from dask.system import CPU_COUNT
from distributed import Worker, get_worker
from distributed.core import Status
from distributed.system import MEMORY_LIMIT
from tornado.ioloop import PeriodicCallback

from lednet.memory import return_freed_memory

MOST_LOCAL_WORKERS = 4
"""That a machine without a GPU starts by itself: one a core up to so many, and more threads for each beyond."""
LOCAL_WORKER_BYTES = 4 * 10**9
"""A machine starts one for so much of its memory: a worker took 1.9 GB at 1080p, and Dask pauses one at 80 %."""
KEPT = 0.5
"""Of a worker's limit may be kept. Coming back to returned pages costs some tenths of a second a gigabyte."""
LOOKS_S = 1.0
"""How often a worker looks whether it is paused, to give back what was freed late."""
CALLBACK = "lednet: freed memory returned while paused"
"""Name of that look among a worker's periodic callbacks."""


def local_workers(cores: int = CPU_COUNT, memory: int = MEMORY_LIMIT) -> int:
    """How many worker processes a machine without a GPU starts, by its cores and bytes of memory: one at least."""
    return max(1, min(cores, MOST_LOCAL_WORKERS, memory // LOCAL_WORKER_BYTES))


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """Give freed memory back to the system at the end, if this is a Dask worker that holds more than `KEPT`, and from
    then on whenever that worker is paused."""
    try:
        yield
    finally:
        worker = _worker()
        limit = (worker.memory_manager.memory_limit or 0) if worker else 0
        if worker and limit and psutil.Process().memory_info().rss > KEPT * limit:
            _return_while_paused(worker)
            return_freed_memory()


def _worker() -> Worker | None:
    """The Dask worker that this is called in."""
    try:
        return get_worker()
    except ValueError:
        return None


def _return_while_paused(worker: Worker) -> None:
    """Let a worker give freed memory back as long as it is paused; once is enough.

    What is freed a moment after an item's end stays otherwise, as no other item comes: Dask's profiler holds the frames
    of running functions, and with them their tensors, while it looks at them.
    """
    if CALLBACK in worker.periodic_callbacks:
        return

    def look() -> None:
        if worker.status == Status.paused:
            return_freed_memory()

    worker.periodic_callbacks[CALLBACK] = PeriodicCallback(look, 1000 * LOOKS_S)  # stopped with the worker
    worker.loop.add_callback(worker.periodic_callbacks[CALLBACK].start)  # this is another thread than the loop's
