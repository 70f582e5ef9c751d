"""A work item whose run was cancelled, on a real Dask worker: it stops within a frame, and the next run finishes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from distributed import Client, LocalCluster

from tasks import enhance, store
from tasks.settings import NightSettings
from tasks.types import ItemResult, WorkItem
from tasks.units import wanted_by_dask
from tests.tasks import night

LONGEST_S = 300


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Probe:
    """What the work item on the worker, a thread of this process, and the test tell each other."""

    def __init__(self) -> None:
        self.frames = 0
        self.begun, self.cancelled, self.ended = Event(), Event(), Event()
        self.wanted: Callable[[], bool] = lambda: False
        self.result: ItemResult | None = None

    def restoring(self, count: int) -> None:
        """Called before frames are restored; waits in the second shard."""
        self.frames += count
        if self.frames == night.SHARD + 1:
            self.begun.set()
            assert self.cancelled.wait(LONGEST_S)


PROBE = Probe()


def work(item: WorkItem, settings: NightSettings) -> None:
    """Of this module, so that Dask sends its name and not a copy of the probe."""
    PROBE.wanted = wanted_by_dask()
    PROBE.result = enhance.enhance_item(item, settings, wanted=PROBE.wanted)
    PROBE.ended.set()


def test_a_worker_stops_a_work_item_that_nobody_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = night.make_site(tmp_path)
    planned = site.plan()
    [item, *_] = planned.items
    store.create_run(planned, site.settings, "0")
    loaded = enhance.load_restorer
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
        monkeypatch.context() as patch,
    ):
        patch.setattr(enhance, "load_restorer", lambda *known: night.watched(loaded(*known), PROBE.restoring))
        future = client.submit(work, item, site.settings, pure=False)
        assert PROBE.begun.wait(LONGEST_S)
        assert PROBE.wanted()
        future.cancel()
        until(lambda: not PROBE.wanted())
        PROBE.cancelled.set()
        assert PROBE.ended.wait(LONGEST_S)
    assert PROBE.frames == night.SHARD + 1
    assert PROBE.result is not None
    assert PROBE.result.shards_done == 1
    assert store.done_shards(planned.run_url) == {item.shards[0].index}
    again = enhance.enhance_item(item, site.settings, wanted=wanted_by_dask())  # on no worker
    assert (again.shards_skipped, again.shards_done) == (1, len(item.shards) - 1)
