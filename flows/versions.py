"""Whether scheduler and workers run the software that this process runs: those that are there when a night starts, and
those that join later.

What is there is asked before any work is handed out, and a difference ends the night before it begins. A worker that
joins later is asked when it registers, by a Dask plugin, before it is given work; one that differs is told to leave,
says so in the night's log, and costs the night nothing. Not covered: which workers there are (`flows.clusters`).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
from distributed import WorkerPlugin

from flows.engine import EngineError

log = logging.getLogger("lednet")

FIRST_WORKER_S = 600
"""Longest wait for a first worker: a job in a queue, a node that a cluster has to boot."""

SAME_EVERYWHERE: tuple[str, ...] = ("dask", "distributed", "cloudpickle", "msgpack", "lednet", "prefect")
"""Packages in which client, scheduler and workers talk to each other: a scheduler unpacks what it hands on."""
SAME_ON_WORKERS: tuple[str, ...] = ("torch", "zarr", "imagecodecs")
"""Packages that decide what is stored; a scheduler may have others."""

TOPIC = "lednet-software"
"""Of the scheduler's events that name a worker that was sent away; also the plugin's name."""


def check(client: Any, patience_s: float = FIRST_WORKER_S) -> None:
    """Wait for a first worker, and see that scheduler and workers run what this process runs.

    Raises:
        EngineError: naming every place and package that differs, or that no worker came.
    """
    # In place of the check that a killed night left behind: it would send away what was upgraded since.
    client.register_plugin(WorkerPlugin(), name=TOPIC)
    try:
        client.wait_for_workers(1, timeout=patience_s)
    except TimeoutError as error:
        raise EngineError(
            f"{client.scheduler.address}: no worker within {patience_s:.0f} s; start one, or look at the queue"
        ) from error
    found = client.get_versions(packages=[*SAME_EVERYWHERE, *SAME_ON_WORKERS])
    differing = mismatches(found)
    if differing:
        raise EngineError(
            f"{client.scheduler.address}: other software than here. {'; '.join(differing)}. "
            "Install the same versions (requirements.lock) everywhere"
        )


@contextmanager
def late_workers_checked(client: Any) -> Iterator[None]:
    """While the context lasts, workers that join with other software than here are sent away and named in the log."""
    from distributed.versions import get_versions

    here = get_versions(packages=[*SAME_EVERYWHERE, *SAME_ON_WORKERS])["packages"]
    run = copy_context()  # told in a thread of the client's, which knows of no flow run
    client.subscribe_topic(TOPIC, lambda event: run.run(log.error, "%s", event[1]))
    # By value: the worker may have another version of this file, or none.
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        client.register_plugin(SameSoftware(here), name=TOPIC)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    try:
        yield
    finally:
        # Where the scheduler has gone, so has the plugin; a client that gave it up has nothing to ask with.
        with suppress(ValueError, OSError, AttributeError):
            client.unregister_worker_plugin(TOPIC)
            client.unsubscribe_topic(TOPIC)


class SameSoftware(WorkerPlugin):
    """Sends a worker away that runs other software than `here` (package -> version)."""

    def __init__(self, here: Mapping[str, str | None]) -> None:
        self.here = dict(here)

    def setup(self, worker: Any) -> None:
        """Called when a worker has registered, before it handles anything that the scheduler sent it."""
        from distributed.core import Status
        from distributed.versions import get_versions

        names = SAME_EVERYWHERE + SAME_ON_WORKERS
        differing = differences(f"worker {worker.address}", get_versions(packages=names)["packages"], self.here, names)
        if not differing:
            return
        words = f"sent away: {'; '.join(differing)}. Install the same versions (requirements.lock) there"
        worker.status = Status.closing_gracefully  # nothing is begun any more

        async def leave() -> None:
            await worker.scheduler.log_event(topic=TOPIC, msg=words)
            # Work that was handed to it meanwhile goes back without counting as lost.
            await worker.scheduler.retire_workers(
                workers=[worker.address], close_workers=False, remove=True, stimulus_id=f"lednet-{time.time()}"
            )
            await worker.close(nanny=True, reason=words)

        # Not now: a worker that is still starting can't be closed.
        worker.loop.add_callback(leave)


def mismatches(found: dict[str, Any]) -> list[str]:
    """What differs from the client, as "place: package theirs, here ours"; `found` as of `Client.get_versions`."""
    here = found["client"]["packages"]
    places = [("the scheduler", found["scheduler"], SAME_EVERYWHERE)]
    places += [(f"worker {a}", told, SAME_EVERYWHERE + SAME_ON_WORKERS) for a, told in sorted(found["workers"].items())]
    return [line for place, told, names in places for line in differences(place, told["packages"], here, names)]


def differences(
    place: str, there: Mapping[str, str | None], here: Mapping[str, str | None], names: tuple[str, ...]
) -> list[str]:
    """What differs between two places' packages.

    Python is compared without its patch release, torch without its build: a CPU client may have GPU workers.
    """
    return [
        f"{place}: {name} {_comparable(name, there)}, here {_comparable(name, here)}"
        for name in ("python", *names)
        if _comparable(name, there) != _comparable(name, here)
    ]


def _comparable(name: str, packages: Mapping[str, str | None]) -> str:
    version = packages.get(name) or "missing"
    if name == "python":
        return ".".join(version.split(".")[:2])
    return version.partition("+")[0] if name == "torch" else version
