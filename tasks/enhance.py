"""Restoring one work item: what runs on a worker, from archive to stored shards.

Decoding, restoring, measuring and writing overlap through bounded queues; while a shard is written, the next is filled.
Shards that have a receipt are left alone, so a work item may run any number of times, on any worker. Not covered: which
items there are (`tasks.plan`), shards and their rows (`tasks.shards`), publishing (`tasks.publish`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache, partial
from itertools import groupby, takewhile

import cv2
import numpy as np
from numpy.typing import NDArray

from lednet import Restorer
from lednet.memory import keep_freed_memory
from lednet.transfer import Pending
from tasks import decode_process, meters, models, store
from tasks.items import Touching
from tasks.logs import item_log
from tasks.picture import fit
from tasks.pipeline import Background, prefetch
from tasks.settings import FRAME_WISE, NightSettings
from tasks.shards import ShardBuilder
from tasks.slots import Damage, SlotFrame
from tasks.steady import WARM_UP, ShardRestorer
from tasks.types import ItemResult, Shard, WorkItem

Sign = Callable[[], None]
"""Called whenever the work has got somewhere."""

log = logging.getLogger(__name__)

SHARDS_IN_WRITING = 1
"""Beside the one that is being filled; each holds its frames in memory."""


def load_restorer(checkpoint: str, memory_mb: int, precision: str, compiled: bool) -> Restorer:
    """A checkpoint or a stored model version's URL, loaded once in this process."""
    return _load(checkpoint, memory_mb, precision, compiled)


@lru_cache(maxsize=2)
def _load(checkpoint: str, memory_mb: int, precision: str, compiled: bool) -> Restorer:
    # Apart, as what is cached takes any arguments in the eyes of mypy.
    return Restorer(models.fetch(checkpoint), precision=precision, memory_mb=memory_mb, compile=compiled)


def _settle_process() -> None:
    """What a process that restores sets for all its threads."""
    keep_freed_memory()  # measuring a frame takes twice as long on pages that are mapped anew
    cv2.setNumThreads(1)  # the network's threads have every core already; OpenCV's would only take turns with them


def always() -> bool:
    """The answer where nobody can call a work item off."""
    return True


def enhance_item(
    item: WorkItem,
    settings: NightSettings,
    until_s: float = math.inf,
    wanted: Callable[[], bool] = always,
    alive: Sign = lambda: None,
    load: Callable[[str, int, str, bool], Restorer] | None = None,
) -> ItemResult:
    """Restore a work item's missing shards and store each with its receipt.

    Args:
        until_s: a deadline, in seconds since the Unix epoch by this machine's clock. The shard that is not whole by
            then, and those after it, are left for another run.
        wanted: whether the work is still asked for, asked before every batch; where it is not, the same is left.
        alive: called with every frame and every damage; see `tasks.stall`.
        load: gives the restorer of a checkpoint under a bound of memory, in MB, in a precision, compiled or not;
            `load_restorer` by default.

    Raises:
        StoreError, StorageError: if the store can't be written or the archive read; shards finished so far stay.
        CheckpointError: if the weights can't be loaded.
    """
    _settle_process()
    started = time.monotonic()

    def over() -> bool:
        return time.time() >= until_s or not wanted()

    if over():
        return ItemResult(item.camera, 0, 0, 0, 0.0)
    done = store.done_shards(item.run_url)
    missing = [s for s in item.shards if s.index not in done]
    frames, stored = 0, 0
    if missing:
        restorer = (load or load_restorer)(item.checkpoint, settings.tile_mb, settings.precision, settings.compile)
        for stretch in takewhile(lambda _: not over(), consecutive(missing)):
            counts = _enhance_stretch(item, stretch, settings, restorer, over, alive)
            frames, stored = frames + counts[0], stored + counts[1]
    seconds = time.monotonic() - started
    item_log(log, item).info("%d shards, %d frames in %.1f s", stored, frames, seconds)
    if stored < len(missing):
        cause = "the deadline came" if time.time() >= until_s else "its run was cancelled"
        item_log(log, item).warning("%s before %d of its shards", cause, len(missing) - stored)
    return ItemResult(item.camera, stored, len(item.shards) - len(missing), frames, seconds)


