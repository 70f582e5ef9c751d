"""The Prefect tasks: thin wrappers around plain functions, so that the scheduler shows, retries and places them.

One task a work item: it costs the scheduler some tenths of a second, and a night has hundreds of them, not millions.
"""

from __future__ import annotations

from collections.abc import Sequence

from distributed import Client
from prefect import task

from tasks.camera_facts import FactsJob, FactsOutcome, camera_facts
from tasks.enhance import enhance_item
from tasks.logs import show_in_prefect
from tasks.settings import NightSettings
from tasks.stall import ended_if_stalled
from tasks.types import ItemResult, WorkItem


# No delay between tries: it would hold the GPU's slot. Transient storage faults are retried in tasks.storage.
@task(
    name="enhance-item",
    task_run_name="{item.camera} {item.night} from shard {item.shards[0].index}",
    retries=1,
    persist_result=False,
)
def enhance(item: WorkItem, settings: NightSettings, until_s: float) -> ItemResult:
    """`tasks.enhance.enhance_item` on a Dask worker, which ends if it hangs."""
    show_in_prefect()
    with ended_if_stalled(settings.item_stall_s) as alive:
        return enhance_item(item, settings, until_s, alive)


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
