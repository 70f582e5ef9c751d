"""Work items fed to the workers: few at a time, camera by camera, whatever becomes of any of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, KilledWorker, LocalCluster
from distributed.core import Status

from flows import feeding
from flows.engine import EngineError
from flows.feeding import Batch, ItemFeed
from tasks.settings import NightSettings


class Future:
    """One of a work item, which the test ends."""

    def __init__(self) -> None:
        self.status, self.calls = "pending", []  # type: ignore[var-annotated]
        self.error: BaseException = OSError("the disk is full")

    def add_done_callback(self, call: Callable[[Future], object]) -> None:
        self.calls.append(call)

    def end(self, status: str = "finished") -> None:
        self.status = status
        for call in self.calls:
            call(self)

    def exception(self) -> BaseException:
        return self.error

    def cancel(self) -> None:
        self.end("cancelled")


class Workers:
    """Stands in for Dask: keeps what it is handed until the test ends it."""

    def __init__(self, most: int = 2) -> None:
        self.count, self.lives, self.hindered = most, True, ""
        self.futures: list[tuple[Any, Future]] = []
        self.handed = threading.Semaphore(0)

    def submit(self, item: Any, until_s: float) -> Future:
        future = Future()
        self.futures.append((item, future))
        self.handed.release()
        return future

    def most(self) -> int:
        return self.count

    def alive(self) -> bool:
        return self.lives

    def hindrance(self) -> str:
        return self.hindered

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.handed.acquire(timeout=30)

    def idle(self) -> bool:
        """Whether nothing more is handed over for a moment."""
        return not self.handed.acquire(timeout=0.2)


def feed_of(workers: Workers) -> ItemFeed:
    return ItemFeed(workers)  # type: ignore[arg-type]


def batch(name: str, count: int) -> Batch:
    return Batch(name, lambda: iter(f"{name}{k}" for k in range(count)), float("inf"))  # type: ignore[arg-type]


def test_no_more_items_wait_at_the_scheduler_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "LOOK_S", 100.0)  # the next one goes out because one is done, not at the next look
    workers = Workers(most=2)
    with feed_of(workers) as feed:
        feed.add(batch("a", 3))
        feed.add(batch("b", 2))
        workers.wait_for(2)
        assert workers.idle()
        for k in range(5):
            workers.futures[k][1].end()
            if k < 3:
                workers.wait_for(1)
            assert workers.idle()
        assert [feed.next_done().name for _ in range(2)] == ["a", "b"]
    assert [item for item, _ in workers.futures] == ["a0", "a1", "a2", "b0", "b1"]


def test_a_camera_s_items_are_made_when_its_turn_comes() -> None:
    made = []

    def items(name: str) -> Iterator[str]:
        made.append(name)
        yield from (f"{name}0", f"{name}1")

    workers = Workers(most=1)
    with feed_of(workers) as feed:
        for name in "ab":
            feed.add(Batch(name, lambda n=name: items(n), 0.0))  # type: ignore[misc]
        workers.wait_for(1)
        assert workers.idle()
        assert made == ["a"]


def test_an_item_that_fails_is_told_and_costs_no_other() -> None:
    workers = Workers()
    with feed_of(workers) as feed:
        feed.add(batch("a", 2))
        workers.wait_for(2)
        workers.futures[0][1].end("error")
        workers.futures[1][1].end()
        assert feed.next_done().failure == "OSError: the disk is full"


def test_what_to_do_is_told_where_workers_died_of_an_item() -> None:
    workers = Workers()
    with feed_of(workers) as feed:
        feed.add(batch("pit", 1))
        workers.wait_for(1)
        future = workers.futures[0][1]
        future.error = KilledWorker("enhance-item pit", SimpleNamespace(address="tcp://10.0.0.7:8786"), 3)  # type: ignore[arg-type]
        future.end("error")
        failure = feed.next_done().failure
    assert "tcp://10.0.0.7:8786" in failure
    assert "set a lower tile_mb" in failure


def test_a_camera_whose_items_can_not_be_made_ends_and_the_next_is_fed() -> None:
    def broken() -> Iterator[Any]:
        raise ValueError("no plan")

    workers = Workers()
    with feed_of(workers) as feed:
        feed.add(Batch("a", broken, 0.0))
        feed.add(batch("b", 1))
        assert feed.next_done().failure == "ValueError: no plan"
        workers.wait_for(1)
        workers.futures[0][1].end()
        assert feed.next_done().failure == ""


def test_a_camera_without_items_is_done_at_once() -> None:
    with feed_of(Workers()) as feed:
        feed.add(batch("a", 0))
        assert feed.next_done().name == "a"
    assert "feed" not in {thread.name for thread in threading.enumerate()}


def test_giving_up_takes_back_what_is_not_done(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers()
    with feed_of(workers) as feed:
        feed.add(batch("a", 5))
        workers.wait_for(2)
    assert [future.status for _, future in workers.futures] == ["cancelled", "cancelled"]
    assert not caplog.records


def test_a_scheduler_that_went_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.feeding.LOOK_S", 0.05)
    workers = Workers()
    with feed_of(workers) as feed:
        feed.add(batch("a", 1))
        workers.wait_for(1)
        workers.lives = False
        with pytest.raises(EngineError, match="run the night again"):
            feed.next_done()


def test_that_no_worker_can_take_work_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, seconds in (("LOOK_S", 0.01), ("HINDERED_S", 0.05), ("WARN_AGAIN_S", 1000.0)):
        monkeypatch.setattr(feeding, name, seconds)
    workers = Workers()
    workers.hindered = "there is no worker"
    with feed_of(workers) as feed:
        feed.add(batch("pit", 1))
        workers.wait_for(1)
        threading.Timer(1.0, workers.futures[0][1].end).start()
        feed.next_done()
    assert caplog.messages == ["no work is being done: there is no worker"]


def test_items_ask_for_a_gpu_where_there_is_one_are_tried_again_and_never_taken_for_an_earlier_one() -> None:
    told: list[dict[str, Any]] = []
    workers = {"a": {"nthreads": 4, "resources": {"GPU": 1}}, "b": {"nthreads": 4}}
    client = SimpleNamespace(
        scheduler_info=lambda n_workers: {"workers": workers}, submit=lambda *_, **options: told.append(options)
    )
    items = feeding.DaskItems(client, NightSettings())
    item = SimpleNamespace(camera="pit", night="2026-01-15", shards=[SimpleNamespace(index=3)], run_url="file:///run")
    for _ in range(2):
        items.most()
        items.submit(item, 0.0)  # type: ignore[arg-type]
        workers.pop("a", None)
    assert [options["resources"] for options in told] == [{"GPU": 1}, None]
    assert all(options["retries"] > 0 for options in told)
    assert told[0]["key"] != told[1]["key"]


def test_workers_that_are_paused_or_gone_are_a_hindrance() -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        items = feeding.DaskItems(client, NightSettings())
        assert items.hindrance() == ""
        cluster.workers[0].status = Status.paused
        assert until(items.hindrance).startswith("every worker is paused by Dask, short of memory. Start fewer")
        cluster.scale(0)
        assert until(lambda: items.hindrance().partition("every")[0]) == (
            "there is no worker; start one, or look at its log"
        )
        assert items.alive()
    assert not items.alive()


def until(told: Callable[[], str]) -> str:
    """What is told as soon as anything is, since a scheduler hears of its workers a moment later."""
    for _ in range(300):
        if words := told():
            return words
        time.sleep(0.1)
    return ""
