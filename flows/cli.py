"""The command line: `lednet`, the same verbs as the flows.

Exit codes: 0 done, 1 failed, 2 partial (a camera's night is not published, or files were quarantined), 130 interrupted.
Heavy libraries are imported inside the commands, so that `lednet --help` answers at once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from flows import model_commands
from flows.logs import OneLine, one_line
from flows.screen import PlainConsole, screen
from tasks.nights import LAST, night_date

if TYPE_CHECKING:
    from tasks.types import CameraNight

app = typer.Typer(
    help="Gives mines their nights back: restores archived night footage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
model_commands.register(app)
console = PlainConsole(stderr=True)
log = logging.getLogger("lednet")

DONE, FAILED, PARTIAL = 0, 1, 2
INTERRUPTED = 130
"""As shells say it of a program that Ctrl-C ended: 128 and the signal's number."""

Night = Annotated[
    str, typer.Argument(help="Local date on which it starts, YYYY-MM-DD; `last` for the latest that is over.")
]
SiteFile = Annotated[str, typer.Option("--site", envvar="LEDNET_SITE", help="cameras.toml, as a path or URL.")]
Archive = Annotated[str, typer.Option("--archive", envvar="LEDNET_ARCHIVE", help="Where the footage is: path or URL.")]
Store = Annotated[str, typer.Option("--store", envvar="LEDNET_STORE", help="Where results go: path or URL.")]
CameraIds = Annotated[list[str] | None, typer.Option("--camera", help="Only this camera; may be given again.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for programs.")]


def main() -> None:
    """Entry point: logging, and errors that a user can act on without a traceback."""
    logging.basicConfig(level=logging.WARNING, handlers=[log_handler(console)])
    logging.getLogger("lednet").setLevel(logging.INFO)
    logging.getLogger("tasks").setLevel(logging.INFO)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    try:
        if os.environ.get("LEDNET_S3_BLOCK") and "--help" not in sys.argv:
            from flows.engine import be_quiet

            be_quiet()
            from flows.object_store import use_block

            use_block()  # any command may read the store
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer makes it of Ctrl-C, without a word
            log.error("interrupted; what is stored stays, run the same command again to go on")
        raise
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("LEDNET_DEBUG"):
            raise
        log.error("%s", error)
        sys.exit(FAILED)


def log_handler(to: Console) -> logging.Handler:
    """Log lines for a person at a terminal, or for a file."""
    handler: logging.Handler = RichHandler(console=to, show_path=False, log_time_format="%H:%M:%S")
    handler.setFormatter(logging.Formatter("%(message)s"))
    if not to.is_terminal:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    handler.addFilter(OneLine())
    return handler


DemoFolder = Annotated[Path, typer.Argument(help="Where to put the demo's archive and store.")]


@app.command()
def demo(folder: DemoFolder = Path("demo")) -> None:
    """The main job on a drawn sample; ends by naming the report."""
    from flows.demo import run_demo

    raise typer.Exit(run_demo(folder))


@app.command()
def clip(
    source: Annotated[Path, typer.Argument(help="Video file to restore.")],
    target: Annotated[Path, typer.Argument(help="Video file to write, H.264.")],
    model: Annotated[str, typer.Option(help="Shipped checkpoint, or path of a .safetensors file.")] = "small",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    frame_wise: Annotated[bool, typer.Option("--frame-wise", help="Each frame on its own; may flicker.")] = False,
    as_json: Json = False,
) -> None:
    """Restore one video file; keeps size, rate, length and sound."""
    from rich.markup import escape
    from rich.progress import Progress

    from lednet import Restorer
    from tasks.video import restore_clip

    if target.exists() and target.samefile(source):
        raise ValueError(f"{target}: is the source itself; name another target")
    restorer = Restorer(model, device=device)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(one_line(source.name)), total=None)

        def show(done: int, expected: int) -> None:
            bar.update(task, completed=done, total=expected or None)
            if not console.is_terminal and done % 100 == 0:
                log.info("%s: %d of %s frames", source.name, done, expected or "?")

        frames = restore_clip(source, target, restorer, show, frame_wise)
    emit(
        as_json,
        {"source": str(source), "target": str(target), "frames": frames, "model": restorer.name},
        f"{target}: {frames} frames restored",
    )


