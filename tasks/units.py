"""The Prefect tasks: thin wrappers around plain functions, so that the scheduler shows, retries and places them.

One task a work item: it costs the scheduler some tenths of a second, and a night has hundreds of them, not millions.
"""

from __future__ import annotations

from prefect import task

from tasks.enhance import enhance_item
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
def enhance(item: WorkItem, settings: NightSettings) -> ItemResult:
    """`tasks.enhance.enhance_item` on a Dask worker."""
    show_in_prefect()
    return enhance_item(item, settings)
