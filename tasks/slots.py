"""Which frame fills which slot of a night's grid.

Covers choosing, for a stretch of slots, the nearest frame of each from the segments that may hold it. Decoding is in
`tasks.decode`; the grid itself in `tasks.types`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from heapq import heappop, heappush
from math import inf

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from lednet.quality import Quality
from tasks.decode import SEEK_MARGIN_S, VideoError, pixels, read_frames
from tasks.nights import night_bounds
from tasks.storage import StorageError
from tasks.types import NANOSECONDS, Camera, Grid, Segment

SEEK_STEP_S = 10.0
"""Slots that stand further apart are sought one by one; what stands closer is decoded through, which costs less than to
go back to a key frame for each slot, and recorders set one every few seconds."""

FrameReader = Callable[[str, float, float, list[str], int], Iterator[tuple[float, VideoFrame]]]


@dataclass(frozen=True)
class SlotFrame:
    """The frame chosen for a slot."""

    slot: int
    pixels: NDArray[np.uint8]
    url: str
    """The segment that it comes from."""
    figures: Quality | None = None
    """Of the pixels, where who decoded them has measured them (`tasks.decode_process`)."""


@dataclass(frozen=True)
class Damage:
    """A segment could not be read, or not wholly; met while filling `slot`."""

    slot: int
    url: str
    cause: str


def night_grid(camera: Camera, night: str) -> Grid:
    """The slots of a camera's night: from its local start to its local end, in true time, so that the night on which
    clocks change is an hour shorter or longer."""
    start_ns, end_ns = (int(t.timestamp()) * NANOSECONDS for t in night_bounds(camera, date.fromisoformat(night)))
    return Grid(start_ns, camera.rate, max(0, int((end_ns - start_ns) * camera.rate / NANOSECONDS)))


def slot_times(grid: Grid) -> NDArray[np.int64]:
    """`Grid.time_ns` of every slot, int64 [slots], without asking for each: a night may have millions."""
    # After `numerator` slots a whole number of seconds has passed, and the pattern of rounding begins anew: halves go
    # to the even side, and a second's nanoseconds are even.
    period = grid.rate.numerator
    pattern = np.array([grid.time_ns(i) for i in range(min(period, grid.slots))], np.int64)
    rounds = np.arange(-(-grid.slots // period), dtype=np.int64) * (grid.rate.denominator * NANOSECONDS)
    return (rounds[:, None] + pattern).ravel()[: grid.slots]


def fill_slots(
    grid: Grid,
    first: int,
    last: int,
    segments: tuple[Segment, ...],
    most_pixels: int,
    read: FrameReader = read_frames,
) -> Iterator[SlotFrame | Damage]:
    """Frames for the slots first <= slot < last, with damage as it is met; slots never go down.

    Each slot takes the frame nearest to its time among those within half a slot of it. A slot at or after the end of
    the last frame's showing stays empty, so that four seconds of footage fill four seconds of slots. Of two segments
    that overlap, the one that begins first fills the slots that it can. What fills a slot does not depend on `first`
    and `last`.

    Args:
        read: `decode.read_frames`, or something around it.

    Raises:
        StorageError: if the archive can't be read; the fault of one file alone is damage.
    """
    coming = [(grid.slot_at(s.start_ns), s) for s in reversed(segments) if grid.slot_at(s.start_ns) < last]
    running: list[tuple[int, int, _Candidate, Iterator[_Candidate | Damage]]] = []
    done = first - 1
    while coming or running:
        if coming and (not running or coming[-1][0] <= running[0][0]):
            order = -len(coming)
            events = _choose(grid, first, last, coming.pop()[1], most_pixels, read)
        else:
            slot, order, chosen, events = heappop(running)
            if slot > done:
                done = slot
                yield SlotFrame(slot, pixels(chosen.frame), chosen.url)
        for event in events:
            if isinstance(event, _Candidate):
                heappush(running, (event.slot, order, event, events))
                break
            # Whatever a segment says of its own place, slots that others may still fill come after it.
            soonest = min([event.slot, last - 1, *(r[0] for r in running[:1]), *(c[0] for c in coming[-1:])])
            yield replace(event, slot=max(soonest, done, first))


@dataclass(frozen=True)
class _Candidate:
    """A decoded frame that may fill a slot; its pixels are converted only if it does."""

    slot: int
    distance: int
    frame: VideoFrame
    url: str


def _choose(
    grid: Grid, first: int, last: int, segment: Segment, most_pixels: int, read: FrameReader
) -> Iterator[_Candidate | Damage]:
    """One segment's frame for each slot, slots going up."""
    errors: list[str] = []
    told = 0
    held: _Candidate | None = None
    done = first - 1
    shown: list[int] = []  # times of the last two frames
    try:
        for time_ns, frame in _timed(grid, first, last, segment, errors, most_pixels, read):
            if not shown or time_ns > shown[-1]:
                shown = [*shown[-1:], time_ns]
            slot = grid.slot_at(time_ns)
            if held is not None and slot > held.slot:
                done = held.slot
                yield held
                held = None
            for cause in errors[told:]:
                yield Damage(slot, segment.url, cause)
            told = len(errors)
            distance = abs(time_ns - grid.time_ns(slot))
            if done < slot < last and (held is None or (slot == held.slot and distance < held.distance)):
                held = _Candidate(slot, distance, frame, segment.url)
    except VideoError as error:
        errors.append(error.cause)
    except StorageError:
        raise  # frames that are only out of reach must not be published as missing
    except OSError as error:
        errors.append(f"cannot be read: {error}")
    if held is not None and len(shown) == 2 and grid.time_ns(held.slot) >= 2 * shown[1] - shown[0]:
        held = None
    for cause in errors[told:]:
        yield Damage(held.slot if held else grid.slot_at(segment.start_ns), segment.url, cause)
    if held is not None:
        yield held


