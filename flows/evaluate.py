"""The morning's evaluation: facts of every camera, what they come to, and the report.

    find the published nights -> measure each camera's on the workers, as facts -> judge the last night -> report

Facts are corrected by every run and never doubled, so late nights and re-runs only need to be evaluated again. A night
that can't be read never stops the others.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from prefect import flow
from prefect.context import FlowRunContext
from prefect_dask.task_runners import DaskTaskRunner

from flows import clusters
from flows.artifacts import publish_report
from flows.camera_tasks import write_facts
from flows.due import due
from flows.object_store import hand_on, use_block
from tasks import storage, store
from tasks.camera_facts import FactsJob
from tasks.evaluate import against_truth
from tasks.judge import judge_night
from tasks.listing import need_store
from tasks.logs import show_in_prefect
from tasks.nights import night_range
from tasks.outcome import former_cameras, stored_outcome
from tasks.report import Truth, collect, write_page
from tasks.site import Site, read_site
from tasks.types import Camera, CameraNight

log = logging.getLogger("lednet")


@flow(name="evaluate", task_runner=DaskTaskRunner(cluster_class=clusters.workers))  # type: ignore[arg-type]
def evaluate(
    night: str,
    site: str,
    store_url: str,
    outcomes: Sequence[CameraNight] = (),
    truths: Mapping[str, str] | None = None,
    cameras: list[str] | None = None,
) -> str:
    """Evaluate nights and write the report of the last of them; returns its URL.

    Args:
        night: local date on which the night starts, YYYY-MM-DD; `last` for the latest that had ended when the run was
            due; or a range such as 2026-01-01..2026-01-31.
        site: path or URL of cameras.toml.
        store_url: where results are, as a path or URL.
        outcomes: what `enhance_night` returned; by default what the store says of the cameras.
        truths: camera id -> URL of its true frames, where those are known.
        cameras: ids of the cameras to evaluate; by default those of `outcomes`, or all.
    """
    show_in_prefect()
    use_block()
    described, store_url = read_site(site), storage.normalise(store_url)
    if not outcomes:  # else a night was just run there, though it may have stored nothing
        need_store(store_url)
    nights = night_range(night, described.cameras, due())
    chosen = described.select(cameras or [o.camera for o in outcomes] or None)
    jobs = [FactsJob(c, nights, store_url, described.settings, described.health, described.synthesis) for c in chosen]
    for outcome in write_facts(jobs, *_workers()):
        if outcome.status == "failed":
            log.error("%s, %s: no facts: %s", outcome.camera, outcome.night, outcome.reason)
    return draw(nights[-1], described, store_url, outcomes, truths or {})


@flow(name="report")
def report(night: str, site: str, store_url: str) -> str:
    """Write a night's report anew from the facts and pictures in the store; returns its URL."""
    show_in_prefect()
    use_block()
    described = read_site(site)
    need_store(store_url)
    last = night_range(night, described.cameras, due())[-1]
    return draw(last, described, storage.normalise(store_url), (), {})


def _workers() -> tuple[str, dict[str, int]]:
    """The scheduler's address, and what work must ask for: a worker with a GPU where there are any.

    The workers are given what they need to reach the store.
    """
    context = FlowRunContext.get()
    assert context is not None
    assert isinstance(context.task_runner, DaskTaskRunner)
    client = context.task_runner.client
    hand_on(client)
    return str(client.scheduler_info()["address"]), clusters.worker_resources(client)


def draw(night: str, site: Site, store_url: str, outcomes: Sequence[CameraNight], truths: Mapping[str, str]) -> str:
    """Judge a night by the facts and write its report, of all of the site's cameras; returns the report's URL.

    A page of those that were just done would take the place of the whole site's. Cameras that the site has no more
    stand in it where the night is published of them.
    """
    manifests = store.Manifests(store_url, night)
    cameras = (*site.cameras, *former_cameras(manifests, {c.id for c in site.cameras}))
    # What somebody else is at work on may be published in part, and has got further since.
    known = {o.camera: o for o in outcomes if o.status != "under way"}
    outcomes = [known.get(c.id) or stored_outcome(store_url, c.id, night, manifests) for c in cameras]
    under_way = {o.camera for o in outcomes if o.status == "under way"}
    published = _published_runs(cameras, manifests)
    judged = judge_night(store_url, night, cameras, site.health, site.language, under_way, published, manifests)
    page = collect(
        night,
        store_url,
        outcomes,
        _known_truths(site, manifests, published, truths),
        summary=judged.summary,
        findings=judged.findings,
        history=judged.history,
        language=site.language,
        manifests=manifests,
    )
    url = write_page(page)
    publish_report(page, url)
    return url


def _published_runs(cameras: Sequence[Camera], manifests: store.Manifests) -> dict[str, str]:
    """Camera -> the run that is published of its night; without those that have none, or a damaged manifest."""
    runs: dict[str, str] = {}
    for camera in cameras:
        with suppress(store.StoreError):  # the report tells it
            manifest = manifests.of(camera.id)
            runs |= {camera.id: str(manifest["run"])} if manifest else {}
    return runs


def _known_truths(
    site: Site, manifests: store.Manifests, published: Collection[str], truths: Mapping[str, str]
) -> dict[str, Truth]:
    figures = {}
    for camera in site.cameras:
        manifest = manifests.of(camera.id) if camera.id in truths and camera.id in published else None
        if manifest is not None:
            rows = against_truth(manifest, camera, truths[camera.id], site.settings.most_pixels)
            figures[camera.id] = Truth(truths[camera.id], rows)
    return figures
