"""The Prefect tasks: thin wrappers around plain functions, so that the scheduler shows, retries and places them.

One task a work item: it costs the scheduler some tenths of a second, and a night has hundreds of them, not millions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from distributed import Client, get_worker
from prefect import task

from tasks.camera_facts import FactsJob, FactsOutcome, camera_facts
from tasks.enhance import always, enhance_item
from tasks.logs import show_in_prefect
from tasks.settings import NightSettings
from tasks.types import ItemResult, WorkItem


# No delay between tries: it would hold the GPU's slot. Transient storage faults are retried in tasks.storage.
@task(
    name="enhance-item",
    task_run_name="{item.camera} {item.night} from shard {item.shards[0].index}",
    retries=1,
    persist_result=False,
)
def enhance(item: WorkItem, settings: NightSettings, until_s: float) -> ItemResult:
    """`tasks.enhance.enhance_item` on a Dask worker."""
    show_in_prefect()
    return enhance_item(item, settings, until_s, wanted_by_dask())


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
        futures = [client.submit(camera_facts, job, pure=False, resources=resources or None) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                outcomes += future.result()
            except Exception as error:  # whatever it is, a killed worker too
                outcomes += [FactsOutcome(job.camera.id, night, "failed", str(error)) for night in job.nights]
    return outcomes