Deadline = Annotated[str, typer.Option(help="HH:MM at the cameras' site: is it met, and what would meet it?")]
Workers = Annotated[int, typer.Option(min=1, help="Workers that share the work.")]
KnownRate = Annotated[float, typer.Option("--rate", min=0, help="Frames/s of one worker, in place of last night's.")]
Sizing = Annotated[float, typer.Option(min=0, help="Size sites of 10, 100, 1,000 such cameras, done in so many hours.")]


@app.command()
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

    described = read_site(site)  # what is wrong with it is told before anything slow is imported
    from flows.planning import plan_site, show

    planned = plan_site(described, night, archive, store, camera, deadline, workers, rate, sizing)
    if as_json:
        typer.echo(json.dumps(asdict(planned)))
    else:
        show(planned, workers, screen())
    late = planned.deadline is not None and not planned.deadline.met
    raise typer.Exit(PARTIAL if planned.without_footage or late else DONE)


@app.command()
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
    from tasks.deadline import next_time
    from tasks.site import read_site

    if scheduler:
        os.environ["LEDNET_SCHEDULER"] = scheduler
    if cluster:
        os.environ["LEDNET_CLUSTER"] = cluster
    night = named_night(night, site)  # bad input is told before any server starts
    zone = read_site(site).select(camera)[0].timezone
    if deadline:
        next_time(deadline, zone, datetime.now(UTC))
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
    """Run the flows of one night on a Prefect server and workers; returns the outcomes and the report's URL."""
    from flows import engine
    from flows.progress import night_progress

    with engine.prefect_server():
        # Prefect reads its settings when it is imported: the server's address must be known by then.
        from flows.enhance_night import NightIncompleteError, enhance_night
        from flows.evaluate import evaluate

        with night_progress(store, night, cameras, console):
            try:
                outcomes = enhance_night(night, site, archive, store, cameras, deadline)
            except NightIncompleteError as error:
                outcomes = error.outcomes
        return outcomes, evaluate(night, site, store, outcomes, truths) if report else ""


def exit_code(outcomes: Sequence[CameraNight]) -> int:
    """0 if every camera's night is published whole, 1 if none is, 2 in between or where somebody else is at work."""
    published = [o for o in outcomes if o.manifest_url]
    if not published and not any(o.status == "under way" for o in outcomes):
        return FAILED
    return DONE if len(published) == len(outcomes) and not any(o.quarantined for o in outcomes) else PARTIAL


def show_outcomes(outcomes: Sequence[CameraNight], report_url: str) -> None:
    """The night in a table, the report's place below it."""
    table = Table(title="Night")
    for name in ("camera", "status", "frames", "coverage", "quarantined", "reason"):
        table.add_column(name)
    for o in outcomes:
        table.add_row(o.camera, o.status, str(o.frames), f"{o.coverage:.1%}", str(o.quarantined), o.reason)
    out = screen()
    out.print(table)
    if all(o.status == "already published" for o in outcomes):
        out.print("Everything was published already; nothing was done.")
    if report_url:
        out.print("report", report_url)


@app.command()
def report(night: Night, site: SiteFile = "cameras.toml", store: Store = "store", as_json: Json = False) -> None:
    """Write a night's report anew from the store."""
    from flows import engine

    night = named_night(night, site)
    with engine.prefect_server():
        from flows.evaluate import report as draw_report

        url = draw_report(night, site, store)
    emit(as_json, {"report": url}, f"report {url}")


@app.command(context_settings={"ignore_unknown_options": True})
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
    from tasks.nights import night_range
    from tasks.site import read_site

    nights = arguments[0]
    # Bad input is told before any server starts.
    night_range(nights, read_site(site).cameras if LAST in nights else ())
    read_site(site).select(camera)
    with engine.prefect_server():
        from flows.evaluate import evaluate as evaluate_nights

        url = evaluate_nights(nights, site, store, cameras=camera)
    emit(as_json, {"report": url}, f"report {url}")


@app.command()
def status(
    night: Annotated[str, typer.Argument(help="Only this night, YYYY-MM-DD.")] = "",
    store: Store = "store",
    camera: CameraIds = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show it anew until no night is under way.")] = False,
    as_json: Json = False,
) -> None:
    """What is done and what is under way."""
    from flows.status import show_nights

    show_nights(store, night_date(night) if night else None, camera, screen(), as_json=as_json, follow=follow)


AlarmUrl = Annotated[str, typer.Option(envvar="LEDNET_ALARM_URL", help="Webhook for failed runs and low coverage.")]


