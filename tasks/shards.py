"""Restored frames become shards: their quality rows and pictures, whole shards handed to the store with their receipts.

Not covered: the threads (`tasks.enhance`), what a figure means (`lednet.quality`), how a shard is stored
(`tasks.store`).
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lednet import quality
from tasks import meters, store
from tasks.logs import item_log
from tasks.picture import jpeg
from tasks.pipeline import Background
from tasks.settings import NightSettings
from tasks.slots import Damage, SlotFrame
from tasks.types import Problem, Receipt, Shard, WorkItem

log = logging.getLogger(__name__)


@dataclass
class _Open:
    """The shard that is being filled."""

    shard: Shard
    memory: NDArray[np.uint8]
    """Frames [longest shard, h, w, 3]; those of slots that no frame came for hold what an earlier shard left there."""
    rows: list[dict[str, object]] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    damage: dict[tuple[str, str], None] = field(default_factory=dict)
    last: NDArray[np.uint8] | None = None
    """What `quality.change` compares the next frame with. It starts anew with the shard: a run that is resumed must
    give the same rows, and does not decode the shard before."""


class ShardBuilder:
    """Collects restored frames in slot order; hands each shard to `writer` when its last slot has passed."""

    def __init__(self, item: WorkItem, shards: list[Shard], settings: NightSettings, writer: Background) -> None:
        self.item, self.settings, self.writer = item, settings, writer
        self.waiting = list(shards)
        self.stored = 0
        self.most = max(shard.count for shard in shards)
        self.spare: list[NDArray[np.uint8]] = []
        """Memory of shards that are written: fresh pages cost twenty times the copying of a frame into them."""
        self.open = self._next()

    def _next(self) -> _Open:
        shape = self.most, self.item.height, self.item.width, 3
        memory = self.spare.pop() if self.spare else np.empty(shape, np.uint8)
        return _Open(self.waiting.pop(0), memory)

    def add(self, batch: Sequence[SlotFrame], damage: Sequence[Damage], restored: Iterable[NDArray[np.uint8]]) -> None:
        """Take a batch of frames, in slot order, restored each, and the damage met among them."""
        told = deque(damage)
        for frame, bright in zip(batch, restored, strict=True):
            # Damage is told before the frame of its slot. It must be noted before that frame closes an earlier shard,
            # or a resumed run, which does not decode that shard again, would never hear of it.
            while told and told[0].slot <= frame.slot:
                self._note(told.popleft())
            self._reach(frame.slot)
            self._add_frame(frame, bright)
        for event in told:
            self._note(event)

    def _note(self, event: Damage) -> None:
        self._reach(event.slot)  # an event of a shard that is closed already goes to the one at hand
        self.open.damage[event.url, event.cause] = None

    def _reach(self, slot: int) -> None:
        while slot >= self.open.shard.first + self.open.shard.count and self.waiting:
            self._store()
            self.open = self._next()

    def _add_frame(self, frame: SlotFrame, bright: NDArray[np.uint8]) -> None:
        self.open.memory[frame.slot - self.open.shard.first] = bright
        with meters.stage("measure"):
            self.open.rows.append(self._row(frame, bright))
        self.open.sources[frame.url] = self.open.sources.get(frame.url, 0) + 1

    def _row(self, frame: SlotFrame, bright: NDArray[np.uint8]) -> dict[str, object]:
        row: dict[str, object] = {"slot": frame.slot, "time_ns": self.item.grid.time_ns(frame.slot)}
        before = frame.figures or quality.measure(frame.pixels)
        for when, figures in (("before", before), ("after", quality.measure(bright))):
            row |= {f"{k}_{when}": v for k, v in figures._asdict().items()}
        last, self.open.last = self.open.last, quality.coarse_luma(frame.pixels)
        row["change_before"] = math.nan if last is None else quality.change(self.open.last, last)
        keep = frame.slot % self.item.preview_stride == 0
        for when, picture in (("before", frame.pixels), ("after", bright)):
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
        slots = [int(str(r["slot"])) for r in rows]
        frames = full.memory[: shard.count]
        frames[sorted({*range(shard.count)} - {slot - shard.first for slot in slots})] = 0
        with meters.stage("write"):
            sha256, size = store.write_shard(self.item, shard, frames) if rows else ("", 0)
        self.spare.append(full.memory)
        meters.SHARD_BYTES.inc(size)
        receipt = Receipt(
            shard.index,
            sha256,
            size,
            store.runs_of(slots),
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
