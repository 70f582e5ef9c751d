"""Progress of a running night, read from the store's receipts: right for any cluster and after any crash.

On Prefect's page as an artifact beside the plan and the result; on a terminal as a bar, elsewhere as a log line.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tasks import store
from tasks.passes import Extent
from tasks.status import list_nights

log = logging.getLogger("lednet")

EVERY_S = 5.0
LOG_EVERY_S = 30.0
ARTIFACT_EVERY_S = 10.0
"""How often Prefect's page is brought up to date."""
PAUSES = 10
"""Counting many cameras' shards takes time, and the store's: so many times as long passes before it is done again."""


@dataclass
class Followed:
    """A camera's night, and how much of it is stored."""

    planned: Extent
    stored: int
    """Shards, when it was last asked."""
    at_work: bool = False
    """Whether its shards are coming; the others need not be counted again."""


@dataclass
class NightProgress:
    """What is followed; the flow puts the cameras in as it hands them out."""

    cameras: list[Followed] = field(default_factory=list)

    def percent(self) -> tuple[float, str]:
        """Share of the cameras' shards that are stored, 0 to 100, and the same in words.

        Raises:
            OSError: if the store can't be asked.
        """
        cameras = list(self.cameras)
        for camera in cameras:
            if camera.at_work:
                camera.stored = len(store.done_shards(camera.planned.run_url))
        done, wanted = sum(c.stored for c in cameras), sum(c.planned.shards for c in cameras)
        words = f"{done} of {wanted} shards stored, {len(cameras)} cameras"
        rates = ", ".join(sorted({str(c.planned.rate) for c in cameras}))
        return 100 * done / max(1, wanted), f"{words}, slots a second: {rates or 'none'}"


@contextmanager
def shown_in_prefect(night: str) -> Iterator[NightProgress]:
    """A progress artifact of the flow run, `night-progress`, brought up to date until the context is left.

    A server that can't be told is logged, and costs the night nothing.
    """
    progress, done = NightProgress(), threading.Event()
    artifact: UUID | None = None

    def tell() -> None:
        nonlocal artifact
        # Not above: the command line imports this file before Prefect may read its settings.
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        try:
            if artifact is None:
                artifact = cast(UUID, create_progress_artifact(0.0, "night-progress", f"Night of {night}: begun"))
            percent, words = progress.percent()
            update_progress_artifact(artifact, percent, f"Night of {night}: {words}")
        except Exception as error:  # whatever it is: the night itself goes on
            log.warning("Prefect's page was not told the progress of the night of %s: %s", night, error)

    def follow() -> None:
        tell()
        pause = ARTIFACT_EVERY_S
        while not done.wait(pause):
            started = time.monotonic()
            tell()
            pause = max(ARTIFACT_EVERY_S, PAUSES * (time.monotonic() - started))

    thread = threading.Thread(target=copy_context().run, args=(follow,), name="progress", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        done.set()
        thread.join()
        tell()


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
        pause = EVERY_S / 5
        while not done.wait(pause):
            started = time.monotonic()
            stored, wanted = _count(store_url, night, cameras)
            bar.update(task, completed=stored, total=wanted or None)
            pause = max(EVERY_S / 5, PAUSES * (time.monotonic() - started))


def _follow_lines(
    store_url: str, night: str, cameras: list[str] | None, console: Console, done: threading.Event
) -> None:
    pause = LOG_EVERY_S
    while not done.wait(pause):
        started = time.monotonic()
        stored, wanted = _count(store_url, night, cameras)
        log.info("night of %s: %d of %d shards stored", night, stored, wanted)
        pause = max(LOG_EVERY_S, PAUSES * (time.monotonic() - started))
