"""The commands of a night: `lednet plan`, `enhance`, `report`, `evaluate` and `status`; and how a night is run and
told, which the demo shares.

Whether what is stored is intact, and what may go, is `flows.store_commands`. The rest of the command line is
`flows.cli`, which these are registered with.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.options import DONE, FAILED, PARTIAL, Archive, CameraIds, Json, Night, SiteFile, Store
from flows.screen import console, emit, screen
from tasks.nights import LAST, night_date

if TYPE_CHECKING:
    from tasks.types import CameraNight

log = logging.getLogger("lednet")

MOST_NAMED = 20
"""Quarantined files that a night's end names on the terminal."""


def register(app: typer.Typer) -> None:
    """Add these commands to `lednet`."""
    app.command()(plan)
    app.command()(enhance)
    app.command()(report)
    app.command(context_settings={"ignore_unknown_options": True})(evaluate)
    app.command()(status)


Deadline = Annotated[str, typer.Option(help="HH:MM at the cameras' site: is it met, and what would meet it?")]
Workers = Annotated[int, typer.Option(min=1, help="Workers that share the work.")]
KnownRate = Annotated[float, typer.Option("--rate", min=0, help="Frames/s of one worker, in place of last night's.")]
Sizing = Annotated[float, typer.Option(min=0, help="Size sites of 10, 100, 1,000 such cameras, done in so many hours.")]


def plan(
    night: Night,
    site: SiteFile = "cameras.toml",
    archive: Archive = "archive",
    store: Store = "store",
    camera: CameraIds = None,
    deadline: Deadline = "",
    workers: Workers = 1,
    rate: KnownRate = 0.0,
    sizing: Sizing = 0.0,
    as_json: Json = False,
) -> None:
    """What a night would take: gaps, gigabytes, hours, and whether it is done by a deadline.

    Hours are at the rate that workers reached in the camera's last published night; where the store knows none, at the
    rate measured on one frame on this machine. It says which. Writes nothing.
    """
    from tasks.site import read_site

    night = named_night(night, site)  # what is wrong is told before anything slow is imported
    described = read_site(site)
    described.select(camera)
    from tasks.listing import need_archive

    need_archive(archive)
    from flows.planning import plan_site, show

    planned = plan_site(described, night, archive, store, camera, deadline, workers, rate, sizing)
    if as_json:
        typer.echo(json.dumps(asdict(planned)))
    else:
        show(planned, workers, described.select(camera)[0].timezone, screen())
    late = planned.deadline is not None and not planned.deadline.met
    raise typer.Exit(PARTIAL if planned.without_footage or late else DONE)


def enhance(
    night: Night,
    site: SiteFile = "cameras.toml",
    archive: Archive = "archive",
    store: Store = "store",
    camera: CameraIds = None,
    scheduler: Annotated[str, typer.Option(help="Existing Dask scheduler, tcp://host:port.")] = "",
    cluster: Annotated[str, typer.Option(help="Workers to start: local, cuda, kubernetes or slurm.")] = "",
    deadline: Annotated[str, typer.Option(help="HH:MM at the site: coarse slots first, and stop then.")] = "",
    report: Annotated[bool, typer.Option(help="Write the night's report as well.")] = True,
    as_json: Json = False,
) -> None:
    """The overnight job; run it again to resume.

    Exit code 0: every camera's night is published. 2: some are not, or files were quarantined. 1: none is.
    """
    from lednet import checkpoint
    from tasks import codecs, models, storage
    from tasks.deadline import next_time
    from tasks.listing import need_archive
    from tasks.site import read_site

    if scheduler:
        os.environ["LEDNET_SCHEDULER"] = scheduler
    if cluster:
        os.environ["LEDNET_CLUSTER"] = cluster
    night = named_night(night, site)  # bad input is told before any server starts
    described = read_site(site)
    codecs.check(described.settings)
    zone = described.select(camera)[0].timezone
    if deadline:
        next_time(deadline, zone, datetime.now(UTC))
    need_archive(archive)
    checkpoint.locate(models.fetch(models.resolve(described.settings.checkpoint, storage.normalise(store))))
    check_workers()
    outcomes, report_url = run_night(night, site, archive, store, camera, report=report, deadline=deadline)
    if as_json:
        typer.echo(json.dumps({"night": night, "cameras": [asdict(o) for o in outcomes], "report": report_url}))
    else:
        show_outcomes(outcomes, report_url)
    raise typer.Exit(exit_code(outcomes))


def run_night(
    night: str,
    site: str,
    archive: str,
    store: str,
    cameras: list[str] | None,
    *,
    report: bool,
    deadline: str = "",
    truths: dict[str, str] | None = None,
) -> tuple[list[CameraNight], str]:
    """Run the flows of one night on one server and one set of workers; returns the outcomes and the report's URL."""
    from flows import engine
    from flows.progress import night_progress

    with engine.prefect_server():
        # Prefect and Dask read their settings when they are imported: the server's address must be known by then.
        from prefect_dask.task_runners import DaskTaskRunner

        from flows import clusters
        from flows.enhance_night import NightIncompleteError, enhance_night
        from flows.evaluate import evaluate

        with clusters.workers() as workers:
            runner: Any = DaskTaskRunner(cluster_class=lambda: nullcontext(workers))  # type: ignore[arg-type,return-value]
            with night_progress(store, night, cameras, console):
                try:
                    outcomes = enhance_night.with_options(task_runner=runner)(
                        night, site, archive, store, cameras, deadline
                    )
                except NightIncompleteError as error:
                    outcomes = error.outcomes
            if not report:
                return outcomes, ""
            return outcomes, evaluate.with_options(task_runner=runner)(night, site, store, outcomes, truths)


