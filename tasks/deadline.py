"""Whether the planned nights are done by a time of day, what would make them so (more workers, or fewer frames), and
what a larger site would take.

Arithmetic on estimates (`tasks.estimate`) alone; nothing is measured or read here. Not covered: keeping a deadline
while a night runs, which is `tasks.passes`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from tasks.estimate import Estimate

ALLOWANCE = 1.2
"""Hours taken for one estimated hour: work items end unevenly; decoding, writing and starting cost some time too."""


@dataclass(frozen=True)
class Outlook:
    """What a deadline asks for. Workers are all like the machine that the rates were measured on."""

    deadline: str
    """Local time, ISO 8601."""
    done_by: str
    """When the plan is done with `workers` of them, begun now; local time, ISO 8601."""
    met: bool
    workers: int
    worker_hours: float
    """Work that is left, `ALLOWANCE` included."""
    workers_needed: int
    """The least number that meets the deadline with every frame; 0: no number does, the time is over."""
    every: int
    """Every so many-th slot of each camera alone meets it with the workers at hand; 1: all of them, 0: none does."""
    rates: Mapping[str, str]
    """Camera id -> its `rate` in cameras.toml for that, as a number or a fraction."""


@dataclass(frozen=True)
class Size:
    """What a night of so many cameras like the planned ones takes."""

    cameras: int
    gb_in: float
    gb_stored: float
    worker_hours: float
    """Of workers like this machine, `ALLOWANCE` included."""
    workers: int
    """That do it within the hours asked for."""


def sizes(estimates: Sequence[Estimate], counts: Sequence[int], hours: float) -> list[Size]:
    """What nights of so many cameras take, each like the mean of the estimated ones, begun anew and done in `hours`.

    Raises:
        ValueError: without an estimate, or without time.
    """
    if not estimates or hours <= 0:
        raise ValueError(f"{len(estimates)} cameras with footage, {hours} hours: sizing needs some of both")
    n = len(estimates)
    gb_in = sum(e.gb_in for e in estimates) / n
    gb_stored = sum(next(iter(e.gb_stored.values())) for e in estimates) / n
    work = ALLOWANCE * sum(e.footage_slots / e.frames_per_s / 3600 for e in estimates) / n
    return [Size(c, c * gb_in, c * gb_stored, c * work, max(1, math.ceil(c * work / hours))) for c in counts]


def next_time(deadline: str, timezone: str, now: datetime) -> datetime:
    """The next moment at which the clocks of a zone show HH:MM. Raises ValueError for another text."""
    try:
        at = time.fromisoformat(deadline) if re.fullmatch(r"\d\d:\d\d", deadline, re.ASCII) else None
    except ValueError:
        at = None
    if at is None:
        raise ValueError(f"deadline {deadline!r}: not a time of day; write HH:MM, such as 06:30")
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).date()
    # Twice a day where clocks are put back: its fold tells the second from the first.
    moments = [datetime.combine(today + timedelta(days=d), at.replace(fold=f), zone) for d in (0, 1) for f in (0, 1)]
    return next(moment for moment in moments if moment.timestamp() > now.timestamp())


def outlook(
    estimates: Sequence[Estimate], rates: Mapping[str, Fraction], deadline: datetime, now: datetime, workers: int = 1
) -> Outlook:
    """What meeting a deadline takes.

    Args:
        rates: camera id -> slots a second, of every estimated camera.
        deadline, now: with their zones.
        workers: that share the work.

    Raises:
        ValueError: for less than one worker.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers: at least one must do the work")
    left = max(0.0, deadline.timestamp() - now.timestamp()) / 3600
    work = ALLOWANCE * sum(e.hours for e in estimates)
    # Another rate is another run of the night, which begins at its first slot.
    anew = ALLOWANCE * sum(e.footage_slots / e.frames_per_s / 3600 for e in estimates)
    done_by = now.astimezone(UTC) + timedelta(hours=work / workers)  # on clocks that may be set meanwhile
    needed = max(1, math.ceil(work / left)) if left else 0
    met = 0 < needed <= workers
    every = 1 if met else math.ceil(anew / (left * workers)) if left else 0
    proposed = {e.camera: str(rates[e.camera] / every) for e in estimates} if every else {}
    return Outlook(
        deadline.isoformat(timespec="minutes"),
        done_by.astimezone(deadline.tzinfo).isoformat(timespec="minutes"),
        met,
        workers,
        work,
        needed,
        every,
        proposed,
    )
