"""Nights by name: the local date on which a shift's night starts."""

from __future__ import annotations

from datetime import date, timedelta


def night_date(night: str) -> str:
    """A night as YYYY-MM-DD; `last` is the one that began yesterday on this machine. Raises ValueError for others."""
    if night == "last":
        return (date.today() - timedelta(days=1)).isoformat()
    try:
        return date.fromisoformat(night).isoformat()
    except ValueError:
        raise ValueError(f"night {night!r}: not a date; write YYYY-MM-DD, or last") from None


MOST_NIGHTS = 3660
"""Of a range: ten years, beyond which a year was mistyped."""


def night_range(nights: str) -> tuple[str, ...]:
    """Nights by name, in order: one as `night_date` knows it, or the first and the last with two dots between.

    Raises:
        ValueError: for anything else, and for a range that is empty or longer than ten years.
    """
    first, dots, last = nights.partition("..")
    days = [date.fromisoformat(night_date(n)) for n in ((first, last) if dots else (first,))]
    count = (days[-1] - days[0]).days + 1
    if not 0 < count <= MOST_NIGHTS:
        raise ValueError(f"nights {nights!r}: the first must not come after the last, nor ten years before it")
    return tuple((days[0] + timedelta(days=i)).isoformat() for i in range(count))
