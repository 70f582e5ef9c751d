"""Restoring one work item: what runs on a worker, from archive to stored shards.

Decoding, restoring, measuring and writing overlap through bounded queues; while a shard is written, the next is filled.
Shards that have a receipt are left alone, so a work item may run any number of times, on any worker. Not covered: which
items there are (`tasks.plan`), publishing (`tasks.publish`).
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import groupby, takewhile

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lednet import Restorer, quality
from tasks import decode_process, meters, models, store
from tasks.items import Touching
from tasks.logs import item_log
from tasks.pipeline import Background, prefetch
from tasks.settings import FRAME_WISE, NightSettings
from tasks.slots import Damage, SlotFrame
from tasks.steady import WARM_UP, ShardRestorer
from tasks.types import ItemResult, Problem, Receipt, Shard, WorkItem

Sign = Callable[[], None]
"""Called whenever the work has got somewhere."""

log = logging.getLogger(__name__)

JPEG_QUALITY = 88

SHARDS_IN_WRITING = 1
"""Beside the one that is being filled; each holds its frames in memory."""


@lru_cache(maxsize=2)
def load_restorer(checkpoint: str, memory_mb: int) -> Restorer:
    """A checkpoint or a stored model version's URL, loaded once in this process."""
    return Restorer(models.fetch(checkpoint), memory_mb=memory_mb)


def always() -> bool:
    """The answer where nobody can call a work item off."""
    return True


def enhance_item(
    item: WorkItem,
    settings: NightSettings,
    until_s: float = math.inf,
    wanted: Callable[[], bool] = always,
    alive: Sign = lambda: None,
    load: Callable[[str, int], Restorer] | None = None,
) -> ItemResult:
    """Restore a work item's missing shards and store each with its receipt.

    Args:
        until_s: a deadline, in seconds since the Unix epoch by this machine's clock. The shard that is not whole by
            then, and those after it, are left for another run.
        wanted: whether the work is still asked for, asked before every batch; where it is not, the same is left.
        alive: called with every frame and every damage; see `tasks.stall`.
        load: gives the restorer of a checkpoint under a bound of memory, in MB; `load_restorer` by default.

    Raises:
        StoreError, StorageError: if the store can't be written or the archive read; shards finished so far stay.
        CheckpointError: if the weights can't be loaded.
    """
    started = time.monotonic()

    def over() -> bool:
        return time.time() >= until_s or not wanted()

    if over():
        return ItemResult(item.camera, 0, 0, 0, 0.0)
    done = store.done_shards(item.run_url)
    missing = [s for s in item.shards if s.index not in done]
    frames, stored = 0, 0
    if missing:
        restorer = (load or load_restorer)(item.checkpoint, settings.tile_mb)
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
    restore = _restoration(item, first, settings, restorer, alive)
    segments = Touching(item.grid, item.segments).of(item.shards)
    decoded = decode_process.fill_slots(item.grid, first, last, segments, settings)
    count, ahead = 0, settings.queue_batches * settings.batch
    with (
        closing(prefetch(meters.timed(decoded, "decode"), ahead, meters.QUEUED.labels("decoded").set)) as events,
        Background(SHARDS_IN_WRITING) as writer,
        Background(settings.queue_batches) as background,
    ):
        builder = _ShardBuilder(item, shards, settings, writer)
        for batch, damage in batches(signed(events, alive), settings.batch):
            if over():
                break  # the shard at hand is not whole: it is dropped
            before = stacked([fit(f.pixels, item.height, item.width) for f in batch]) if batch else None
            with meters.stage("restore"):
                after = restore([f.slot for f in batch], before) if before is not None else None
            meters.FRAMES.labels(item.camera).inc(len(batch))
            count += len(batch)
            background.submit(lambda b=batch, d=damage, x=before, y=after: builder.add(b, d, x, y))  # type: ignore[misc]
            meters.QUEUED.labels("restored").set(background.waiting())
        else:
            background.submit(builder.finish)
    return count, builder.stored


def _restoration(
    item: WorkItem, first: int, settings: NightSettings, restorer: Restorer, alive: Sign
) -> Callable[[list[int], NDArray[np.uint8]], NDArray[np.uint8]]:
    """What restores frames of given slots from `first` on: with a memory of earlier ones, if the settings say so."""
    if settings.video == FRAME_WISE:
        return lambda _slots, frames: restorer.restore(frames)
    before = max(0, first - WARM_UP)
    # Damage of these slots is told by the shard that they belong to.
    earlier = decode_process.fill_slots(item.grid, before, first, item.segments, settings) if before < first else ()
    told = signed(iter(earlier), alive)
    seen = [(f.slot, fit(f.pixels, item.height, item.width)) for f in told if isinstance(f, SlotFrame)]
    return ShardRestorer(restorer, item.grid, item.shard_slots, seen).restore


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


