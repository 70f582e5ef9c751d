"""A night's work items, made as they are asked for: a large site's nights have millions of shards.

Not covered: which shards footage falls into (`tasks.plan`), and who works on them (`flows.feeding`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, islice
from typing import overload

from tasks.types import NANOSECONDS, Grid, Segment, Shard, WorkItem

TAIL_S = 5
"""So long after the end that was planned for it a file may still hold frames: recorders that cut at key frames exceed a
stated length, and MPEG files of quiet pictures what their timestamps tell."""


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
        begin = self.grid.time_ns(shards[0].first) - self.before * margin - TAIL_S * NANOSECONDS
        end = self.grid.time_ns(shards[-1].first + shards[-1].count) + margin
        near = self.segments[bisect_right(self.latest_ends, begin) : bisect_left(self.starts, end)]
        return tuple(s for s in near if s.end_ns > begin)


@dataclass(frozen=True)
class WorkItems(Sequence[WorkItem]):
    """The work items of a plan; equal ones come of equal plans."""

    common: WorkItem
    """What all of them have in common, without shards and segments."""
    runs: tuple[range, ...]
    """Indices of the shards that footage falls into, rising."""
    per_item: int
    """Shards of an item; the last may have fewer."""
    segments: tuple[Segment, ...]
    """The night's, in order of their starts."""
    before: int
    """Slots before an item's shards whose frames it needs too."""

    @property
    def shards(self) -> int:
        """Shards of all items."""
        return sum(map(len, self.runs))

    def __len__(self) -> int:
        return -(-self.shards // self.per_item)

    def __iter__(self) -> Iterator[WorkItem]:
        return self._made(chain.from_iterable(self.runs))

    @overload
    def __getitem__(self, index: int) -> WorkItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[WorkItem, ...]: ...
    def __getitem__(self, index: int | slice) -> WorkItem | tuple[WorkItem, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        first = range(len(self))[index] * self.per_item
        return next(self._made(islice(chain.from_iterable(self.runs), first, None)))

    def _made(self, indices: Iterator[int]) -> Iterator[WorkItem]:
        touching = Touching(self.common.grid, self.segments, self.before)
        most, slots = self.common.shard_slots, self.common.grid.slots
        while part := tuple(islice(indices, self.per_item)):
            shards = tuple(Shard(i, i * most, min(most, slots - i * most)) for i in part)
            yield replace(self.common, shards=shards, segments=touching.of(shards))
