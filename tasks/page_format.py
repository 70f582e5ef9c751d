"""How the report page writes numbers, shares and clock times: the same in every language.

Not covered: words, dates in full and durations (`tasks.page_text`).
"""

from __future__ import annotations

import base64
import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tasks.types import NANOSECONDS

NOTHING = "–"
"""Stands for a figure that is not known."""
MOST_DIGITS = 4
"""After the point, of two figures that would look alike with fewer."""


def encodable(text: str) -> str:
    """Text that can be encoded as UTF-8: file names may carry bytes that are no text, as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def number(value: float, digits: int) -> str:
    """A figure with its digits after the point; only one that is nothing is shown as 0."""
    if math.isnan(value):
        return NOTHING
    if value == math.inf:
        return "∞"
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return f"<{10**-digits:.{digits}f}" if value > 0 else text
    return text if value > 0 else "−" + text


def two_numbers(before: float, after: float, digits: int) -> tuple[str, str]:
    """Two figures with at least so many digits after the point, and as many more as tell them apart."""
    while digits < MOST_DIGITS and before != after and number(before, digits) == number(after, digits):
        digits += 1
    return number(before, digits), number(after, digits)


def change(value: float, digits: int) -> str:
    """A difference with its sign; one that rounds to nothing has none."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{abs(value):,.{digits}f}"
    return text if float(text.replace(",", "")) == 0 else ("+" if value > 0 else "−") + text


def percent(share: float) -> str:
    """In per cent; only a whole night is shown as 100, and only an empty one as 0."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return NOTHING if math.isnan(share) else f"{min(round(share * 100, 1), 100 if share == 1 else 99.9):g}%"


def percent_below(share: float) -> str:
    """A share that is below some limit, in per cent: rounded down, or it would be shown as the limit itself."""
    down = math.floor(round(share * 1000, 6)) / 1000
    return percent(down or share)


def local(time_ns: int, zone: ZoneInfo) -> tuple[str, str]:
    """ISO 8601 with offset for machines, clock time for people: with its zone's name where the clock changes nearby."""
    when = datetime.fromtimestamp(time_ns // NANOSECONDS, zone)
    clock = f"{when:%H:%M:%S}" + (f".{time_ns % NANOSECONDS // 1_000_000:03d}" if time_ns % NANOSECONDS else "")
    near = {(when.astimezone(ZoneInfo("UTC")) + timedelta(hours=h)).astimezone(zone).utcoffset() for h in (-12, 0, 12)}
    return when.isoformat(), clock + (f" {when:%Z}" if len(near) > 1 else "")


def link(url: str | None, store_url: str) -> str | None:
    """The way from `<store>/reports/<date>/` to a file of the same folder store, which outlives moving the store."""
    base = store_url.rstrip("/") + "/"
    if not url or not base.startswith("file://") or not url.startswith(base) or ".." in url.split("/"):
        return None
    return "../../" + url.removeprefix(base)


def data_uri(jpeg: bytes | None) -> str | None:
    """A picture that needs no file beside the page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode() if jpeg else None