def fit(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A frame in the night's size; one of another size (the recorder was set anew) is scaled."""
    if frame.shape[:2] == (height, width):
        return frame
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def stacked(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Frames as one array [n, h, w, 3]; a single one is not copied."""
    return frames[0][None] if len(frames) == 1 else np.stack(frames)


@dataclass
class _Open:
    """The shard that is being filled."""

    shard: Shard
    frames: NDArray[np.uint8]
    rows: list[dict[str, object]] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    damage: dict[tuple[str, str], None] = field(default_factory=dict)
    last: NDArray[np.uint8] | None = None
    """What `quality.change` compares the next frame with. It starts anew with the shard: a run that is resumed must
    give the same rows, and does not decode the shard before."""


class _ShardBuilder:
    """Collects restored frames in slot order; hands each shard to `writer` when its last slot has passed."""

    def __init__(self, item: WorkItem, shards: list[Shard], settings: NightSettings, writer: Background) -> None:
        self.item, self.settings, self.writer = item, settings, writer
        self.waiting = list(shards)
        self.stored = 0
        self.open = self._next()

    def _next(self) -> _Open:
        shard = self.waiting.pop(0)
        return _Open(shard, np.zeros((shard.count, self.item.height, self.item.width, 3), np.uint8))

    def add(
        self,
        batch: list[SlotFrame],
        damage: list[Damage],
        before: NDArray[np.uint8] | None,
        after: NDArray[np.uint8] | None,
    ) -> None:
        """Take a batch of frames, in slot order, and the damage met among them."""
        told = deque(damage)
        if before is not None and after is not None:
            for frame, dark, bright in zip(batch, before, after, strict=True):
                # Damage is told before the frame of its slot. It must be noted before that frame closes an earlier
                # shard, or a resumed run, which does not decode that shard again, would never hear of it.
                while told and told[0].slot <= frame.slot:
                    self._note(told.popleft())
                self._reach(frame.slot)
                self._add_frame(frame, dark, bright)
        for event in told:
            self._note(event)

    def _note(self, event: Damage) -> None:
        self._reach(event.slot)  # an event of a shard that is closed already goes to the one at hand
        self.open.damage[event.url, event.cause] = None

    def _reach(self, slot: int) -> None:
        while slot >= self.open.shard.first + self.open.shard.count and self.waiting:
            self._store()
            self.open = self._next()

    def _add_frame(self, frame: SlotFrame, dark: NDArray[np.uint8], bright: NDArray[np.uint8]) -> None:
        self.open.frames[frame.slot - self.open.shard.first] = bright
        with meters.stage("measure"):
            self.open.rows.append(self._row(frame, dark, bright))
        self.open.sources[frame.url] = self.open.sources.get(frame.url, 0) + 1

    def _row(self, frame: SlotFrame, dark: NDArray[np.uint8], bright: NDArray[np.uint8]) -> dict[str, object]:
        row: dict[str, object] = {"slot": frame.slot, "time_ns": self.item.grid.time_ns(frame.slot)}
        for when, picture in (("before", dark), ("after", bright)):
            row |= {f"{k}_{when}": v for k, v in quality.measure(picture)._asdict().items()}
        last, self.open.last = self.open.last, quality.coarse_luma(dark)
        row["change_before"] = math.nan if last is None else quality.change(self.open.last, last)
        keep = frame.slot % self.item.preview_stride == 0
        for when, picture in (("before", dark), ("after", bright)):
            row[f"{when}_jpeg"] = jpeg(picture, self.settings.preview_width) if keep else None
        return row

    def finish(self) -> None:
        """Hand over what is left; shards that no frame fell into get their receipt too."""
        while True:
            self._store()
            if not self.waiting:
                return
            self.open = self._next()

    def _store(self) -> None:
        self.writer.submit(partial(self._write, self.open))

    def _write(self, full: _Open) -> None:
        shard, rows = full.shard, full.rows
        with meters.stage("write"):
            sha256, size = store.write_shard(self.item, shard, full.frames) if rows else ("", 0)
        meters.SHARD_BYTES.inc(size)
        receipt = Receipt(
            shard.index,
            sha256,
            size,
            store.runs_of([int(str(r["slot"])) for r in rows]),
            tuple(sorted(full.sources.items())),
            tuple(Problem(url, cause) for url, cause in sorted(full.damage)),
        )
        store.write_receipt(self.item.run_url, receipt, pd.DataFrame(rows, columns=row_columns()))
        self.stored += 1
        item_log(log, self.item).info("shard %d: %d frames", shard.index, receipt.frames)


def row_columns() -> list[str]:
    """Columns of a shard's rows."""
    metrics = [f"{m}_{when}" for when in ("before", "after") for m in store.QUALITY_METRICS]
    return ["slot", "time_ns", *metrics, "change_before", *store.PICTURE_COLUMNS]


def jpeg(frame: NDArray[np.uint8], width: int, quality: int = JPEG_QUALITY) -> bytes:
    """A frame as JPEG, at most `width` pixels wide."""
    if frame.shape[1] > width:
        height = max(1, round(frame.shape[0] * width / frame.shape[1]))
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    ok, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"OpenCV could not encode a picture of {frame.shape}")
    return data.tobytes()
