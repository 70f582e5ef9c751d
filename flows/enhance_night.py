"""The overnight job: every camera's archived footage of one night, restored, stored and published.

    read the site -> plan each camera -> take its lease -> lay out its run -> fan the work items out -> publish

A camera that fails never stops another. Running it again resumes: published nights and stored shards are left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext

import dask
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect_dask.task_runners import DaskTaskRunner

from flows import clusters
from flows.events import tell_night
from lednet import __version__
from tasks import lease, storage, store
from tasks.decode_process import prober
from tasks.logs import show_in_prefect
from tasks.nights import night_date
from tasks.plan import NothingToDoError, plan_night
from tasks.publish import publish, summary
from tasks.settings import NightSettings
from tasks.site import read_site
from tasks.types import Camera, CameraNight, ItemResult, NightPlan
from tasks.units import enhance

log = logging.getLogger("lednet")

Futures = list[PrefectFuture[ItemResult]]


class NightIncompleteError(RuntimeError):
    """Some camera's night could not be finished; `outcomes` has all cameras, the published ones too."""

    def __init__(self, night: str, outcomes: list[CameraNight]) -> None:
        unfinished = ", ".join(f"{o.camera} ({o.reason})" for o in outcomes if o.status in ("failed", "partial"))
        super().__init__(f"night of {night}: not finished for {unfinished}; run it again")
        self.outcomes = outcomes


@flow(name="enhance-night", task_runner=DaskTaskRunner(cluster_class=clusters.workers))  # type: ignore[arg-type]
def enhance_night(
    night: str, site: str, archive: str, store_url: str, cameras: list[str] | None = None
) -> list[CameraNight]:
    """Enhance one night of a site.

    Args:
        night: local date on which the night starts, YYYY-MM-DD; `last` for the latest that has ended.
        site: path or URL of cameras.toml.
        archive: where the footage is, as a path or URL.
        store_url: where results go, as a path or URL.
        cameras: ids of the cameras to do; all by default.

    Raises:
        NightIncompleteError: if some camera's night could not be finished; the others are published all the same.
        EngineError: if the workers run other software than this process.
    """
    show_in_prefect()
    described = read_site(site)
    night = night_date(night, described.cameras)
    archive, store_url = storage.normalise(archive), storage.normalise(store_url)
    clusters.check(_client())
    outcomes: list[CameraNight] = []
    running: list[tuple[NightPlan, Futures]] = []
    with ExitStack() as leases:
        for camera in described.select(cameras):
            planned = prepare(camera, night, archive, store_url, described.settings, leases)
            if isinstance(planned, CameraNight):
                outcomes.append(planned)
            else:
                running.append((planned, submit(planned, described.settings)))
        rows = [planned_row(plan) for plan, _ in running]
        create_table_artifact(rows, key="planned-night", description=f"Night of {night}, what is to be done")
        for plan, futures in running:
            failure = wait(futures)
            outcomes.append(finish(plan, store_url, described.settings, failure))
            log.info("%s: %s, %d frames", plan.camera.id, outcomes[-1].status, outcomes[-1].frames)
    create_table_artifact([vars(o) for o in outcomes], key="enhanced-night", description=f"Night of {night}")
    tell_night(night, storage.normalise(site), store_url, outcomes, described.settings.alarm_coverage / 100)
    if any(o.status in ("failed", "partial") for o in outcomes):
        raise NightIncompleteError(night, outcomes)  # so that Prefect's page, schedules and alerts see it
    return outcomes


def prepare(
    camera: Camera, night: str, archive: str, store_url: str, settings: NightSettings, leases: ExitStack
) -> NightPlan | CameraNight:
    """Plan a camera's night, take its lease and lay out its run; an outcome instead where there is nothing to do."""
    try:
        plan = plan_night(camera, night, archive, store_url, settings, prober(settings))
        if (done := already_published(plan, store_url)) is not None:
            return done
        leases.enter_context(lease.held(lease.folder(store_url, camera.id, night)))
        if (done := already_published(plan, store_url)) is not None:  # by the one who held it until now
            return done
        store.create_run(plan, settings, __version__)
        return plan
    except NothingToDoError as nothing:
        return CameraNight(camera.id, "no footage", str(nothing), quarantined=len(nothing.problems))
    except lease.HeldError as held:
        log.warning("%s: %s", camera.id, held)
        return CameraNight(camera.id, "under way", str(held))
    except Exception as error:  # one camera's trouble, whatever it is, must not cost the others their night
        log.exception("%s: planning failed", camera.id)
        return CameraNight(camera.id, "failed", f"planning: {error}")


def already_published(plan: NightPlan, store_url: str) -> CameraNight | None:
    """The outcome of a night that stands as it is planned."""
    manifest = store.read_manifest(store_url, plan.camera.id, plan.night)
    if manifest is None or manifest["run"] != plan.run:
        return None
    return summary(manifest, "already published", store_url)


def planned_row(plan: NightPlan) -> dict[str, str | int | float]:
    """A camera's plan in a line, for Prefect's page."""
    return {
        "camera": plan.camera.id,
        "run": plan.run,
        "segments": len(plan.segments),
        "unreadable": len(plan.problems),
        "gaps": len(plan.gaps),
        "slots": plan.grid.slots,
        "with footage": plan.planned_slots,
        "shards": plan.shards,
        "work items": len(plan.items),
        "GB in": round(sum(s.size for s in plan.segments) / 1e9, 3),
    }


def submit(plan: NightPlan, settings: NightSettings) -> Futures:
    """Hand a camera's work items to the workers, to those with a GPU where there are any."""
    resources = clusters.worker_resources(_client())
    with dask.annotate(resources=resources) if resources else nullcontext():
        return [enhance.submit(item, settings) for item in plan.items]


def _client() -> object:
    context = FlowRunContext.get()
    assert context is not None
    assert isinstance(context.task_runner, DaskTaskRunner)
    return context.task_runner.client


def wait(futures: Iterable[PrefectFuture[ItemResult]]) -> str:
    """Wait for a camera's work items; returns the first failure's words, or none.

    A killed worker leaves its task run unfinished after the wait: not completed means failed.
    """
    failure = ""
    for future in futures:
        future.wait()
        state = future.state
        if not state.is_completed():
            failure = failure or state.message or f"a work item ended as {state.name}; its worker may have been killed"
    return failure


def finish(plan: NightPlan, store_url: str, settings: NightSettings, failure: str) -> CameraNight:
    """Publish a camera's night if it is whole, and say why if it is not."""
    try:
        outcome = publish(plan, store_url, settings)
    except Exception as error:  # as in `prepare`
        log.exception("%s: publishing failed", plan.camera.id)
        return CameraNight(plan.camera.id, "failed", f"publishing: {error}")
    if outcome.status == "partial" and failure:
        return CameraNight(plan.camera.id, "partial", f"{outcome.reason} ({failure})")
    return outcome