@app.command()
def deploy(
    file: Annotated[Path, typer.Argument(help="The deployments; a site edits its copy.")] = Path("prefect.yaml"),
    alarm_url: AlarmUrl = "",
    as_json: Json = False,
) -> None:
    """Register prefect.yaml with the Prefect server that PREFECT_API_URL names; again after every edit."""
    from flows.deploy import deploy as register

    names = register(file, alarm_url)
    emit(as_json, {"deployments": names}, f"deployed: {', '.join(names)}")


@app.command()
def verify(
    night: Annotated[str, typer.Argument(help="Only this night, YYYY-MM-DD.")] = "",
    site: SiteFile = "cameras.toml",
    archive: Archive = "archive",
    store: Store = "store",
    camera: CameraIds = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Do damaged shards anew; needs the site and archive.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Are the published nights intact, byte by byte? Exit code 1 if not."""
    from lednet import __version__
    from tasks import storage
    from tasks.site import read_site
    from tasks.verify import check_night, published, repair_night

    where = storage.normalise(store)
    checks = [check_night(where, *one) for one in published(where, night_date(night) if night else None, camera)]
    if repair and any(c.findings for c in checks):
        described, footage = read_site(site), storage.normalise(archive)
        known = {c.id: c for c in described.select(None)}
        checks = [
            repair_night(c, known[c.camera], footage, where, described.settings, __version__)
            if c.findings and c.camera in known
            else c
            for c in checks
        ]
    findings = [f for c in checks for f in c.findings]
    if as_json:
        typer.echo(json.dumps([asdict(c) for c in checks]))
    else:
        for finding in findings:
            shard = "" if finding.shard is None else f"shard {finding.shard}: "
            typer.echo(one_line(f"{shard}{finding.url}: {finding.fault}"))
        gigabytes = sum(c.bytes for c in checks) / 1e9
        shards, repaired = sum(c.shards for c in checks), sum(c.repaired for c in checks)
        typer.echo(
            f"{len(checks)} nights, {shards} shards, {gigabytes:.3f} GB read: {len(findings)} damaged objects"
            + (f", {repaired} repaired" if repaired else "")
        )
    raise typer.Exit(FAILED if findings else DONE)


@app.command()
def gc(
    store: Store = "store",
    older_than: Annotated[float, typer.Option(min=0, help="Days since the last write to it.")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Free space: superseded and abandoned runs, unfinished objects. Never touches a published run."""
    from tasks import storage
    from tasks.collect import Garbage, InUseError, find_garbage, remove

    found: list[Garbage] = []
    for garbage in list(find_garbage(storage.normalise(store), older_than)):
        try:
            if not dry_run:
                remove(garbage)
        except InUseError as error:
            log.warning("left alone: %s", error)
            continue
        found.append(garbage)
        if not as_json:
            size = f"{garbage.bytes / 1e9:.3f} GB"
            typer.echo(one_line(f"{garbage.kind}: {garbage.url}, {size}, {garbage.days:.1f} days old"))
    freed = sum(g.bytes for g in found) / 1e9
    words = f"{len(found)} things, {freed:.3f} GB {'would be' if dry_run else 'were'} freed"
    fields = ("url", "kind", "objects", "bytes", "days")
    emit(as_json, {"dry_run": dry_run, "garbage": [{k: getattr(g, k) for k in fields} for g in found]}, words)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def train(context: typer.Context) -> None:
    """Train on sharp clips (`lednet train --help`)."""
    from lednet.train import main as train_main

    raise typer.Exit(train_main(context.args))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Frames/s of this machine (`lednet bench --help`); with --item also of a whole work item, from file to store."""
    from lednet.bench import main as bench_main

    arguments = [a for a in context.args if a != "--item"]
    code = bench_main(arguments)
    if code == 0 and "--item" in context.args:
        from tasks.bench_item import main as item_main

        code = item_main(["--json"] if "--json" in arguments else [])
    raise typer.Exit(code)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def export(context: typer.Context) -> None:
    """A network as ONNX, for frames of any size, checked (`lednet export --help`)."""
    from lednet.export import main as export_main

    raise typer.Exit(export_main(context.args))


def named_night(night: str, site: str) -> str:
    """A night's date. The site is asked for `last` alone, so that a mistyped date is told first."""
    from tasks.site import read_site

    return night_date(night, read_site(site).cameras if night == LAST else ())


def emit(as_json: bool, data: dict[str, Any], words: str) -> None:
    """One result, for a program or a person."""
    typer.echo(json.dumps(data) if as_json else one_line(words))


if __name__ == "__main__":
    main()
