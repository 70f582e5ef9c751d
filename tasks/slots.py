"""Which frame fills which slot of a night's grid.

Covers choosing, for a stretch of slots, the nearest frame of each from the segments that may hold it. Decoding is in
`tasks.decode`; the grid itself in `tasks.types`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tasks.decode import VideoError, pixels, read_frames
from tasks.types import NANOSECONDS, Camera, Grid, Segment


@dataclass(frozen=True)
class SlotFrame:
    """The frame chosen for a slot."""

    slot: int
    pixels: NDArray[np.uint8]
    url: str
    """The segment that it comes from."""


@dataclass(frozen=True)
class Damage:
    """A segment could not be read, or not wholly; met while filling `slot`."""

    slot: int
    url: str
    cause: str


def night_grid(camera: Camera, night: str) -> Grid:
    """The slots of a camera's night: from its local start to its local end, in true time, so that the night on which
    clocks change is an hour shorter or longer."""
    zone = ZoneInfo(camera.timezone)
    day = datetime.fromisoformat(night)
    begins, ends = time.fromisoformat(camera.start), time.fromisoformat(camera.end)
    start = datetime.combine(day, begins, zone)
    end = datetime.combine(day if ends > begins else day + timedelta(days=1), ends, zone)
    start_ns, end_ns = (int(t.timestamp()) * NANOSECONDS for t in (start, end))
    return Grid(start_ns, camera.rate, int((end_ns - start_ns) * camera.rate / NANOSECONDS))


def fill_slots(
    grid: Grid, first: int, last: int, segments: tuple[Segment, ...], most_pixels: int
) -> Iterator[SlotFrame | Damage]:
    """Frames for the slots first <= slot < last, in order, with damage as it is met.

    Each slot takes the frame nearest to its time among those within half a slot of it. A slot at or after the end of
    the last frame's showing stays empty, so that four seconds of footage fill four seconds of slots. Of two segments
    that overlap, the one that begins first keeps the slots it has filled.
    """
    held: _Candidate | None = None
    done = first - 1
    for segment in segments:
        errors: list[str] = []
        told = 0
        shown: list[int] = []  # times of the segment's last two frames
        try:
            for time_ns, picture in _timed(grid, first, last, segment, errors, most_pixels):
                shown = [*shown[-1:], time_ns]
                slot = grid.slot_at(time_ns)
                if slot <= done or slot >= last:
                    continue
                candidate = _Candidate(slot, abs(time_ns - grid.time_ns(slot)), picture, segment.url)
                if held is None or slot > held.slot:
                    if held is not None:
                        done = held.slot
                        yield held.chosen()
                    held = candidate
                elif slot == held.slot and candidate.distance < held.distance:
                    held = candidate
                for cause in errors[told:]:
                    yield Damage(slot, segment.url, cause)
                told = len(errors)
        except VideoError as error:
            errors.append(error.cause)
        except OSError as error:
            errors.append(f"cannot be read: {error}")
        if held is not None and held.url == segment.url and len(shown) == 2:
            footage_end = 2 * shown[1] - shown[0]
            if grid.time_ns(held.slot) >= footage_end:
                held = None
        for cause in errors[told:]:
            begins = min(max(grid.slot_at(segment.start_ns), first), last - 1)
            yield Damage(max(begins, held.slot if held else first), segment.url, cause)
    if held is not None:
        yield held.chosen()


@dataclass(frozen=True)
class _Candidate:
    """A decoded frame that may fill a slot; its pixels are converted only if it does."""

    slot: int
    distance: int
    frame: VideoFrame
    url: str

    def chosen(self) -> SlotFrame:
        return SlotFrame(self.slot, pixels(self.frame), self.url)


def _timed(
    grid: Grid, first: int, last: int, segment: Segment, errors: list[str], most_pixels: int
) -> Iterator[tuple[int, VideoFrame]]:
    """A segment's frames that may belong to the wanted slots, with their true times."""
    margin = round(NANOSECONDS / grid.rate)
    begin = (grid.time_ns(first) - margin - segment.start_ns) / NANOSECONDS
    end = (grid.time_ns(last) + margin - segment.start_ns) / NANOSECONDS
    for seconds, frame in read_frames(segment.url, max(0.0, begin), end, errors, most_pixels):
        yield segment.start_ns + round(seconds * NANOSECONDS), frame
