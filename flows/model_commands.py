"""The commands that make and keep models: `lednet synthesize`, `retrain` and `models`.

The rest of the command line is `flows.cli`, which these are registered with.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.options import DONE, PARTIAL, Json, SiteFile
from flows.screen import emit, screen

if TYPE_CHECKING:
    from tasks.models import Production

Store = Annotated[str, typer.Option("--store", envvar="LEDNET_STORE", help="Where models and pairs are: path or URL.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the record.")]
VersionName = Annotated[str, typer.Argument(help="A version, as `lednet models list` names it.")]

models_app = typer.Typer(help="List, compare, promote and roll back stored models.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to `lednet`."""
    app.command()(synthesize)
    app.command()(retrain)
    app.add_typer(models_app, name="models")


def synthesize(
    source: Annotated[str, typer.Argument(help="GoPro footage: folder, file or URL.")],
    store: Store = "store",
    dataset: Annotated[str, typer.Option(help="Name of the data set; by default one of its content.")] = "",
    site: Annotated[str, typer.Option(help="cameras.toml, for its [learn] table.")] = "",
    as_json: Json = False,
) -> None:
    """GoPro footage to pairs; run it again to resume. Exit code 2: files could not be read."""
    from flows import engine
    from tasks.footage import need_footage
    from tasks.site import read_site

    if site:  # bad input is told before any server starts
        read_site(site).learn.find_recipes()
    need_footage([source])
    with engine.prefect_server():
        from flows.synthesize import synthesize as run

        made = run(source, store, dataset, site)
    lines = [f"{made.url}: {made.pairs} pairs of {made.clips} clips", f"contact sheet {made.sheet or 'none'}"]
    emit(as_json, asdict(made), *lines, *(f"not readable: {p}" for p in made.problems))
    raise typer.Exit(PARTIAL if made.problems else DONE)


def retrain(
    footage: Annotated[list[str] | None, typer.Option(help="Besides that of [learn]; may be given again.")] = None,
    site: SiteFile = "cameras.toml",
    store: Store = "store",
    steps: Annotated[int, typer.Option(min=0, help="Of the training; 0: what [learn] says.")] = 0,
    promote: Annotated[bool, typer.Option(help="Put the new model into production if it is better.")] = True,
    as_json: Json = False,
) -> None:
    """Train on from production on new footage; promote what is better."""
    from flows import engine
    from tasks.footage import need_footage
    from tasks.site import read_site

    learn = read_site(site).learn
    learn.find_recipes()  # bad input is told before any server starts
    need_footage([learn.footage, *(footage or [])])
    with engine.prefect_server():
        from flows.retrain import retrain as run

        decision = run(footage, site, store, steps or None, promote)
    words = [f"{decision.new or 'no new version'}: {decision.why}", *(f"  {d}" for d in decision.differences)]
    emit(as_json, decision.to_dict(), *words)


@models_app.command("list")
def list_models(store: Store = "store", as_json: Json = False) -> None:
    """All versions, whether they are whole, which one is in production, and how it came there."""
    from tasks import models, storage

    url = storage.normalise(store)
    production = models.read_production(url)
    versions, damaged = models.read_whole_versions(url)
    if production.version and production.version not in {*damaged, *(v.name for v in versions)}:
        damaged[production.version] = "it is gone; add the checkpoint again, or promote another"
    if as_json:
        rows = [{"version": v.name, "sha256": v.card.sha256, "decision": v.decision} for v in versions]
        typer.echo(json.dumps({"production": asdict(production), "versions": rows, "damaged": damaged}))
        return
    table = Table("version", "production", "steps", "trained clips", "decision", title=f"Models in {store}")
    for v in versions:
        here = "yes" if v.name == production.version else ""
        steps, clips = str(v.card.steps()), str(len(v.card.trained_clips()))
        table.add_row(v.name, here, steps, clips, str((v.decision or {}).get("why", "")))
    for name, reason in damaged.items():
        table.add_row(name, "yes" if name == production.version else "", "", "", f"damaged: {reason}")
    show(table if versions or damaged else f"{store}: holds no models")
    for p in production.history:
        show(f"{p.when} {p.action} {p.version} in place of {p.previous or 'nothing'}, by {p.who}: {p.why}")


@models_app.command()
def compare(
    old: VersionName, new: VersionName, site: SiteFile = "cameras.toml", store: Store = "store", as_json: Json = False
) -> None:
    """Two versions on the held-out clips of the footage that [learn] names; decides, but promotes nothing."""
    from tasks import finetune, models, storage
    from tasks.footage import list_footage
    from tasks.promotion import decide
    from tasks.site import read_site

    learn, url = read_site(site).learn, storage.normalise(store)
    versions = [models.read_version(url, name) for name in (old, new)]
    footage = finetune.held_out_of(list_footage([learn.footage]), [v.card for v in versions], learn)
    paths = [Path(models.fetch(v.url)) for v in versions]
    figures, problems = finetune.compare(paths[0], paths[1], footage, learn)
    decision = decide(old, new, figures, learn)
    lines = [f"{new} against {old}: {decision.untried}", *(f"  {d}" for d in decision.differences)]
    emit(as_json, decision.to_dict(), *lines, *(f"not readable: {p.url}: {p.reason}" for p in problems))


@models_app.command()
def add(weights: Annotated[Path, typer.Argument(help="A .safetensors file with its card.")], store: Store = "store",
        as_json: Json = False) -> None:  # fmt: skip
    """Store a checkpoint as a version; promotes nothing."""
    from flows.retrain import now
    from tasks import models, storage

    version = models.add_version(storage.normalise(store), weights, now())
    emit(as_json, {"version": version.name, "url": version.url}, version.name)


@models_app.command()
def promote(version: VersionName, why: Why, store: Store = "store", as_json: Json = False) -> None:
    """Put a version into production."""
    from flows.retrain import now, who
    from tasks import models, storage

    done(models.promote(storage.normalise(store), version, who(), now(), why), as_json)


@models_app.command()
def rollback(why: Why, store: Store = "store", as_json: Json = False) -> None:
    """Put the version back that the present one replaced."""
    from flows.retrain import now, who
    from tasks import models, storage

    done(models.rollback(storage.normalise(store), who(), now(), why), as_json)


def done(production: Production, as_json: bool) -> None:
    """Tell a promotion."""
    emit(as_json, asdict(production), f"production is {production.version}")


def show(what: Any) -> None:
    """Print for people."""
    screen().print(what)
