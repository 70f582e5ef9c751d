"""What `lednet plan` does: estimates of every camera's night, whether they meet a deadline, and the tables of both.

Reads the archive's listing and headers and one frame a camera; writes nothing and starts no server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from flows.logs import one_line
from tasks import codecs, storage
from tasks.deadline import Outlook, Size, next_time, outlook, sizes
from tasks.decode import VideoError
from tasks.decode_process import prober
from tasks.estimate import Estimate, estimate
from tasks.nights import night_date
from tasks.plan import NothingToDoError, plan_night
from tasks.rates import last_rate
from tasks.site import Site
from tasks.store import done_shards
from tasks.types import Problem

SIZES = (10, 100, 1000)
"""Cameras of the sites that `--sizing` is for."""
MOST_NAMED = 20
"""Unreadable files that are named on the terminal."""


@dataclass(frozen=True)
class Planned:
    """A night's estimates."""

    night: str
    cameras: list[Estimate]
    without_footage: dict[str, str]
    """Camera id -> why nothing can be done for it, or not be planned."""
    unreadable: list[Problem]
    """Files that would be left out, or of which a part would."""
    deadline: Outlook | None
    sizing: list[Size]


def plan_site(
    site: Site,
    night: str,
    archive: str,
    store: str,
    cameras: list[str] | None,
    deadline: str = "",
    workers: int = 1,
    known_rate: float = 0.0,
    sizing_hours: float = 0.0,
) -> Planned:
    """Estimate a night of a site.

    Args:
        deadline: HH:MM in the time zone of the first of the cameras; none: not asked.
        workers: like this machine, that will share the work.
        known_rate: frames a second of one worker, where they are known; 0: what the last night reached, or else what is
            measured here.
        sizing_hours: hours in which nights of larger sites are to be done; 0: not asked.

    Raises:
        ValueError: for a night, deadline or number of workers that is none.
    """
    now, chosen = datetime.now(UTC), site.select(cameras)
    moment = next_time(deadline, chosen[0].timezone, now) if deadline else None
    night = night_date(night, site.cameras)
    estimates, nothing, unreadable = [], {}, list[Problem]()
    for camera in chosen:
        try:
            where = storage.normalise(archive), storage.normalise(store)
            plan = plan_night(camera, night, *where, site.settings, prober(site.settings))
            unreadable += plan.problems
            last = last_rate(where[1], plan)
            estimates.append(estimate(plan, site.settings, len(done_shards(plan.run_url)), known_rate, last))
        except NothingToDoError as reason:
            nothing[camera.id] = str(reason)
            unreadable += reason.problems
        except (VideoError, PermissionError, codecs.CodecError) as trouble:  # this camera's, and no other's plan
            nothing[camera.id] = str(trouble)
    rates = {camera.id: camera.rate for camera in chosen}
    told = outlook(estimates, rates, moment, now, workers) if moment else None
    larger = sizes(estimates, SIZES, sizing_hours) if sizing_hours else []
    return Planned(night, estimates, nothing, unreadable, told, larger)


def show(planned: Planned, workers: int, timezone: str, out: Console) -> None:
    """Print a plan for people; times are of the site's zone, wherever it is read."""
    if planned.cameras:
        out.print(_table(planned))
        hours = sum(e.hours for e in planned.cameras)
        ready = datetime.now(ZoneInfo(timezone)) + timedelta(hours=hours / workers)
        done = f"done by {ready:%Y-%m-%d %H:%M} ({timezone})"
        out.print(f"together {hours:.2f} worker-hours; {workers} worker(s) from now on: {done}")
        for source in dict.fromkeys(e.rate_from for e in planned.cameras):
            out.print(f"frames/s of {', '.join(e.camera for e in planned.cameras if e.rate_from == source)}: {source}")
        out.print(_by_codec(planned.cameras))
    else:
        out.print(f"Night of {planned.night}: nothing to do for any camera")
    for camera, reason in planned.without_footage.items():
        out.print(one_line(f"{camera}: nothing to do, {reason}"))
    for problem in planned.unreadable[:MOST_NAMED]:
        out.print(one_line(f"unreadable: {problem.url}: {problem.reason}"))
    if len(planned.unreadable) > MOST_NAMED:
        out.print(f"... and {len(planned.unreadable) - MOST_NAMED} more; --json names all")
    for line in _advice(planned.deadline) if planned.deadline else ():
        out.print(line)
    if planned.sizing:
        out.print(_sizing(planned.sizing))


def _table(planned: Planned) -> Table:
    table = Table(title=f"Night of {planned.night}", caption="hours of one worker at these frames/s")
    for name in ("camera", "segments", "unreadable", "gaps", "slots", "with footage", "GB in", "GB raw", "GB stored",
                 "frames/s", "hours left"):  # fmt: skip
        table.add_column(name, justify="left" if name == "camera" else "right")
    for e in planned.cameras:
        stored = next(iter(e.gb_stored.values()))
        counts = (e.segments, e.problems, e.gaps, e.slots, e.footage_slots)
        gigabytes = (f"{gb:.3f}" for gb in (e.gb_in, e.gb_raw, stored))
        table.add_row(e.camera, *map(str, counts), *gigabytes, f"{e.frames_per_s:.2f}", f"{e.hours:.2f}")
    return table


def _by_codec(cameras: Sequence[Estimate]) -> Table:
    table = Table(title="The same frames by codec, settings first", caption="PSNR of the worst of one frame a camera")
    for name in ("codec", "GB stored", "of raw", "PSNR, dB"):
        table.add_column(name, justify="left" if name == "codec" else "right")
    raw = sum(e.gb_raw for e in cameras)
    for codec in cameras[0].gb_stored:
        stored = sum(e.gb_stored[codec] for e in cameras)
        changed = [e.psnr_db[codec] for e in cameras if codec in e.psnr_db]
        psnr = f"{min(changed):.1f}" if changed else "same pixels"
        table.add_row(codec, f"{stored:.3f}", f"{stored / raw:.0%}" if raw else "-", psnr)
    return table


def _sizing(sizing: Sequence[Size]) -> Table:
    table = Table(title="A night of a site of cameras like these")
    for name in ("cameras", "GB in", "GB stored", "worker-hours", "workers"):
        table.add_column(name, justify="right")
    for s in sizing:
        table.add_row(
            f"{s.cameras:,}", f"{s.gb_in:,.1f}", f"{s.gb_stored:,.1f}", f"{s.worker_hours:,.1f}", f"{s.workers:,}"
        )
    return table


def _advice(told: Outlook) -> Sequence[str]:
    """The deadline in words: met, or what would meet it."""
    when = f"deadline {told.deadline}"
    if told.met:
        return [f"{when}: met, {told.worker_hours:.2f} worker-hours with the allowance, done by {told.done_by}"]
    if not told.every:
        return [f"{when}: it is over"]
    rates = ", ".join(f"{camera} {rate}" for camera, rate in told.rates.items())
    return [
        f"{when}: not met, done by {told.done_by} with {told.workers} worker(s)",
        f"either {told.workers_needed} workers, or in cameras.toml every {told.every}. slot alone: rate {rates}",
    ]
