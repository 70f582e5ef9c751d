"""A Dask worker that keeps freed memory is given its next work item all the same: a real worker, and its limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import psutil
import pytest
import torch
from distributed import Client, LocalCluster, wait

from lednet.memory import keep_freed_memory
from tasks.worker_memory import freed_memory_returned, local_workers

GB = 10**9
LIMIT = GB
HELD: list[torch.Tensor] = []
LONGEST_S = 30
"""A worker that is paused for good is not waited for any longer."""
FILLED = 0.88
"""Of the limit: above the 80 % at which Dask gives a worker nothing more, below the 95 % at which it ends it."""


def fill() -> float:
    """Take memory, and free it on return as restoring does; returns how much of the limit was taken."""
    keep_freed_memory()
    taken, process = [], psutil.Process()
    while process.memory_info().rss < FILLED * LIMIT:
        taken.append(torch.ones(5 * 2**20))
    return process.memory_info().rss / LIMIT


def fill_and_return(_: int) -> float:
    with freed_memory_returned():
        return fill()


def fill_and_free_late() -> None:
    """Take memory that is given back two seconds after the item's end, but for the last of it, which stays in the way:
    glibc itself returns only what nothing lies behind."""
    keep_freed_memory()
    process = psutil.Process()
    with freed_memory_returned():
        while process.memory_info().rss < FILLED * LIMIT:
            HELD.append(torch.ones(5 * 2**20))
    Timer(2.0, HELD.__delitem__, [slice(-1)]).start()


@contextmanager
def one_worker() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def test_a_worker_that_keeps_freed_memory_goes_on_with_its_next_item() -> None:
    with one_worker() as client:
        items = [client.submit(fill_and_return, i, pure=False) for i in range(3)]
        wait(items, timeout=LONGEST_S)
        shares = client.gather(items, asynchronous=False)
    assert all(share >= FILLED for share in shares)


def test_memory_that_is_freed_after_an_items_end_stops_no_worker() -> None:
    with one_worker() as client:
        client.submit(fill_and_free_late).result(LONGEST_S)
        time.sleep(1)  # in which the worker is paused
        assert client.submit(len, [0]).result(LONGEST_S) == 1


def test_outside_of_a_worker_nothing_is_asked_for() -> None:
    with freed_memory_returned():
        pass


@pytest.mark.parametrize(("cores", "gigabytes", "workers"), [(1, 64, 1), (2, 8, 2), (8, 64, 4), (8, 8, 2), (8, 3, 1)])
def test_a_machine_starts_as_many_workers_as_its_cores_and_memory_carry(
    cores: int, gigabytes: int, workers: int
) -> None:
    assert local_workers(cores, gigabytes * GB) == workers