def consecutive(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Shards as stretches without holes, each of which can be decoded in one go."""
    numbered = groupby(enumerate(shards), key=lambda pair: pair[1].index - pair[0])
    return [[shard for _, shard in group] for _, group in numbered]


def _enhance_stretch(
    item: WorkItem,
    shards: list[Shard],
    settings: NightSettings,
    restorer: Restorer,
    over: Callable[[], bool],
    alive: Sign,
) -> tuple[int, int]:
    """Restore consecutive shards; returns how many frames were restored, and how many shards stored."""
    first, last = shards[0].first, shards[-1].first + shards[-1].count
    begin = _restoration(item, first, settings, restorer, alive)
    segments = Touching(item.grid, item.segments).of(item.shards)
    decoded = decode_process.fill_slots(item.grid, first, last, segments, settings, (item.height, item.width))
    count, ahead = 0, settings.queue_batches * settings.batch
    with (
        closing(prefetch(meters.timed(decoded, "decode"), ahead, meters.QUEUED.labels("decoded").set)) as events,
        Background(SHARDS_IN_WRITING) as writer,
        Background(settings.queue_batches) as background,
    ):
        builder = ShardBuilder(item, shards, settings, writer)
        for batch, damage in batches(signed(events, alive), settings.batch):
            if over():
                break  # the shard at hand is not whole: it is dropped
            with meters.stage("restore"):
                begun = begin([f.slot for f in batch], stacked([f.pixels for f in batch])) if batch else None
            meters.FRAMES.labels(item.camera).inc(len(batch))
            count += len(batch)
            background.submit(partial(_add, builder, batch, damage, begun))
            meters.QUEUED.labels("restored").set(background.waiting())
        else:
            background.submit(builder.finish)
    return count, builder.stored


def _add(builder: ShardBuilder, batch: list[SlotFrame], damage: list[Damage], begun: Pending | None) -> None:
    """Hand a batch on once it is restored: a GPU is waited for here, and meanwhile given the next batch."""
    with meters.stage("fetch"):
        after = begun() if begun else ()
    builder.add(batch, damage, after)


def _restoration(
    item: WorkItem, first: int, settings: NightSettings, restorer: Restorer, alive: Sign
) -> Callable[[list[int], NDArray[np.uint8]], Pending]:
    """What restores frames of given slots from `first` on: with a memory of earlier ones, if the settings say so."""
    if settings.video == FRAME_WISE:
        return lambda _slots, frames: restorer.begin(frames)
    before = max(0, first - WARM_UP)
    # Damage of these slots is told by the shard that they belong to.
    earlier = decode_process.fill_slots(item.grid, before, first, item.segments, settings) if before < first else ()
    told = signed(iter(earlier), alive)
    watched = [(f.slot, fit(f.pixels, item.height, item.width)) for f in told if isinstance(f, SlotFrame)]
    return ShardRestorer(restorer, item.grid, item.shard_slots, watched).begin


def signed(events: Iterator[SlotFrame | Damage], alive: Sign) -> Iterator[SlotFrame | Damage]:
    """The same events, each a sign of life."""
    for event in events:
        alive()
        yield event


def batches(events: Iterator[SlotFrame | Damage], size: int) -> Iterator[tuple[list[SlotFrame], list[Damage]]]:
    """Group decoded frames by `size`; damage travels with the frames it was met among."""
    frames: list[SlotFrame] = []
    damage: list[Damage] = []
    for event in events:
        if isinstance(event, Damage):
            damage.append(event)
            continue
        frames.append(event)
        if len(frames) == size:
            yield frames, damage
            frames, damage = [], []
    if frames or damage:
        yield frames, damage


def stacked(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Frames as one array [n, h, w, 3]; a single one is not copied."""
    return frames[0][None] if len(frames) == 1 else np.stack(frames)
