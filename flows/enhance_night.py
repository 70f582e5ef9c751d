"""The overnight job: every camera's archived footage of one night, restored, stored and published.

    read the site -> plan each camera -> take its lease -> lay out its run -> fan the work items out -> publish

With a deadline the last three are done in passes, few slots of every camera first (`tasks.passes`). A camera that fails
never stops another. Running it again resumes: published nights and stored shards are left alone. What is done for one
camera stands in `flows.night_job`.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect_dask.task_runners import DaskTaskRunner

from flows import clusters, versions
from flows.camera_tasks import publish_in_prefect
from flows.due import due
from flows.events import tell_night
from flows.feeding import DaskItems, ItemFeed, told_by_workers
from flows.logs import PlainError
from flows.night_job import NightJob, dask_client
from flows.object_store import hand_on, use_block
from flows.progress import shown_in_prefect
from tasks import codecs, collector, listing, storage
from tasks.deadline import next_time
from tasks.logs import show_in_prefect
from tasks.nights import night_date
from tasks.passes import by_priority
from tasks.shelf import PlanShelf
from tasks.site import read_site
from tasks.types import CameraNight


class NightIncompleteError(PlainError):
    """Some camera's night could not be finished; `outcomes` has all cameras, the published ones too."""

    def __init__(self, night: str, outcomes: list[CameraNight]) -> None:
        unfinished = ", ".join(f"{o.camera} ({o.reason})" for o in outcomes if o.status in ("failed", "partial"))
        super().__init__(f"night of {night}: not finished for {unfinished}; run it again")
        self.outcomes = outcomes


@flow(name="enhance-night", task_runner=DaskTaskRunner(cluster_class=clusters.workers))  # type: ignore[arg-type]
def enhance_night(
    night: str, site: str, archive: str, store_url: str, cameras: list[str] | None = None, deadline: str = ""
) -> list[CameraNight]:
    """Enhance one night of a site.

    Args:
        night: local date on which the night starts, YYYY-MM-DD; `last` for the latest that had ended when the run
            was due.
        site: path or URL of cameras.toml.
        archive: where the footage is, as a path or URL.
        store_url: where results go, as a path or URL.
        cameras: ids of the cameras to do; all by default.
        deadline: HH:MM in the time zone of the first of the cameras, the next time that it is; what is published by
            then is even over the night and over the cameras (`tasks.passes`). None: all is done, however long it takes.

    Raises:
        NightIncompleteError: if some camera's night could not be finished; the others are published all the same.
        EngineError: if the workers run other software than this process.
        FileNotFoundError: if the archive is a folder that is not there.
        ValueError: for a night or deadline that is none, or frames that can't be stored as the settings say.
    """
    show_in_prefect()
    use_block()
    described = read_site(site)
    chosen = by_priority(described.select(cameras))
    night = night_date(night, described.cameras, due())
    archive, store_url = storage.normalise(archive), storage.normalise(store_url)
    listing.need_archive(archive)
    until = next_time(deadline, described.select(cameras)[0].timezone, datetime.now(UTC)) if deadline else None
    codecs.check(described.settings)
    versions.check(dask_client())
    hand_on(dask_client())
    settings = described.settings
    with (
        ExitStack() as held,
        versions.late_workers_checked(dask_client()),
        shown_in_prefect(night) as progress,
        told_by_workers(dask_client()) as took,
        PlanShelf(archive, store_url, settings) as shelf,
        ItemFeed(DaskItems(dask_client(), settings)) as feed,
    ):
        job = NightJob(night, archive, store_url, settings, until, progress, shelf, feed, publish_in_prefect, took)
        with collector.new_objects_alone():
            job.begin(chosen, held)
        create_table_artifact(job.rows, key="planned-night", description=f"Night of {night}, what is to be done")
        outcomes = job.finish()
    create_table_artifact([vars(o) for o in outcomes], key="enhanced-night", description=f"Night of {night}")
    tell_night(night, storage.normalise(site), store_url, outcomes, settings.alarm_coverage / 100)
    if any(o.status in ("failed", "partial") for o in outcomes):
        raise NightIncompleteError(night, outcomes)  # so that Prefect's page, schedules and alerts see it
    return outcomes
