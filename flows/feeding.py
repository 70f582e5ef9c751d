"""Work items on their way to the Dask workers: as many as keep those busy, never all of a night.

What waits at the scheduler stands in its memory, so an item is handed over when another is done. One thread feeds, a
camera's items after another's; it makes them when their turn comes, so that one camera's are in memory at a time.
Not covered: what is done with a camera whose items are done (`flows.night_job`).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from distributed import KilledWorker

from flows import clusters
from flows.engine import EngineError
from tasks.logs import this_run
from tasks.rates import TOPIC, Took
from tasks.settings import NightSettings
from tasks.types import WorkItem
from tasks.units import ITEM_RETRIES, enhance

log = logging.getLogger("lednet")

AHEAD = 4
"""Items at the scheduler for each that is being worked on: a worker that is done finds the next one there."""
LEAST_AHEAD = 8
LOOK_S = 10.0
"""How often the workers are counted, since they come and go, and how often one who waits looks whether all is well."""

HINDERED_S = 60.0
"""How long no worker can take work before it is told, and after that every `WARN_AGAIN_S`."""
WARN_AGAIN_S = 600.0
OUT_OF_MEMORY = (
    "Start fewer (LEDNET_WORKERS), give them more memory, or set a lower tile_mb: docs/operating.md, memory of a worker"
)


@dataclass
class Batch:
    """A camera's work items of one pass, and how they ended."""

    name: str
    """For people: camera and night."""
    items: Callable[[], Iterable[WorkItem]]
    """Called by the feeding thread when their turn comes."""
    until_s: float
    failure: str = ""
    """Why an item failed, if one did."""
    out: int = 0
    """Items that are handed over and not done."""
    fed: bool = False
    """Whether all of them are handed over."""


