"""A night's frames restored steadily, and yet each shard the same whoever restores it, and when.

What a restorer remembers of earlier frames would depend on where a worker began. So the memory begins anew at every
shard: a fixed number of slots before it, whose frames are looked at and not restored. Not covered: the memory itself
(`lednet.temporal`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lednet import Restorer
from lednet.temporal import TemporalSettings
from lednet.transfer import Pending, together
from lednet.video import VideoRestorer
from tasks.types import NANOSECONDS, Grid

Frame = NDArray[np.uint8]

WARM_UP = TemporalSettings().warm_up
"""Slots before a shard that its memory begins at."""


class ShardRestorer:
    """Restores the frames of consecutive shards in slot order.

    Args:
        shard_slots: slots of a shard.
        earlier: (slot, frame) of the `WARM_UP` slots before the first shard, as far as they hold frames.
    """

    def __init__(self, restorer: Restorer, grid: Grid, shard_slots: int, earlier: Iterable[tuple[int, Frame]]) -> None:
        self.video = VideoRestorer(restorer)
        self.grid, self.shard_slots = grid, shard_slots
        self.shard: int | None = None
        self.recent = deque(earlier, maxlen=WARM_UP)

    def begin(self, slots: Sequence[int], frames: Frame) -> Pending:
        """Restore frames [n, h, w, 3] of rising slots; as `Restorer.begin`, a GPU is not waited for."""
        parts: list[tuple[slice, Pending]] = []
        first = 0
        while first < len(slots):
            shard = slots[first] // self.shard_slots
            last = next((i for i in range(first, len(slots)) if slots[i] // self.shard_slots != shard), len(slots))
            if shard != self.shard:
                self._begin_shard(shard)
            part = slice(first, last)
            parts.append((part, self.video.begin(frames[part], [self._seconds(slot) for slot in slots[part]])))
            self.recent.extend(zip(slots[part], frames[part], strict=True))
            first = last
        return together(parts, frames)

    def _begin_shard(self, shard: int) -> None:
        self.shard = shard
        self.video.forget()
        for slot, frame in self.recent:
            if slot >= shard * self.shard_slots - WARM_UP:
                self.video.watch(frame[None], [self._seconds(slot)])

    def _seconds(self, slot: int) -> float:
        # From the night's start: float seconds since 1970 would tell neighbouring frames less exactly apart.
        return (self.grid.time_ns(slot) - self.grid.start_ns) / NANOSECONDS
