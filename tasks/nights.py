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
