"""What `lednet status` shows: a store's nights in a table or as JSON, once or again and again.

Read from the store alone, so it may be asked anywhere, whoever runs the night. Not covered: counting (`tasks.status`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

from rich.console import Console
from rich.live import Live
from rich.table import Table

from flows.screen import asked_for
from tasks.page_format import percent
from tasks.status import STOPPED, NightStatus, list_nights

EVERY_S = 5.0


def show_nights(
    store: str, night: str | None, cameras: list[str] | None, out: Console, *, as_json: bool, follow: bool
) -> None:
    """Print the nights of a store, or of one date or some cameras of it.

    Args:
        as_json: a list, one line each time.
        follow: show them anew every `EVERY_S` until nobody is at work on any. On a terminal in place, elsewhere one
            after the other.
    """
    in_place = follow and out.is_terminal and not as_json
    screen: AbstractContextManager[Live | None] = Live(console=out, auto_refresh=False) if in_place else nullcontext()
    with screen as live:
        while True:
            nights = list_nights(store, night, cameras)
            if live is not None:
                live.update(nights_table(store, nights, night, cameras), refresh=True)
            elif as_json:
                print(json.dumps([asdict(n) for n in nights]), file=out.file, flush=True)
            else:
                out.print(nights_table(store, nights, night, cameras))
            if not follow or not any(n.at_work for n in nights):
                return
            time.sleep(EVERY_S)


def nights_table(
    store: str, nights: Sequence[NightStatus], night: str | None = None, cameras: list[str] | None = None
) -> Table | str:
    """One line a camera's night; words where there is none of those that were asked for."""
    if not nights:
        return f"{store}: holds no nights{asked_for(night, cameras)}"
    table = Table(title=f"Nights in {store}")
    for name in ("camera", "night", "state", "shards", "frames", "coverage", "quarantined"):
        table.add_column(name)
    for n in nights:
        done, coverage = f"{n.shards_done}/{n.shards}", percent(n.coverage)
        table.add_row(n.camera, n.night, state_words(n), done, str(n.frames), coverage, str(n.problems))
    return table


def state_words(night: NightStatus) -> str:
    """A night's state; of one that is published coarse, also how coarse and how far a fuller run is."""
    if night.state == STOPPED:
        return f"{night.state}, nobody is at work on it"
    if night.every == 1:
        return night.state
    done, wanted = night.fuller
    fuller = f"a fuller run has {done} of {wanted} shards" if wanted else "no fuller run is begun"
    return f"{night.state}, one slot in {night.every}; {fuller}"
