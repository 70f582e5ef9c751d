"""What the flows hand to Dask workers: thin wrappers around plain functions.

Imports neither Prefect nor what facts alone need: each worker of a night imports this file before its first frame, and
those take two fifths of its start and 50 MB. What Prefect shows of a night are `flows.camera_tasks`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from distributed import get_worker

from tasks.enhance import always, enhance_item
from tasks.logs import PrefectRun, shown_in
from tasks.rates import TOPIC, words_of
from tasks.settings import NightSettings
from tasks.stall import ended_if_stalled
from tasks.types import ItemResult, WorkItem
from tasks.worker_memory import freed_memory_returned

if TYPE_CHECKING:
    from tasks.camera_facts import FactsJob, FactsOutcome

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
    from tasks.camera_facts import camera_facts

    with freed_memory_returned():
        return camera_facts(job)


def _tell(words: dict[str, Any]) -> None:
    """Tell whoever listens to the Dask scheduler; nothing comes of it on no Dask worker.

    Pushed, since fetching results would cost the coordinator a request an item, and wait for workers that left.
    """
    with suppress(ValueError):
        get_worker().log_event(TOPIC, words)


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
