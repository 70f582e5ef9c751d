"""A Dask worker that keeps freed memory is given its next work item all the same: a real worker, and its limit."""

from __future__ import annotations

import psutil
import pytest
import torch
from distributed import Client, LocalCluster

from lednet.memory import keep_freed_memory
from tasks.worker_memory import freed_memory_returned, local_workers

GB = 10**9
LIMIT = GB
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


def test_a_worker_that_keeps_freed_memory_goes_on_with_its_next_item() -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        shares = client.gather([client.submit(fill_and_return, i, pure=False) for i in range(3)], asynchronous=False)
    assert all(share >= FILLED for share in shares)


def test_outside_of_a_worker_nothing_is_asked_for() -> None:
    with freed_memory_returned():
        pass


@pytest.mark.parametrize(("cores", "gigabytes", "workers"), [(1, 64, 1), (2, 8, 2), (8, 64, 4), (8, 8, 2), (8, 3, 1)])
def test_a_machine_starts_as_many_workers_as_its_cores_and_memory_carry(
    cores: int, gigabytes: int, workers: int
) -> None:
    assert local_workers(cores, gigabytes * GB) == workers
