"""What travels between the rooms: frozen dataclasses and URLs, never arrays.

Times are integer nanoseconds since the Unix epoch, UTC, unless a name says otherwise: sums and comparisons of slot
times are exact, whatever the frame rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Camera:
    """One camera, as described in cameras.toml."""

    id: str
    """Names the camera in the store: lower-case letters, digits, `-` and `_`."""
    name: str
    scene: str
    """`outdoor` or `indoor`."""
    timezone: str
    """IANA name, such as Asia/Shanghai."""
    pattern: str
    """Where its files stand under the archive; see `tasks.archive`."""
    rate: Fraction
    """Slots a second."""
    start: str = "18:00"
    """Local time of day at which its night begins, HH:MM."""
    end: str = "06:00"
    """Local time of day at which its night ends; up to the same time on the next day."""
    clock: str = "local"
    """What the file names' times are: `local` or `utc`."""
    clock_offset_s: float = 0.0
    """Seconds to add to the recorder's clock to get the true time."""
    segment_s: float | None = None
    """Length of a file in seconds, where the recorder's is fixed; None: each file's header is asked."""
    priority: int = 0
    """The higher, the earlier its work is done; equal ones in the order of cameras.toml."""
    daylight: str = ""
    """Its own sharp daylight pictures or videos, or GoPro clips that stand in for them: a folder, file or pattern with
    `*`, as a URL or a path. Figures of the synthesised night are made of them; see `tasks.synthesised`."""


@dataclass(frozen=True)
class Segment:
    """One archived video file.

    Without slots, which a frozen dataclass pickles field by field in Python: a plan holds thousands of these and is
    pickled whole (`tasks.shelf`).
    """

    url: str
    etag: str
    """The store's entity tag, or size and modification time of a local file: changes when the content does."""
    size: int
    start_ns: int
    """True time of its first frame."""
    raw_time: str
    """The time as the recorder wrote it, before zone and offset."""
    end_ns: int
    """Upper bound of its last frame's time; a hint for planning, never trusted for content."""


@dataclass(frozen=True)
class Grid:
    """A night as a regular time grid: slot i stands at start + i / rate."""

    start_ns: int
    rate: Fraction
    slots: int

    def time_ns(self, slot: int) -> int:
        """Time of a slot, to the nearest nanosecond; halves go to the even one."""
        # round(Fraction(slot) * NANOSECONDS / rate) in whole numbers: fractions are slow, and every slot may ask.
        by = self.rate.numerator
        whole, rest = divmod(slot * NANOSECONDS * self.rate.denominator, by)
        return self.start_ns + whole + (2 * rest > by or (2 * rest == by and whole % 2))

    def slot_at(self, time_ns: int) -> int:
        """The slot nearest to a time; may lie outside the night. Halves go to the later slot."""
        # floor((time - start) * rate + 1/2) in whole numbers: millions of files ask, and fractions are slow.
        whole = NANOSECONDS * self.rate.denominator
        return (2 * (time_ns - self.start_ns) * self.rate.numerator + whole) // (2 * whole)


@dataclass(frozen=True)
class Problem:
    """A file, or a part of one, that could not be used."""

    url: str
    reason: str
    frames: int = 0
    """Frames of it that were used all the same."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive slots that are written as one object."""

    index: int
    first: int
    """Its first slot."""
    count: int


@dataclass(frozen=True)
class WorkItem:
    """A few whole shards of one camera's night: what the scheduler hands out, retries and shows."""

    camera: str
    night: str
    run_url: str
    grid: Grid
    height: int
    width: int
    shard_slots: int
    shards: tuple[Shard, ...]
    segments: tuple[Segment, ...]
    """The segments that may hold frames of these shards, or of the slots before them that their memory begins at
    (`tasks.steady`), in order of time."""
    checkpoint: str
    """Shipped name, path, or URL of a stored model version."""
    preview_stride: int
    """Every so many slots a pair of pictures is kept for preview and report."""


@dataclass(frozen=True)
class Receipt:
    """Written after a shard; its existence means that the shard and its quality rows are stored whole."""

    shard: int
    sha256: str
    """Of the stored object."""
    size: int
    """Bytes of the stored object."""
    valid: tuple[tuple[int, int], ...]
    """Runs of valid slots, (first, count), in the night's numbering."""
    sources: tuple[tuple[str, int], ...] = ()
    """(segment URL, frames of it in this shard), by URL."""
    problems: tuple[Problem, ...] = ()
    rows_sha256: str = ""
    """Of the shard's quality rows."""

    @property
    def frames(self) -> int:
        """How many slots hold a frame."""
        return sum(count for _, count in self.valid)


@dataclass(frozen=True)
class NightPlan:
    """Everything that will run for one camera's night."""

    camera: Camera
    night: str
    """Local date on which the night starts, YYYY-MM-DD."""
    run: str
    """Run key: hash of weights, settings and the segments' etags."""
    run_url: str
    grid: Grid
    height: int
    width: int
    shard_slots: int
    segments: tuple[Segment, ...]
    problems: tuple[Problem, ...]
    gaps: tuple[tuple[int, int], ...]
    """Stretches without footage, (from, to) in nanoseconds."""
    items: Sequence[WorkItem]
    shards: int
    """Shards that footage falls into; the others are never written."""
    model: dict[str, str]
    """Name and sha256 of the weights."""
    every: int = 1
    """One slot in so many of what its camera is to have; more than 1: a pass of a night with a deadline."""

    @property
    def most_frames(self) -> int:
        """As many frames as its shards have room for, whatever its files hold."""
        return min(self.grid.slots, self.shards * self.shard_slots)

    @property
    def planned_slots(self) -> int:
        """Slots that footage should fill."""
        covered = sum(b - a for a, b in self.gaps)
        night = round(Fraction(self.grid.slots * NANOSECONDS) / self.grid.rate)
        return round((night - covered) * self.grid.rate / NANOSECONDS)


@dataclass(frozen=True)
class ItemResult:
    """What a worker says of a finished work item; timings are for people and never stored."""

    camera: str
    shards_done: int
    shards_skipped: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class CameraNight:
    """How one camera's night ended."""

    camera: str
    status: str
    """`published`, `already published`, `partial`, `failed`, `under way` (by somebody else) or `no footage`."""
    reason: str = ""
    frames: int = 0
    coverage: float = 0.0
    quarantined: int = 0
    manifest_url: str = ""
    done: float = 1.0
    """Share of the shards that are stored, of a night that is under way; of one that is published, those of a finer or
    newer run that is to take its place."""
