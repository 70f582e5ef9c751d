"""Nights by name, and when they begin and end: a night's name is the local date on which it starts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tasks.types import Camera

LAST = "last"
"""In place of a date: the night that ended most recently."""

MOST_NIGHTS = 3660
"""Of a range: ten years, beyond which a year was mistyped."""


def night_date(night: str, cameras: Sequence[Camera] = (), now: datetime | None = None) -> str:
    """A night as YYYY-MM-DD.

    Args:
        night: YYYY-MM-DD, or `last` for the latest night that has ended for every camera, by the cameras' own zones:
            what the machine's clock calls today does not matter.
        cameras: the site's; needed for `last` alone.
        now: a time with its zone; by default this moment.

    Raises:
        ValueError: for anything else, and for `last` without cameras.
    """
    if night == LAST:
        if not cameras:
            raise ValueError("night 'last': which one that is depends on the site's cameras; write YYYY-MM-DD here")
        moment = now or datetime.now(UTC)  # read once: the clock may be set between two looks
        return min(_last_ended(camera, moment) for camera in cameras).isoformat()
    try:
        return date.fromisoformat(night).isoformat()
    except ValueError:
        raise ValueError(f"night {night!r}: not a date; write YYYY-MM-DD, or last") from None


def night_before(night: str, days: int) -> str:
    """The date so many days before a night; the first that there is, where the calendar has none so early."""
    day = date.fromisoformat(night)
    return (day - timedelta(days=min(days, (day - date.min).days))).isoformat()


def night_bounds(camera: Camera, night: date) -> tuple[datetime, datetime]:
    """When a camera's night begins and ends, in its own zone; up to the same time of the next day."""
    zone = ZoneInfo(camera.timezone)
    begins, ends = time.fromisoformat(camera.start), time.fromisoformat(camera.end)
    last_day = night if ends > begins else night + timedelta(days=1)
    return datetime.combine(night, begins, zone), datetime.combine(last_day, ends, zone)


def _last_ended(camera: Camera, now: datetime) -> date:
    """The latest night of a camera that is over."""
    night = now.astimezone(ZoneInfo(camera.timezone)).date()
    # Compared in UTC: within one zone Python compares wall clocks, which stand still or jump when clocks change.
    while night_bounds(camera, night)[1].astimezone(UTC) > now:
        night -= timedelta(days=1)
    return night


def night_range(nights: str, cameras: Sequence[Camera] = (), now: datetime | None = None) -> tuple[str, ...]:
    """Nights by name, in order: one as `night_date` knows it, or the first and the last with two dots between.

    `cameras` and `now` are those of `night_date`.

    Raises:
        ValueError: for anything else, and for a range that is empty or longer than ten years.
    """
    first, dots, last = nights.partition("..")
    days = [date.fromisoformat(night_date(n, cameras, now)) for n in ((first, last) if dots else (first,))]
    count = (days[-1] - days[0]).days + 1
    if not 0 < count <= MOST_NIGHTS:
        raise ValueError(f"nights {nights!r}: the first must not come after the last, nor ten years before it")
    return tuple((days[0] + timedelta(days=i)).isoformat() for i in range(count))
