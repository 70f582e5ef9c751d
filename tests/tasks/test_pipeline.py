"""Prefetching and the ordered background: order, bounds, errors and endings."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest

from tasks.pipeline import Background, prefetch

PATIENCE_S = 60.0

RUN = ContextVar("RUN", default="none")
"""What the caller's log lines belong to."""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.002)


def prefetch_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "prefetch"]


def settle() -> None:
    """Give a thread that would do too much the time to do it."""
    time.sleep(0.05)


class Source:
    """Counts what was taken of it, and knows whether it was closed."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.taken, self.closed = 0, False
        self.items = self._items(count, error)

    def _items(self, count: int, error: BaseException | None) -> Iterator[int]:
        try:
            for k in range(count):
                self.taken = k + 1
                yield k
            if error:
                raise error
        finally:
            self.closed = True


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_items_come_in_order_and_all(size: int, count: int) -> None:
    assert list(prefetch(range(count), size)) == list(range(count))


@pytest.mark.parametrize("size", [1, 3])
def test_the_source_is_at_most_size_items_ahead(size: int) -> None:
    source = Source(50)
    for consumed, _ in enumerate(prefetch(source.items, size), 1):
        if consumed < 5:
            wait_until(lambda c=consumed: source.taken == c + size)  # type: ignore[misc]
            settle()
        assert source.taken <= consumed + size


def test_the_source_runs_while_the_consumer_works() -> None:
    source = Source(10)
    items = prefetch(source.items, 4)
    next(items)
    wait_until(lambda: source.taken == 5)


def test_an_error_comes_after_the_items_before_it() -> None:
    source = Source(3, ValueError("broken file"))
    seen = []
    with pytest.raises(ValueError, match="broken file"):
        seen.extend(prefetch(source.items, 8))  # `extend` keeps what came before the error
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError("a"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_errors_of_every_kind_travel(error: BaseException) -> None:
    with pytest.raises(type(error)):
        list(prefetch(Source(1, error).items, 2))


def test_an_end_inside_the_source_is_no_error_in_disguise() -> None:
    def source() -> Iterator[int]:
        yield 1
        next(iter(()))

    with pytest.raises(RuntimeError):
        list(prefetch(source(), 2))


def test_no_thread_is_left_after_the_end() -> None:
    list(prefetch(range(5), 2))
    assert prefetch_threads() == []


def test_no_thread_is_left_after_an_error() -> None:
    with pytest.raises(ValueError, match="a"):
        list(prefetch(Source(1, ValueError("a")).items, 2))
    assert prefetch_threads() == []


@pytest.mark.parametrize("size", [1, 4])
def test_a_consumer_that_stops_early_ends_thread_and_source(size: int) -> None:
    source = Source(1000)
    items = prefetch(source.items, size)
    assert [next(items), next(items)] == [0, 1]
    items.close()
    assert prefetch_threads() == []
    assert source.closed
    assert source.taken <= 2 + size


def test_nothing_is_taken_before_the_first_item_is_asked_for() -> None:
    source = Source(3)
    items = prefetch(source.items, 2)
    settle()
    assert source.taken == 0
    items.close()


def test_the_source_runs_in_the_callers_context() -> None:
    RUN.set("mine")
    assert list(prefetch((RUN.get() for _ in range(2)), 2)) == ["mine", "mine"]


def test_it_is_told_how_many_items_wait_whenever_one_is_taken() -> None:
    told: list[int] = []
    list(prefetch(range(3), 5, told.append))
    assert len(told) == 4  # the end is taken as well, and nothing waits behind it
    assert told[-1] == 0


def test_an_iterator_that_nobody_closes_does_not_keep_the_process() -> None:
    left = "from itertools import count; from tasks.pipeline import prefetch; kept = prefetch(count(), 1); next(kept)"
    assert subprocess.run([sys.executable, "-c", left], timeout=PATIENCE_S).returncode == 0


def test_calls_run_one_after_the_other_in_order() -> None:
    done: list[int] = []
    running = threading.Lock()

    def call(k: int) -> None:
        assert running.acquire(blocking=False), "two calls at once"
        time.sleep(0.001)
        done.append(k)
        running.release()

    with Background(3) as background:
        for k in range(20):
            background.submit(lambda k=k: call(k))  # type: ignore[misc]
    assert done == list(range(20))


def test_calls_run_beside_the_caller() -> None:
    caller, seen = threading.get_ident(), []
    with Background(1) as background:
        background.submit(lambda: seen.append(threading.get_ident()))
    assert seen != [caller]


def test_calls_run_in_the_context_of_the_one_who_submits() -> None:
    RUN.set("mine")
    seen: list[str] = []
    submit(lambda: seen.append(RUN.get()))
    assert seen == ["mine"]


def test_calls_that_are_done_wait_no_more() -> None:
    gate = threading.Event()
    with Background(5) as background:
        background.submit(gate.wait)  # type: ignore[arg-type]
        assert background.waiting() == 1
        gate.set()
        wait_until(lambda: background.waiting() == 0)


def test_leaving_waits_for_every_call() -> None:
    done: list[int] = []
    with Background(5) as background:
        for k in range(5):
            background.submit(lambda k=k: (time.sleep(0.005), done.append(k)))  # type: ignore[misc]
    assert done == list(range(5))


@pytest.mark.parametrize("size", [1, 3])
def test_submit_blocks_while_size_calls_wait(size: int) -> None:
    gate, submitted = threading.Event(), []

    def feed() -> None:
        with Background(size) as background:
            for k in range(size + 3):
                background.submit(gate.wait)  # type: ignore[arg-type]
                submitted.append(k)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    wait_until(lambda: len(submitted) == size)
    settle()
    assert len(submitted) == size
    gate.set()
    feeder.join(PATIENCE_S)
    assert len(submitted) == size + 3


def failing() -> None:
    raise OSError("disk full")


def submit(*calls: Callable[[], object], size: int = 10) -> None:
    with Background(size) as background:
        for call in calls:
            background.submit(call)  # type: ignore[arg-type]


def test_leaving_raises_the_first_error() -> None:
    def later() -> None:
        raise ValueError("second")

    with pytest.raises(OSError, match="disk full"):
        submit(lambda: None, failing, later)


def test_submit_raises_an_earlier_error_as_soon_as_it_is_known() -> None:
    background = Background(100)
    background.submit(failing)
    wait_until(lambda: background._waiting[0].done())
    with pytest.raises(OSError, match="disk full"):
        background.submit(lambda: None)


@pytest.mark.parametrize("error", [OSError("disk full"), SystemExit(3)])
def test_no_call_runs_after_one_has_failed(error: BaseException) -> None:
    gate, done = threading.Event(), []

    def fail_late() -> None:
        gate.wait(PATIENCE_S)
        raise error

    threading.Timer(0.05, gate.set).start()
    with pytest.raises(type(error)):
        submit(lambda: done.append("before"), fail_late, *[lambda: done.append("after")] * 5)
    assert done == ["before"]


def test_an_error_of_the_caller_cancels_what_waits_and_is_the_one_raised() -> None:
    started, gate, done = threading.Event(), threading.Event(), []

    def first() -> None:
        started.set()
        gate.wait(PATIENCE_S)
        done.append("running")

    def go_on_once_cancelled(background: Background) -> None:
        wait_until(background._waiting[1].cancelled)
        gate.set()

    def fail() -> None:
        with Background(10) as background:
            background.submit(first)
            background.submit(lambda: done.append("waiting"))
            started.wait(PATIENCE_S)
            threading.Thread(target=go_on_once_cancelled, args=(background,)).start()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert done == ["running"]


def test_no_background_thread_is_left() -> None:
    submit(lambda: None)
    assert not [t for t in threading.enumerate() if t.name.startswith("background")]
