"""Two small pieces that let decoding, restoring and writing overlap: a prefetching iterator and an ordered background.

Both are bounded, so memory stays flat whatever the source's length, and both hand errors to the thread that waits.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


def prefetch(source: Iterable[T], size: int, note: Callable[[int], None] = lambda _: None) -> Generator[T, None, None]:
    """Iterate `source` in a thread of its own, at most `size` items ahead. Its errors are raised here, in order.

    `note` is told how many items wait whenever one is taken. Closing the iterator ends the thread and closes the
    source, if that is a generator.
    """
    items: queue.SimpleQueue[tuple[bool, T | BaseException | None]] = queue.SimpleQueue()
    free = threading.Semaphore(size)
    gone = threading.Event()
    iterator = iter(source)

    def produce() -> None:
        try:
            while free.acquire() and not gone.is_set():
                items.put((True, next(iterator)))
        except StopIteration:
            items.put((False, None))
        except BaseException as error:
            items.put((False, error))

    thread = threading.Thread(target=copy_context().run, args=(produce,), name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            more, value = items.get()
            note(items.qsize())
            if not more:
                if isinstance(value, BaseException):
                    raise value
                return
            free.release()
            yield value  # type: ignore[misc]
    finally:
        gone.set()
        free.release()
        thread.join()
        if isinstance(iterator, Generator):
            iterator.close()


class Background:
    """Runs calls one after the other in one thread; `submit` blocks while `size` calls are waiting.

    After a call has failed none is made any more: what it left half done must not be built upon. Used as a context:
    leaving it waits for all calls and raises the first error among them.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def submit(self, call: Callable[[], None]) -> None:
        """Queue a call. Raises the error of an earlier one."""
        while self._waiting and (len(self._waiting) >= self._size or self._waiting[0].done()):
            self._waiting.popleft().result()
        # In the caller's context, so that what is logged there belongs to the caller's run.
        self._waiting.append(self._pool.submit(copy_context().run, self._run, call))

    def waiting(self) -> int:
        """Calls that are not done."""
        return sum(not call.done() for call in self._waiting)

    def _run(self, call: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            call()
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self._waiting:
                future.result()
