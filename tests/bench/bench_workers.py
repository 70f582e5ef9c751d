"""Two workers beside one: `python -m tests.bench.bench_workers [ITEMS] [--megabytes N]`, on two idle cores.

Feeds work items that hash for a fixed number of rounds, without sleeping, reading or writing, to a Dask cluster of one
worker and to one of two, as a night's are fed (`flows.feeding`), in turn in one run. Each worker is a process with one
thread. An item lasts some seconds, where a night's last minutes: the shorter, the more of both cores go to what sends
them. In every round plain processes hash as well, one and then two: what the machine's two cores are worth at that
moment. On cores that others use the ratios say little.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import inf
from unittest import mock

import dask
from distributed import Client, LocalCluster

from flows import feeding
from flows.feeding import Batch, DaskItems, ItemFeed
from tasks.logs import PrefectRun
from tasks.settings import NightSettings
from tasks.types import WorkItem
from tests.bench.bench_overhead import item


def hashed(megabytes: int) -> str:
    megabyte, digest = b"\0" * 2**20, hashlib.sha256()
    for _ in range(megabytes):
        digest.update(megabyte)  # always the same one: new memory would be fetched from the system, which is no hashing
    return digest.hexdigest()


def hashing(megabytes: int, work: WorkItem, settings: NightSettings, until_s: float, run: PrefectRun | None) -> str:
    return hashed(megabytes)


def feed(client: Client, items: list[WorkItem]) -> float:
    """Seconds until all are done."""
    started = time.perf_counter()
    with ItemFeed(DaskItems(client, NightSettings())) as way:
        way.add(Batch("a camera", lambda: iter(items), inf))
        failure = way.next_done().failure
    assert not failure, failure
    return time.perf_counter() - started


def plainly(megabytes: int, processes: int) -> float:
    """Seconds until so many processes without Dask have each hashed as much as two items."""
    started = time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(hashed, [2 * megabytes] * processes))
    return time.perf_counter() - started


def main() -> None:
    """Print a line a round, and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("items", nargs="?", type=int, default=8)
    parser.add_argument("--megabytes", type=int, default=3000, help="that an item hashes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    items = [item(k) for k in range(options.items)]
    of_one = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),  # as `flows.engine` has it
        mock.patch.object(feeding, "enhance", partial(hashing, options.megabytes)),
        LocalCluster(**of_one) as one,
        LocalCluster(**(of_one | {"n_workers": 2})) as two,
        Client(one) as alone,
        Client(two) as together,
    ):
        for client in (alone, together):
            feed(client, items[:4])  # workers import on their first item
        ratios, bounds = [], []
        for _ in range(options.rounds):
            single, double = feed(alone, items), feed(together, items)
            ratios.append(single / double)
            bounds.append(2 * plainly(options.megabytes, 1) / plainly(options.megabytes, 2))
            print(
                f"one worker {len(items) / single:.2f} items/s, two {len(items) / double:.2f}: {ratios[-1]:.2f} times; "
                f"plain processes {bounds[-1]:.2f} times",
                flush=True,
            )
    print(f"medians {statistics.median(ratios):.2f} and {statistics.median(bounds):.2f} times")


if __name__ == "__main__":
    main()
