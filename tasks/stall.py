"""A process that gets nowhere ends itself, so that its work goes to another: for Dask workers.

A worker that is stopped, or whose machine hangs, misses its heartbeats: Dask's scheduler takes its work away after
`distributed.scheduler.worker-ttl` (5 minutes by default), and its nanny starts it anew. What no heartbeat shows is a
task that hangs while the process's event loop goes on: a GPU that doesn't answer, a deadlock within a library. That is
this file's. Not covered: decoders that hang, which end without their worker (`tasks.decode_process`).
"""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_running = 0


@contextmanager
def ended_if_stalled(stall_s: float) -> Iterator[Callable[[], None]]:
    """End this process, with exit code 1, once `stall_s` have passed without a sign of life; call what it gives for
    each sign.

    Where each thread stood is written to standard error first. The clock is a thread of the C library's, which neither
    the interpreter's lock nor a change of the wall clock can hold up. Work that runs beside it in other threads of this
    process shares the clock: a sign of any is a sign of all.
    """
    global _running

    def alive() -> None:
        faulthandler.dump_traceback_later(stall_s, exit=True, file=sys.__stderr__ or 2)

    with _lock:
        _running += 1
        alive()
    try:
        yield alive
    finally:
        with _lock:
            _running -= 1
            if not _running:
                faulthandler.cancel_dump_traceback_later()
