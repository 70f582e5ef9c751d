"""The report page's own words, in the language that a site asks for: texts/page.<language>.toml, read and filled in.

Every language holds the same keys with the same placeholders (a test holds it). Not covered: the sentences of health
findings (`tasks.wording`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class PageText:
    """All texts of one language, by dotted key."""

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        """A text with its placeholders filled in. Raises KeyError for a key or a value that is not there."""
        return self.texts[key].format_map(values)

    def count(self, key: str, number: int, /, **values: object) -> str:
        """A text that tells a number: its form `one` for 1, `other` for the rest; the number stands at {n}."""
        return self(f"{key}.{'one' if number == 1 else 'other'}", n=f"{number:,}", **values)

    def known(self, key: str, otherwise: str) -> str:
        """The text of a key that may not be there, such as that of a status from elsewhere."""
        return self.texts.get(key, otherwise)

    def listed(self, names: Sequence[str]) -> str:
        """Names in a row: a, b and c; parted by semicolons where one of them holds a comma."""
        head, last = names[:-1], names[-1]
        comma = self("list.comma")
        between = self("list.semicolon") if any(comma.strip() in name for name in names) else comma
        return between.join(head) + self("list.and") + last if head else last

    def day(self, iso: str) -> str:
        """A date in full, with its weekday."""
        day = date.fromisoformat(iso)
        weekday, month = self(f"weekday.{day.isoweekday()}"), self(f"month.{day.month}")
        return self("date", weekday=weekday, day=day.day, month=month, year=day.year)

    def duration(self, seconds: float) -> str:
        """A length of time in the two or three units that a person would say."""
        if 0 < seconds < 0.05:
            return self("duration.s", n="<0.1")
        if seconds < 9.95:
            return self("duration.s", n=f"{round(seconds, 1):g}")
        hours, rest = divmod(round(seconds), 3600)
        parts = ((hours, "h"), (rest // 60, "min"), (0 if hours else rest % 60, "s"))
        return " ".join(self(f"duration.{unit}", n=f"{n:,}") for n, unit in parts if n)


@cache
def page_text(language: str) -> PageText:
    """The texts of a language. Raises ValueError for one that there are none of."""
    if language not in LANGUAGES:
        raise ValueError(f"no texts in language {language!r}; known: {', '.join(LANGUAGES)}")
    source = resources.files("tasks").joinpath("texts", f"page.{language}.toml").read_text(encoding="utf-8")
    return PageText(language, dict(_flat(tomllib.loads(source), "")))


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