def _timed(
    grid: Grid,
    first: int,
    last: int,
    segment: Segment,
    errors: list[str],
    most_pixels: int,
    read: FrameReader,
) -> Iterator[tuple[int, VideoFrame]]:
    """A segment's frames that may belong to the wanted slots, with their true times, and one frame more."""

    def frames_from(time_ns: int) -> Iterator[tuple[int, VideoFrame]]:
        begin = max(0.0, (time_ns - segment.start_ns) / NANOSECONDS)
        for seconds, frame in read(segment.url, begin, inf, errors, most_pixels):
            yield segment.start_ns + round(seconds * NANOSECONDS), frame

    step = NANOSECONDS / grid.rate
    if step < SEEK_STEP_S * NANOSECONDS:
        end = grid.time_ns(last)
        for time_ns, frame in frames_from(grid.time_ns(first) - round(2 * step)):
            yield time_ns, frame
            if time_ns >= end:
                return
        return
    for slot in range(max(first, grid.slot_at(segment.start_ns)), last):
        near, more = _around(grid.time_ns(slot), round(step / 2), segment.start_ns, frames_from)
        yield from near
        if not more:
            return


def _around(
    time_ns: int, reach: int, start: int, frames_from: Callable[[int], Iterator[tuple[int, VideoFrame]]]
) -> tuple[list[tuple[int, VideoFrame]], bool]:
    """The last two frames before a slot's time, or as many as stand within `reach` of it, and the first one after.

    Returns:
        The frames with their times; whether one stands after.
    """
    margin = round(SEEK_MARGIN_S * NANOSECONDS)
    while True:
        margin = min(margin, reach)
        before: list[tuple[int, VideoFrame]] = []
        for found in frames_from(time_ns - margin):
            if found[0] >= time_ns:
                break
            before = [*before[-1:], found]
        else:
            found = None
        if len(before) == 2 or margin == reach or time_ns - margin <= start:
            return [*before, *([found] if found else [])], found is not None
        margin *= 4
