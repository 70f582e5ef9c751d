"""A night's frames restored steadily, and yet each shard the same whoever restores it, and when.

What a restorer remembers of earlier frames would depend on where a worker began. So the memory begins anew at every
shard: a fixed number of slots before it, whose frames are looked at and not restored. Not covered: the memory itself
(`lednet.temporal`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lednet import Restorer
from lednet.temporal import TemporalSettings
from lednet.video import VideoRestorer
from tasks.types import NANOSECONDS, Grid, Segment, Shard

Frame = NDArray[np.uint8]

WARM_UP = TemporalSettings().warm_up
"""Slots before a shard that its memory begins at."""


class Touching:
    """Finds the segments that may hold frames of some shards, without looking at all of them for every work item.

    Args:
        segments: in order of their starts.
        before: slots before the shards whose frames are wanted too.
    """

    def __init__(self, grid: Grid, segments: Sequence[Segment], before: int = 1) -> None:
        self.grid, self.segments, self.before = grid, segments, before
        self.starts = [s.start_ns for s in segments]
        self.latest_ends = list(accumulate((s.end_ns for s in segments), max))

    def of(self, shards: Sequence[Shard]) -> tuple[Segment, ...]:
        """The segments of consecutive shards."""
        margin = round(NANOSECONDS / self.grid.rate)
        begin = self.grid.time_ns(shards[0].first) - self.before * margin
        end = self.grid.time_ns(shards[-1].first + shards[-1].count) + margin
        near = self.segments[bisect_right(self.latest_ends, begin) : bisect_left(self.starts, end)]
        return tuple(s for s in near if s.end_ns > begin)


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

    def restore(self, slots: Sequence[int], frames: Frame) -> Frame:
        """Restore frames [n, h, w, 3] of rising slots -> the same shape."""
        out = np.empty_like(frames)
        first = 0
        while first < len(slots):
            shard = slots[first] // self.shard_slots
            last = next((i for i in range(first, len(slots)) if slots[i] // self.shard_slots != shard), len(slots))
            if shard != self.shard:
                self._begin(shard)
            part = slice(first, last)
            out[part] = self.video.restore(frames[part], [self._seconds(slot) for slot in slots[part]])
            self.recent.extend(zip(slots[part], frames[part], strict=True))
            first = last
        return out

    def _begin(self, shard: int) -> None:
        self.shard = shard
        self.video.forget()
        for slot, frame in self.recent:
            if slot >= shard * self.shard_slots - WARM_UP:
                self.video.watch(frame[None], [self._seconds(slot)])

    def _seconds(self, slot: int) -> float:
        # From the night's start: float seconds since 1970 would tell neighbouring frames less exactly apart.
        return (self.grid.time_ns(slot) - self.grid.start_ns) / NANOSECONDS
