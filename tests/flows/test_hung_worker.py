"""A Dask worker that hangs without dying loses its work to another, and the night ends as if nothing had been.

One hangs within a call that never returns, one is stopped as a whole. Prefect has no part in it; the whole stack's
processes are killed, and stopped, in `tests/chaos/test_killed_stack.py`.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, LocalCluster

from lednet import Restorer
from tasks import store, units
from tasks.publish import publish
from tests.tasks.night import Site, files, make_site

LIMIT_S = 300
HEARTBEAT_S = 60
"""Without a sign of its event loop for so long, a worker is lost; imports hold one up that long on a busy machine."""
STALL_S = 15
"""Without a frame for so long, it ends itself."""


@contextmanager
def one_worker(heartbeat_s: float) -> Iterator[Client]:
    """A worker process of one thread, taken for lost after so long without a heartbeat."""
    with (
        dask.config.set({"distributed.scheduler.worker-ttl": f"{heartbeat_s}s"}),
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def hang_when_restoring() -> int:
    """Let this process's next restoring never return, while its heartbeats go on; its process id."""
    Restorer.restore_image = lambda *_: time.sleep(3600)  # type: ignore[method-assign]
    return os.getpid()


def stop_when_restoring() -> int:
    """Let this process be stopped when it next restores; its process id."""
    Restorer.restore_image = lambda *_: os.kill(os.getpid(), signal.SIGSTOP)  # type: ignore[assignment, method-assign, return-value]
    return os.getpid()


def night_of(site: Site, client: Client, ends_itself: bool) -> dict[str, bytes]:
    """Do a night on the workers, as the flow does; what is stored."""
    settings = replace(site.settings, decode_stall_s=1, item_stall_s=STALL_S if ends_itself else 3600)
    plan = site.plan()
    store.create_run(plan, settings, "0")
    futures = [client.submit(units.enhance.fn, item, settings, math.inf, pure=False) for item in plan.items]
    for future in futures:
        future.result(LIMIT_S)
    assert publish(plan, site.store, settings).status == "published"
    return files(site.folder)


@pytest.mark.parametrize(
    ("trouble", "ends_itself"),
    [(hang_when_restoring, True), pytest.param(stop_when_restoring, False, marks=pytest.mark.slow)],
)
def test_the_work_of_a_worker_that_hangs_is_done_by_another(tmp_path: Path, trouble: object, ends_itself: bool) -> None:
    site = make_site(tmp_path, (10,))
    site.run()
    undisturbed = files(site.folder)
    shutil.rmtree(site.folder)
    with one_worker(LIMIT_S if ends_itself else HEARTBEAT_S) as client:
        (hung,) = client.run(trouble).values()
        assert night_of(site, client, ends_itself) == undisturbed
        assert not psutil.pid_exists(hung)
