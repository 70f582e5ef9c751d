"""The commands of the store: `lednet show`, `verify` and `gc`.

What is done and what is under way is `lednet status`, in `flows.night_commands`. The rest of the command line is
`flows.cli`, which these are registered with.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.logs import one_line
from flows.options import DONE, FAILED, Archive, CameraIds, Json, SiteFile, Store
from flows.screen import asked_for, emit
from tasks.nights import night_date

if TYPE_CHECKING:
    from tasks.site import Site
    from tasks.verify import NightCheck

log = logging.getLogger("lednet")

STRETCH_S = 10.0
"""Of the video that `lednet show` writes, unless another length is asked for."""


def register(app: typer.Typer) -> None:
    """Add these commands to `lednet`."""
    app.command()(show)
    app.command()(verify)
    app.command()(gc)


def show(
    camera: Annotated[str, typer.Argument(help="Its id, as in cameras.toml.")],
    when: Annotated[
        str, typer.Argument(metavar="TIME", help="YYYY-MM-DDTHH:MM:SS by its own clock, or with an offset.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .png or .jpg for one frame, a .mp4 for a stretch.")],
    seconds: Annotated[float, typer.Option(help="How long a stretch is.")] = STRETCH_S,
    store: Store = "store",
    as_json: Json = False,
) -> None:
    """What a camera saw: the restored frame nearest to a moment as a picture, or a stretch from it on as a video."""
    from tasks import storage
    from tasks.listing import need_store
    from tasks.moments import PICTURES, find_frame, find_stretch, save

    need_store(store)
    url = storage.normalise(store)
    one = target.suffix.lower() in PICTURES
    stretch = find_frame(url, camera, when) if one else find_stretch(url, camera, when, seconds)
    count = save(stretch, target)
    first, last = stretch.local_time(0), stretch.local_time(-1)
    emit(
        as_json,
        {"camera": camera, "night": stretch.night, "first": first, "last": last, "frames": count}
        | {"model": stretch.model, "target": str(target)},
        f"{target}: {camera} at {first}" if one else f"{target}: {camera} from {first} to {last}, {count} frames",
    )


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
    """Are the published nights intact, byte by byte? Exit code 1 if not, or if there are none."""
    from tasks import storage
    from tasks.site import read_site
    from tasks.verify import check_night, published

    where = storage.normalise(store)
    checks = [check_night(where, *one) for one in published(where, night_date(night) if night else None, camera)]
    if repair and any(c.findings for c in checks):
        described, footage = read_site(site), storage.normalise(archive)
        checks = [_repaired(c, described, footage, where) if c.findings else c for c in checks]
    if not checks:  # a mistyped store or night must not pass for an intact one
        log.error("%s: holds no published nights%s; nothing was verified", store, asked_for(night, camera))
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
    raise typer.Exit(FAILED if findings or not checks else DONE)


def _repaired(check: NightCheck, site: Site, archive: str, store: str) -> NightCheck:
    """A damaged night after its repair. One that can't be repaired stays as it was and stops no other."""
    from lednet import __version__
    from tasks.verify import repair_night

    try:
        (camera,) = site.select([check.camera])
        return repair_night(check, camera, archive, store, site.settings, __version__)
    except Exception as error:  # one night's trouble, whatever it is
        debug = bool(os.environ.get("LEDNET_DEBUG"))
        log.error("%s, night of %s: not repaired: %s", check.camera, check.night, error, exc_info=debug)
        return check


def gc(
    store: Store = "store",
    older_than: Annotated[float, typer.Option(min=0, help="Days since the last write to it.")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Free space: superseded and abandoned runs, unfinished objects. Never touches a published run."""
    from tasks import storage
    from tasks.collect import Garbage, InUseError, find_garbage, remove
    from tasks.listing import need_store

    need_store(store)
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
