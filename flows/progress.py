"""Progress of a running night, read from the store's receipts: right for any cluster and after any crash.

A bar on a terminal, a log line elsewhere.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tasks.status import list_nights

log = logging.getLogger("lednet")

EVERY_S = 5.0
LOG_EVERY_S = 30.0


@contextmanager
def night_progress(store_url: str, night: str, cameras: list[str] | None, console: Console) -> Iterator[None]:
    """Show how many shards of a night are stored, until the context is left."""
    done = threading.Event()
    follow = _follow_bar if console.is_terminal else _follow_lines
    thread = threading.Thread(target=follow, args=(store_url, night, cameras, console, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _count(store_url: str, night: str, cameras: list[str] | None) -> tuple[int, int]:
    """Shards stored and wanted; (0, 0) when the store can't be asked just now."""
    try:
        nights = list_nights(store_url, night, cameras)
    except OSError as error:
        log.debug("no progress to show: %s", error)
        return 0, 0
    return sum(n.shards_done for n in nights), sum(n.shards for n in nights)


def _follow_bar(store_url: str, night: str, cameras: list[str] | None, console: Console, done: threading.Event) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(f"night of {night}, shards", total=None)
        while not done.wait(EVERY_S / 5):
            stored, wanted = _count(store_url, night, cameras)
            bar.update(task, completed=stored, total=wanted or None)


def _follow_lines(
    store_url: str, night: str, cameras: list[str] | None, console: Console, done: threading.Event
) -> None:
    while not done.wait(LOG_EVERY_S):
        stored, wanted = _count(store_url, night, cameras)
        log.info("night of %s: %d of %d shards stored", night, stored, wanted)
