"""What the flows hand to Prefect and to the Dask workers: thin wrappers around plain functions.

Prefect shows one task a camera. Work items are plain Dask futures beside it: a Prefect task each costs the coordinator
several times as much (docs/performance.md), and what an item did is told by its receipts and its log lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from distributed import Client, get_worker
from prefect import task

from tasks.camera_facts import FactsJob, FactsOutcome, camera_facts
from tasks.enhance import always, enhance_item
from tasks.logs import PrefectRun, shown_in
from tasks.publish import publish
from tasks.rates import TOPIC, words_of
from tasks.settings import NightSettings
from tasks.stall import ended_if_stalled
from tasks.types import CameraNight, ItemResult, NightPlan, WorkItem
from tasks.worker_memory import freed_memory_returned

ITEM_RETRIES = 1
"""So often is a failed work item tried again, at once: transient storage faults are retried in tasks.storage."""


def enhance(item: WorkItem, settings: NightSettings, until_s: float, run: PrefectRun | None) -> ItemResult:
    """`tasks.enhance.enhance_item` on a Dask worker, which ends if it hangs; its lines stand beside the flow run."""
    with shown_in(run), ended_if_stalled(settings.item_stall_s) as alive, freed_memory_returned():
        result = enhance_item(item, settings, until_s, wanted_by_dask(), alive)
    _tell(words_of(item.run_url, result))
    return result


def facts(job: FactsJob) -> list[FactsOutcome]:
    """`tasks.camera_facts.camera_facts` on a Dask worker."""
    with freed_memory_returned():
        return camera_facts(job)


def _tell(words: dict[str, Any]) -> None:
    """Tell whoever listens to the Dask scheduler; nothing comes of it on no Dask worker.

    Pushed, since fetching results would cost the coordinator a request an item, and wait for workers that left.
    """
    with suppress(ValueError):
        get_worker().log_event(TOPIC, words)


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


def wanted_by_dask() -> Callable[[], bool]:
    """Whether anybody waits for the Dask task that this is called in; may be asked from any thread.

    Dask leaves a task alone that has begun: when a run is cancelled or killed, its workers would finish their work
    items for nobody, and hold up the next run for as long.
    """
    try:
        worker = get_worker()
        key = worker.get_current_task()
    except (ValueError, KeyError):  # on no Dask worker, or in a thread that does no task of it
        return always

    def wanted() -> bool:
        known = worker.state.tasks.get(key)
        return bool(known is not None and known.state != "cancelled")

    return wanted


# One task for all cameras, and a plain future each: a Prefect task costs some tenths of a second, a future ten
# milliseconds. Call it from the flow, not by `submit`: a worker of one thread would wait for itself. There Prefect's
# `get_dask_client` finds no client, so the scheduler is named.
@task(name="camera-facts", persist_result=False)
def write_facts(jobs: Sequence[FactsJob], scheduler: str, resources: dict[str, int]) -> list[FactsOutcome]:
    """`tasks.camera_facts.camera_facts` of every camera on the Dask workers; one that fails costs its own nights."""
    outcomes: list[FactsOutcome] = []
    with Client(scheduler) as client:  # type: ignore[no-untyped-call]
        futures = [client.submit(facts, job, pure=False, resources=resources or None) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                outcomes += future.result()
            except Exception as error:  # whatever it is, a killed worker too
                outcomes += [FactsOutcome(job.camera.id, night, "failed", str(error)) for night in job.nights]
    return outcomes
