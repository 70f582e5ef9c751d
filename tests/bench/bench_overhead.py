"""What a work item costs Dask and Prefect: `python -m tests.bench.bench_overhead [ITEMS] [--json FILE]`.

Sends work items that do nothing to one Dask worker, as a night's are fed (`flows.feeding`) and, for comparison, as a
Prefect task each, in one run, and prints wall and driver CPU milliseconds an item. The driver is this process, the Dask
scheduler in it. The items are as large as a night's real ones: 71 shards, 8 segments. A Prefect server is started and
ended.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from math import inf
from unittest import mock

from distributed import Client, LocalCluster
from prefect import flow, task
from prefect_dask.task_runners import DaskTaskRunner

from flows import feeding
from flows.engine import prefect_server
from flows.feeding import Batch, DaskItems, ItemFeed
from lednet import bench_output
from lednet.bars import Bars
from tasks.logs import PrefectRun
from tasks.settings import NightSettings
from tasks.types import Grid, Segment, Shard, WorkItem


def item(k: int) -> WorkItem:
    shards = tuple(Shard(71 * k + i, 21 * (71 * k + i), 21) for i in range(71))
    segments = tuple(
        Segment(f"s3://archive/camera-0001/2026-01-15/18-00-{i:02d}.mp4", f"{i:032x}", 2_500_000, i, "18:00", i + 1)
        for i in range(8)
    )
    run = "s3://store/enhanced/camera-0001/2026-01-15/0123456789abcdef"
    grid = Grid(0, Fraction(25), 1_080_000)
    return WorkItem("camera-0001", "2026-01-15", run, grid, 1080, 1920, 21, shards, segments, "small", 100)


def nothing(work: WorkItem, settings: NightSettings, until_s: float, run: PrefectRun | None) -> int:
    return len(work.shards)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("items", nargs="?", type=int, default=50)
    bench_output.add_options(parser)
    options = parser.parse_args(arguments)
    if options.items < 1:
        parser.error("there must be at least 1 item")
    bench_output.refuse_unwritable(parser, options)
    wall_ms: dict[str, float] = {}
    driver_ms: dict[str, float] = {}
    count = options.items
    items, settings = [item(k) for k in range(count)], NightSettings()
    with (
        prefect_server(),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def feed(prepared: list[WorkItem]) -> None:
            with ItemFeed(DaskItems(client, settings)) as way:
                way.add(Batch("a camera", lambda: prepared, inf))
                assert not way.next_done().failure

        @flow(task_runner=DaskTaskRunner(address=cluster.scheduler_address))
        def prefect_items() -> None:
            unit = task(nothing, name="nothing", persist_result=False)
            unit.submit(items[0], settings, inf, None).wait()  # the worker reads its settings once
            started, cpu = time.perf_counter(), time.process_time()
            submitted = [unit.submit(i, settings, inf, None) for i in items]
            sent, sent_cpu = time.perf_counter() - started, time.process_time() - cpu
            for future in submitted:
                future.wait()
            show("Prefect tasks, submitting", sent, sent_cpu)
            show("Prefect tasks, until done", time.perf_counter() - started, time.process_time() - cpu)

        def show(name: str, seconds: float, cpu: float) -> None:
            wall_ms[name], driver_ms[name] = 1000 * seconds / count, 1000 * cpu / count
            if options.json != bench_output.PRINTED:
                print(f"{name:26} {wall_ms[name]:7.1f} ms an item, {driver_ms[name]:6.1f} ms of driver CPU", flush=True)

        with mock.patch.object(feeding, "enhance", nothing):
            feed(items[:2])
            started, cpu = time.perf_counter(), time.process_time()
            feed(items)
            show("fed, as a night's are", time.perf_counter() - started, time.process_time() - cpu)
        prefect_items()
    figures = {"items": count, "wall_ms_an_item": wall_ms, "driver_cpu_ms_an_item": driver_ms}
    panels = [Bars("wall time of a work item, ms", wall_ms), Bars("CPU time of the driver for it, ms", driver_ms)]
    bench_output.write(options, figures, panels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
