"""The hour that clocks repeat when summer time ends: which of its two times a file's name or header means.

A recorder by local time gives the files of two hours the same times. Taken for the first time, as long as nothing
speaks against it, files of the second would lie over those of the first. Where files meet so, the order in which they
were written tells them apart; where that can't, as after copying, those in the way become problems. Where none meet,
that is logged: they may still be of the second hour. Not covered: reading names and headers (`tasks.archive`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from tasks.types import NANOSECONDS, Camera, Problem, Segment

log = logging.getLogger(__name__)

DAY_NS = 24 * 3600 * NANOSECONDS
OVERLAP_S = 10.0
"""Files of one recording may overlap by so much, or by a quarter of the shorter one where that is less."""


def tell_apart(
    segments: Sequence[Segment], written_s: Mapping[str, float], camera: Camera
) -> tuple[dict[str, int], list[Problem]]:
    """Find the files of the second hour, and those that can't be told.

    Args:
        segments: a night's files in order of time, those of a repeated hour at its first time.
        written_s: when each was last written, in seconds since the epoch by the store's clock; 0 where the store does
            not say.

    Returns:
        URLs of files of the second hour, with the nanoseconds by which they are later; the files that have no place.
    """
    if camera.clock == "utc" or not segments or not _changes(segments[0].start_ns, segments[-1].start_ns, camera):
        return {}, []
    later = {s.url: _later_ns(s.start_ns, camera) for s in segments}
    doubtful = [s for s in segments if later[s.url]]
    if not doubtful:
        return {}, []
    before = [s for s in segments if s.start_ns < doubtful[0].start_ns][-1:]
    by_writing = sorted(doubtful, key=lambda s: written_s[s.url])
    breaks = [(a, b) for a, b in pairwise([*before, *by_writing]) if _meet(a, b)]
    if not breaks:
        log.warning(
            "%s: %d files bear times of the hour that clocks repeat, and nothing tells which of its two is meant; "
            "taken for its first", camera.id, len(doubtful),
        )  # fmt: skip
        return {}, []
    last, first = breaks[0]
    passed_s = (first.end_ns + later[first.url] - last.end_ns) / NANOSECONDS
    # Files that were copied are all written within a short time, and their order says nothing.
    if len(breaks) == 1 and written_s[first.url] - written_s[last.url] > passed_s / 2:
        return {s.url: later[s.url] for s in by_writing[by_writing.index(first) :]}, []
    return {}, _in_the_way(before, doubtful)


def _in_the_way(before: Sequence[Segment], doubtful: Sequence[Segment]) -> list[Problem]:
    """Those files, in order of time, that meet one which stands before them."""
    problems: list[Problem] = []
    kept = list(before)
    for segment in doubtful:
        if kept and _meet(kept[-1], segment):
            other = kept[-1].url.rpartition("/")[2]
            fault = f"its time is of an hour that clocks repeat, and {other} fills it: which came first is unknown"
            problems.append(Problem(segment.url, fault))
        else:
            kept.append(segment)
    return problems


def _local(time_ns: int, camera: Camera) -> datetime:
    """What a camera's clock shows at a time."""
    shown = datetime.fromtimestamp(time_ns // NANOSECONDS, UTC) - timedelta(seconds=camera.clock_offset_s)
    return shown.astimezone(ZoneInfo(camera.timezone))


def _changes(first_ns: int, last_ns: int, camera: Camera) -> bool:
    """Whether the zone's offset does, up to a day after the last time: millions of files are not asked one by one."""
    return _local(first_ns, camera).utcoffset() != _local(last_ns + DAY_NS, camera).utcoffset()


def _later_ns(start_ns: int, camera: Camera) -> int:
    """How long after a time, the first one read from what a clock showed, it shows the same again; 0: never."""
    local = _local(start_ns, camera)
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert first is not None
    assert second is not None
    return round((first - second).total_seconds()) * NANOSECONDS


def _meet(before: Segment, after: Segment) -> bool:
    """Whether a file begins so long before the end of another that they can't be one recording."""
    shorter = min(s.end_ns - s.start_ns for s in (before, after))
    return after.start_ns < before.end_ns - min(round(OVERLAP_S * NANOSECONDS), shorter // 4)
