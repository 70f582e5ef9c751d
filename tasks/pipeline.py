"""Two small pieces that let decoding, restoring and writing overlap: a prefetching iterator and an ordered background.

Both are bounded, so memory stays flat whatever the source's length, and both hand errors to the thread that waits.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.1
"""How often a blocked producer looks whether its consumer has gone."""


def prefetch(source: Iterable[T], size: int) -> Iterator[T]:
    """Iterate `source` in a thread of its own, at most `size` items ahead. Its errors are raised here, in order."""
    items: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(size)
    gone = threading.Event()

    def put(entry: tuple[bool, T | BaseException | None]) -> bool:
        while not gone.is_set():
            try:
                items.put(entry, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in source:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            more, value = items.get()
            if not more:
                if isinstance(value, BaseException):
                    raise value
                return
            yield value  # type: ignore[misc]
    finally:
        gone.set()
        thread.join()


class Background:
    """Runs calls one after the other in one thread; `submit` blocks while `size` calls are waiting.

    Used as a context: leaving it waits for all calls and raises the first error among them.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, call: Callable[[], None]) -> None:
        """Queue a call. Raises the error of an earlier one."""
        while len(self._waiting) >= self._size:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(call))

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self._waiting:
                future.result()
