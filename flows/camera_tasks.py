"""The two steps that Prefect shows as tasks: the publication of a camera's night, and the measuring of all cameras.

Work items are plain Dask futures beside them (`tasks.units`): a Prefect task each costs the coordinator several times
as much (docs/performance.md), and what an item did is told by its receipts and its log lines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from distributed import Client, Future, wait
from prefect import task

from tasks.camera_facts import FactsJob, FactsOutcome
from tasks.publish import publish
from tasks.settings import NightSettings
from tasks.types import CameraNight, NightPlan
from tasks.units import facts

log = logging.getLogger("lednet")

TELL_EVERY_S = 30.0
"""How often it is told how far the facts are: those of many nights take hours."""


@task(name="publish-night", task_run_name="{camera} {night}", persist_result=False)
def _publish_night(camera: str, night: str, publication: Callable[[], CameraNight]) -> CameraNight:
    outcome = publication()
    if outcome.status != "published":
        raise NotWholeError(outcome)  # so that Prefect's page shows it
    return outcome


class NotWholeError(RuntimeError):
    """A camera's night could not be published; `outcome` says why."""

    def __init__(self, outcome: CameraNight) -> None:
        super().__init__(f"{outcome.camera}: {outcome.reason}")
        self.outcome = outcome


def publish_in_prefect(plan: NightPlan, store_url: str, settings: NightSettings) -> CameraNight:
    """`tasks.publish.publish` as a Prefect task, one a camera, which fails where the night is not whole."""
    try:
        # A call and not the plan: Prefect looks for futures in all that a task is given, and a plan has a hundred
        # thousand parts.
        return _publish_night(plan.camera.id, plan.night, partial(publish, plan, store_url, settings))
    except NotWholeError as error:
        return error.outcome


# One task for all cameras, and a plain future each: a Prefect task costs some tenths of a second, a future ten
# milliseconds. Call it from the flow, not by `submit`: a worker of one thread would wait for itself. There Prefect's
# `get_dask_client` finds no client, so the scheduler is named.
@task(name="camera-facts", persist_result=False)
def write_facts(jobs: Sequence[FactsJob], scheduler: str, resources: dict[str, int]) -> list[FactsOutcome]:
    """`tasks.camera_facts.camera_facts` of every camera on the Dask workers; one that fails costs its own nights."""
    outcomes: list[FactsOutcome] = []
    with Client(scheduler) as client:  # type: ignore[no-untyped-call]
        futures = [client.submit(facts, job, pure=False, resources=resources or None) for job in jobs]
        tells = time.monotonic() + TELL_EVERY_S
        for job, future in zip(jobs, futures, strict=True):
            try:
                while not _ends(future, tells - time.monotonic()):
                    log.info("facts of %d of %d cameras are done", sum(f.done() for f in futures), len(futures))
                    tells = time.monotonic() + TELL_EVERY_S
                outcomes += future.result()
            except Exception as error:  # whatever it is, a killed worker too
                outcomes += [FactsOutcome(job.camera.id, night, "failed", str(error)) for night in job.nights]
    return outcomes


def _ends(future: Future[Any], within_s: float) -> bool:
    """Whether a future ends, well or not, within so many seconds."""
    if future.done():  # type: ignore[no-untyped-call]
        return True
    try:
        wait([future], max(0.0, within_s))  # type: ignore[no-untyped-call]
    except TimeoutError:
        return False
    return True