class DaskItems:
    """Hands one work item to the workers of a Dask client, to those with a GPU where there are any."""

    def __init__(self, client: Any, settings: NightSettings) -> None:
        self._client, self._settings = client, settings
        self._run = this_run()
        self._resources: dict[str, int] = {}

    def submit(self, item: WorkItem, until_s: float) -> Any:
        """Its future."""
        name = f"{item.camera} {item.night} from shard {item.shards[0].index}"
        return self._client.submit(
            enhance, item, self._settings, until_s, self._run,
            key=f"enhance-item {name} of {item.run_url[-16:]} {time.monotonic_ns():x}",
            pure=False, retries=ITEM_RETRIES, resources=self._resources or None,
        )  # fmt: skip

    def most(self) -> int:
        """How many items should be at the scheduler, by the workers that there are now."""
        self._resources, slots = clusters.asked_and_slots(self._client)
        return max(LEAST_AHEAD, AHEAD * slots)

    def hindrance(self) -> str:
        """Why no worker can take what is handed over; empty where one can."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        able = [w for w in workers if not self._resources or w.get("resources", {}).get("GPU")]
        if not able:
            return f"there is no worker{' with a GPU' if self._resources else ''}; start one, or look at its log"
        if all(w.get("status") == "paused" for w in able):
            return f"every worker is paused by Dask, short of memory. {OUT_OF_MEMORY}"
        return ""

    def alive(self) -> bool:
        """Whether the scheduler can still be reached."""
        return self._client.status not in ("closing", "closed")


@contextmanager
def told_by_workers(client: Any) -> Iterator[Took]:
    """What work items take, as the workers of a Dask client tell it while the context lasts.

    An item's word comes before its future is done: both go the same way, one after the other.
    """
    took = Took()
    client.subscribe_topic(TOPIC, lambda event: took.add(event[1]))
    try:
        yield took
    finally:
        with suppress(ValueError, OSError, AttributeError):  # where the scheduler has gone, so has the topic
            client.unsubscribe_topic(TOPIC)


class ItemFeed:
    """Feeds batches of work items, in the order of `add`. Used as a context: leaving it gives up what is not done."""

    def __init__(self, target: DaskItems) -> None:
        self._target = target
        self._coming: deque[Batch] = deque()
        self._done: SimpleQueue[Batch] = SimpleQueue()
        self._changed = threading.Condition()
        self._futures: set[Any] = set()
        self._most, self._counted = 0, 0.0
        self._ended = False
        self._warn_at = math.inf
        self._thread = threading.Thread(target=copy_context().run, args=(self._feed,), name="feed", daemon=True)

    def add(self, batch: Batch) -> None:
        """Queue a camera's items; never waits."""
        with self._changed:
            self._coming.append(batch)
            self._changed.notify_all()

    def next_done(self) -> Batch:
        """Wait for a batch whose items are all done or failed.

        Raises:
            EngineError: if the workers can't be reached any more.
        """
        while True:
            try:
                return self._done.get(timeout=LOOK_S)
            except Empty:
                if not (self._target.alive() and self._thread.is_alive()):
                    raise EngineError("the Dask scheduler went away; run the night again to go on") from None
                self._warn_if_hindered()

    def _warn_if_hindered(self) -> None:
        """Say so where nothing has been done for a while because no worker can; it is waited for all the same."""
        reason, now = self._target.hindrance(), time.monotonic()
        if not reason:
            self._warn_at = math.inf
        elif self._warn_at == math.inf:
            self._warn_at = now + HINDERED_S
        elif now >= self._warn_at:
            log.warning("no work is being done: %s", reason)
            self._warn_at = now + WARN_AGAIN_S

    def _feed(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._coming or self._ended)
                if self._ended:
                    return
                batch = self._coming.popleft()
            try:
                for item in batch.items():
                    if not self._wait_for_room():
                        return
                    self._hand_over(batch, item)
            except Exception as error:  # one camera's trouble must not cost the others their night
                log.exception("%s: handing out its work failed", batch.name)
                batch.failure = batch.failure or _words(error)
            self._note(batch, fed=True)

    def _wait_for_room(self) -> bool:
        """False when the night is given up."""
        while True:
            if not self._most or time.monotonic() > self._counted + LOOK_S:
                self._most, self._counted = self._target.most(), time.monotonic()
            with self._changed:
                if self._ended:
                    return False
                if len(self._futures) < self._most:
                    return True
                self._changed.wait(LOOK_S)

    def _hand_over(self, batch: Batch, item: WorkItem) -> None:
        future = self._target.submit(item, batch.until_s)
        with self._changed:
            batch.out += 1
            self._futures.add(future)
        context = copy_context()  # so that what is logged belongs to the flow run
        future.add_done_callback(lambda ended: context.run(self._item_done, batch, ended))

    def _item_done(self, batch: Batch, future: Any) -> None:
        failure = _failure(future)
        if failure and not self._ended:  # when the night is given up, all that is left fails
            log.error("%s: a work item failed: %s", batch.name, failure)
        self._note(batch, future, failure)

    def _note(self, batch: Batch, future: Any = None, failure: str = "", fed: bool = False) -> None:
        """An item is done, or the last one is handed over; whichever comes last ends the batch."""
        with self._changed:
            if future is not None:
                self._futures.discard(future)
                batch.out -= 1
            batch.failure = batch.failure or failure
            batch.fed = batch.fed or fed
            if batch.fed and not batch.out:
                self._done.put(batch)
            self._changed.notify_all()

    def __enter__(self) -> ItemFeed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ended = True
            left = list(self._futures)
            self._changed.notify_all()
        for future in left:
            with suppress(Exception):  # the scheduler itself may be gone
                future.cancel()
        self._thread.join(LOOK_S)


def _failure(future: Any) -> str:
    """Why a work item failed, empty if it didn't. A killed worker's item is tried again by Dask before it is failed."""
    if future.status == "finished":
        return ""
    error = future.exception() if future.status == "error" else None
    return _words(error) if error is not None else f"it was {future.status}; the Dask scheduler may have gone away"


def _words(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    return f"{text} Short of memory? {OUT_OF_MEMORY}" if isinstance(error, KilledWorker) else text
