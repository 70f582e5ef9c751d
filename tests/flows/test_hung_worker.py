"""A Dask worker whose work hangs while its heartbeats go on ends itself, and the night ends as if nothing had been.

Prefect has no part in it. A worker that is stopped as a whole, and every other process of the stack, is in
`tests/chaos/test_killed_stack.py`. Slow: what is waited for must be longer than a busy machine takes to start a worker.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from lednet import Restorer
from tasks import store, units
from tasks.publish import publish
from tests.tasks.night import files, make_site

LIMIT_S = 1500
STALL_S = 60


def hang_when_restoring() -> int:
    """Let this process's next restoring never return; its process id."""
    Restorer.restore_image = lambda *_: time.sleep(2 * LIMIT_S)  # type: ignore[method-assign]
    return os.getpid()


@pytest.mark.slow
@pytest.mark.timeout(2 * LIMIT_S)
def test_the_work_of_a_worker_that_hangs_is_done_by_another(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site.run()
    undisturbed = files(site.folder)
    shutil.rmtree(site.folder)
    settings = replace(site.settings, decode_stall_s=STALL_S // 3, item_stall_s=STALL_S)
    plan = site.plan()
    store.create_run(plan, settings, "0")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        (hung,) = client.run(hang_when_restoring).values()
        for future in [client.submit(units.enhance, item, settings, math.inf, None, pure=False) for item in plan.items]:
            future.result(LIMIT_S)
        assert not psutil.pid_exists(hung)
    assert publish(plan, site.store, settings).status == "published"
    assert files(site.folder) == undisturbed
