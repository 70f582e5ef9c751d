"""What commands print, for people or as JSON. Names and reasons come from outside, and stay text: no markup, no emoji
codes, no control characters that would rewrite the terminal. Log lines: `flows.logs`."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from flows.logs import one_line

WIDE = 160


class PlainConsole(Console):
    """A console on which square brackets are square brackets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string, or a table's cell, as it is printed: line breaks stay, other control characters are escaped."""
        return super().render_str("\n".join(one_line(line) for line in text.split("\n")), **options)


def screen() -> Console:
    """Standard output for people; wide where it is no terminal, so that a log keeps whole tables."""
    return PlainConsole(soft_wrap=True) if sys.stdout.isatty() else PlainConsole(width=WIDE, soft_wrap=True)


console = PlainConsole(stderr=True)
"""Standard error: log lines and progress, on one console so that neither overwrites the other."""


def emit(as_json: bool, data: dict[str, Any], *lines: str) -> None:
    """One result, for a program, or for a person in these lines; a break inside of one is escaped."""
    typer.echo(json.dumps(data) if as_json else "\n".join(one_line(line) for line in lines))


def asked_for(night: str | None, cameras: list[str] | None) -> str:
    """What a look into a store was limited to, as words that follow "no nights"; empty for nothing."""
    return (f" of {night}" if night else "") + (f" of camera {', '.join(cameras)}" if cameras else "")