def exit_code(outcomes: Sequence[CameraNight]) -> int:
    """0 if every camera's night is published whole, 1 if none is, 2 in between or where somebody else is at work."""
    published = [o for o in outcomes if o.manifest_url]
    if not published and not any(o.status == "under way" for o in outcomes):
        return FAILED
    whole = all(o.status in ("published", "already published") and not o.quarantined for o in outcomes)
    return DONE if whole else PARTIAL


def show_outcomes(outcomes: Sequence[CameraNight], report_url: str) -> None:
    """The night in a table, the report's place below it."""
    from tasks.page_format import percent

    table = Table(title="Night")
    for name in ("camera", "status", "frames", "coverage", "quarantined", "reason"):
        table.add_column(name)
    for o in outcomes:
        table.add_row(o.camera, o.status, str(o.frames), percent(o.coverage), str(o.quarantined), o.reason)
    out = screen()
    out.print(table)
    for line in quarantined(outcomes):
        out.print(line)
    if all(o.status == "already published" for o in outcomes):
        out.print("Everything was published already; nothing was done.")
    if report_url:
        out.print("report", report_url)


def quarantined(outcomes: Sequence[CameraNight]) -> list[str]:
    """A line for each file that was not used whole, with the reason; of very many the first. The report names all."""
    from tasks import storage

    lines = []
    for o in outcomes:
        if o.quarantined and o.manifest_url:
            with suppress(OSError, ValueError, KeyError):  # the night is published, whatever is told of it here
                for p in json.loads(storage.read(o.manifest_url))["problems"]:
                    used = f" ({p['frames']} frames of it are used)" if p["frames"] else ""
                    lines.append(f"{o.camera}: quarantined {p['url'].rpartition('/')[2]}: {p['reason']}{used}")
    more = len(lines) - MOST_NAMED
    return [*lines[:MOST_NAMED], f"... and {more} more files; the report names all"] if more > 0 else lines


def report(night: Night, site: SiteFile = "cameras.toml", store: Store = "store", as_json: Json = False) -> None:
    """Write a night's report anew from the store."""
    from flows import engine
    from tasks.listing import need_store
    from tasks.site import read_site

    night = named_night(night, site)
    read_site(site)  # bad input is told before any server starts
    need_store(store)
    with engine.prefect_server():
        from flows.evaluate import report as draw_report

        url = draw_report(night, site, store)
    emit(as_json, {"report": url}, f"report {url}")


def evaluate(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="NIGHT", help="A night, or the first and last of many: FIRST..LAST.")
    ] = None,
    site: SiteFile = "cameras.toml",
    store: Store = "store",
    camera: CameraIds = None,
    table: Annotated[
        bool,
        typer.Option("--table", help="Compare methods instead; its options: python -m lednet.evaluate_table --help."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure nights anew, correct their facts and write the report of the last; or compare methods (`--table`)."""
    if table:
        from flows.table import main as table_main

        raise typer.Exit(table_main(arguments or [], screen()))
    if not arguments:
        context.fail("Missing argument 'NIGHT': write YYYY-MM-DD, last or FIRST..LAST; or --table to compare methods")
    if len(arguments) != 1:
        raise ValueError(f"evaluate: {' '.join(arguments)} is not one night; write YYYY-MM-DD, last or FIRST..LAST")
    from flows import engine
    from tasks.listing import need_store
    from tasks.nights import night_range
    from tasks.site import read_site

    nights = arguments[0]
    # Bad input is told before any server starts.
    night_range(nights, read_site(site).cameras if LAST in nights else ())
    read_site(site).select(camera)
    need_store(store)
    check_workers()
    with engine.prefect_server():
        from flows.evaluate import evaluate as evaluate_nights

        url = evaluate_nights(nights, site, store, cameras=camera)
    emit(as_json, {"report": url}, f"report {url}")


def status(
    night: Annotated[str, typer.Argument(help="Only this night, YYYY-MM-DD.")] = "",
    store: Store = "store",
    camera: CameraIds = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show it anew until no night is under way.")] = False,
    as_json: Json = False,
) -> None:
    """What is done, what is under way, and which planned runs are late."""
    from flows.late_runs import late_runs
    from flows.status import show_nights

    show_nights(store, night_date(night) if night else None, camera, screen(), as_json=as_json, follow=follow)
    for line in late_runs():  # as a warning, beside the list of nights that programs read
        log.warning("%s", line)


def named_night(night: str, site: str) -> str:
    """A night's date. The site is asked for `last` alone, so that a mistyped date is told first."""
    from tasks.site import read_site

    return night_date(night, read_site(site).cameras if night == LAST else ())


def check_workers() -> None:
    """Raise EngineError where the settings name no workers that can be had."""
    from flows.engine import be_quiet

    be_quiet()  # Dask reads it when it is imported
    from flows import clusters

    clusters.check()
