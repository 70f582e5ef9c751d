"""Finding a camera's recorded files and when each begins.

A camera's pattern says where its files stand below the archive, and how the name holds the time:

    %Y %m %d %H %M %S %f    as in strptime       *    anything within one path part
    {chapter} {clip}        GoPro's numbers: GX010119 is chapter 01 of clip 0119, pattern "GX{chapter}{clip}.MP4"

Everything else stands for itself. Without a time in the pattern the container's creation time is used. Files that match
but whose time cannot be told become problems; files that do not match are somebody else's and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import zip_longest
from operator import attrgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tasks import listing, storage
from tasks.decode import Header, VideoError, probe
from tasks.repeated_hour import tell_apart
from tasks.types import NANOSECONDS, Camera, Problem, Segment

_TOKENS = {
    "%Y": r"(?P<Y>\d{4})",
    "%m": r"(?P<m>\d{2})",
    "%d": r"(?P<d>\d{2})",
    "%H": r"(?P<H>\d{2})",
    "%M": r"(?P<M>\d{2})",
    "%S": r"(?P<S>\d{2})",
    "%f": r"(?P<f>\d{1,6})",
    "*": r"[^/]*",
    "{chapter}": r"(?P<chapter>\d{2})",
    "{clip}": r"(?P<clip>\d{4})",
}
_TOKEN = re.compile(r"%[YmdHMSf]|\*|\{chapter\}|\{clip\}")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PROBE_THREADS = 8
POSSIBLE_YEARS = range(1970, 2200)
"""Of a recorder's clock; what lies beyond is no time, and may not fit into 64 bits."""
LONGEST_SEGMENT_S = 25 * 3600
"""No file is longer where its camera's description states no length; bounds how far back a night looks for files that
reach into it."""
UNKNOWN_LENGTH_S = 24 * 3600
"""Assumed length of a file whose header tells none and that no other follows."""


@dataclass(frozen=True)
class Found:
    """A night's footage of one camera, as far as names and headers tell."""

    segments: tuple[Segment, ...]
    problems: tuple[Problem, ...]


class _Named(NamedTuple):
    """A file whose name matched the pattern."""

    entry: listing.Entry
    raw_time: str
    start_ns: int | None
    """True time of its start; None where the name holds no time."""
    chapter: int
    clip: str
    """Its folder and the number in its name: recorders use a number again on another day."""


@lru_cache(maxsize=1024)
def pattern_regex(pattern: str) -> re.Pattern[str]:
    """The regular expression that a path below the archive must match as a whole."""
    parts: list[str] = []
    seen: set[str] = set()
    position = 0
    for match in _TOKEN.finditer(pattern):
        parts.append(re.escape(pattern[position : match.start()]))
        token, position = match.group(), match.end()
        # A token that stands twice (a date folder and a dated name) must hold the same digits in both places.
        name = re.match(r"\(\?P<(\w+)>", _TOKENS[token])
        parts.append(f"(?P={name[1]})" if name and token in seen else _TOKENS[token])
        seen.add(token)
    parts.append(re.escape(pattern[position:]))
    return re.compile("".join(parts))


def example(pattern: str) -> str:
    """A path that fits a pattern."""
    values = {"%Y": "2026", "*": "any", "{clip}": "0119", "%f": "6"}
    return _TOKEN.sub(lambda token: values.get(token.group(), "11"), pattern)


def static_prefix(pattern: str, day: date) -> str:
    """The folders of a pattern that are known for one day: what must be listed, and no more."""
    for token, value in (("%Y", f"{day:%Y}"), ("%m", f"{day:%m}"), ("%d", f"{day:%d}")):
        pattern = pattern.replace(token, value)
    folders = pattern.split("/")[:-1]
    known = []
    for folder in folders:
        if _TOKEN.search(folder):
            break
        known.append(folder)
    return "/".join(known)


def true_time(wall: datetime, camera: Camera) -> int:
    """A recorder's naive time -> true time in nanoseconds; of two readings when clocks fall back, the first (see
    `tasks.repeated_hour`)."""
    zone = UTC if camera.clock == "utc" else ZoneInfo(camera.timezone)
    since = wall.replace(tzinfo=zone) - EPOCH
    return (
        (since.days * 86_400 + since.seconds) * NANOSECONDS
        + since.microseconds * 1000
        + round(camera.clock_offset_s * NANOSECONDS)
    )


def _parse(entry: listing.Entry, relative: str, regex: re.Pattern[str], camera: Camera) -> _Named | Problem | None:
    match = regex.fullmatch(relative)
    if match is None:
        return None
    # An object's key may hold such parts; clients ask for another object then.
    if "/." in f"/{relative}" and {".", ".."} & set(relative.split("/")):
        return Problem(entry.url, "its name leads to another place (a part of it is . or ..)")
    groups = match.groupdict()
    chapter = int(groups.get("chapter") or 0)
    clip = relative[: relative.rfind("/") + 1] + (groups.get("clip") or "")
    if not {"Y", "m", "d"} <= groups.keys():
        return _Named(entry, "", None, chapter, clip)
    year, month, day = groups["Y"], groups["m"], groups["d"]
    hour, minute, second = groups.get("H", "00"), groups.get("M", "00"), groups.get("S", "00")
    fraction = groups.get("f", "0").ljust(6, "0")
    raw = f"{year}-{month}-{day} {hour}:{minute}:{second}.{fraction}"
    try:
        wall = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), int(fraction))
    except ValueError:
        wall = datetime.min
    if wall.year not in POSSIBLE_YEARS:
        return Problem(entry.url, f"its name holds no possible time: {raw}")
    return _Named(entry, raw, true_time(wall, camera), chapter, clip)


def _list(camera: Camera, archive: str, days: Iterable[date]) -> tuple[list[_Named], list[Problem]]:
    regex = pattern_regex(camera.pattern)
    named: dict[str, _Named] = {}
    problems: dict[str, Problem] = {}
    for prefix in sorted({static_prefix(camera.pattern, day) for day in days}):
        root = storage.join(archive, prefix) if prefix else archive
        # No deeper than its files can stand: other folders need not be readable, such as a disk's lost+found.
        deep = camera.pattern.count("/") - (prefix.count("/") + 1 if prefix else 0)
        for entry in listing.find(root, deep):
            parsed = _parse(entry, storage.relative(entry.url, archive), regex, camera)
            if isinstance(parsed, _Named):
                named[entry.url] = parsed
            elif isinstance(parsed, Problem):
                problems[entry.url] = parsed
    return list(named.values()), list(problems.values())


def find_segments(
    camera: Camera, archive: str, start_ns: int, end_ns: int, probe: Callable[[str], Header] = probe
) -> Found:
    """The camera's files that may hold frames from `start_ns` to `end_ns`, in order of time.

    Files whose length is needed and not fixed by the camera's description are opened for their headers, a few at once.
    """
    earliest = start_ns - round((camera.segment_s or LONGEST_SEGMENT_S) * NANOSECONDS)
    # A recorder's date differs from the true one by its clock's offset, and by its zone: a day at most each way.
    zone, offset = timedelta(days=1), timedelta(seconds=camera.clock_offset_s)
    first = (datetime.fromtimestamp(earliest / NANOSECONDS, UTC) - offset - zone).date()
    last = (datetime.fromtimestamp(end_ns / NANOSECONDS, UTC) - offset + zone).date()
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    named, problems = _list(camera, archive, days)
    dated = [n for n in named if n.start_ns is None or earliest <= n.start_ns < end_ns]
    empty = [n for n in dated if n.entry.size == 0]
    segments, broken = _measure([n for n in dated if n.entry.size], camera, (start_ns, end_ns), probe)
    found = tuple(s for s in segments if s.start_ns < end_ns and s.end_ns > start_ns)
    broken += [Problem(n.entry.url, "the file is empty (0 bytes)") for n in empty]
    longest = _longest(segments, camera)
    missed = {n.entry.url for n in dated if _may_matter(n, start_ns, longest)}
    problems += [p for p in broken if p.url in missed]
    return Found(found, tuple(sorted(problems, key=lambda p: p.url)))


def _longest(segments: Iterable[Segment], camera: Camera) -> int:
    """How long a file is at most that can't be asked, in nanoseconds: as long as the camera's description says, or as
    the longest other one that tells its length; 0 where there is none."""
    if camera.segment_s:
        return round(camera.segment_s * NANOSECONDS)
    lengths = (s.end_ns - s.start_ns for s in segments)
    return max((length for length in lengths if length != UNKNOWN_LENGTH_S * NANOSECONDS), default=0)


def _may_matter(named: _Named, start_ns: int, longest: int) -> bool:
    """Whether an unreadable file's absence may be missed tonight: it begins in the night or may reach into it, or its
    time is unknown."""
    return named.start_ns is None or named.start_ns >= start_ns or named.start_ns + longest > start_ns


def _measure(
    named: list[_Named], camera: Camera, night: tuple[int, int], probe: Callable[[str], Header]
) -> tuple[list[Segment], list[Problem]]:
    """Give every file its start and end; `night` is from when to when they are wanted."""
    headers: dict[str, Header] = {}
    problems: list[Problem] = []
    unmeasured = [n for n in named if n.start_ns is None or camera.segment_s is None]
    with ThreadPoolExecutor(PROBE_THREADS) as pool:
        for n, outcome in zip(unmeasured, pool.map(lambda n: _try_probe(n.entry.url, probe), unmeasured), strict=True):
            if isinstance(outcome, Header):
                headers[n.entry.url] = outcome
            else:
                problems.append(outcome)
    bad = {p.url for p in problems}
    segments: list[Segment] = []
    chapters: dict[tuple[str, int], Segment] = {}
    goes_by: dict[str, str] = {}
    for n in _in_recording_order(n for n in named if n.entry.url not in bad):
        before = chapters.get((n.clip, n.chapter - 1))
        segment = _place(n, camera, headers.get(n.entry.url), before.end_ns if before else None)
        if isinstance(segment, Problem):
            problems.append(segment)
            continue
        segments.append(segment)
        chapters[n.clip, n.chapter] = segment
        follows = n.start_ns is None and n.chapter > 1
        goes_by[segment.url] = goes_by[before.url] if follows and before else segment.url
    written = {n.entry.url: n.entry.modified_s for n in named}
    placed, untold = _in_their_hour(segments, goes_by, written, camera, night)
    return _end_at_next_start(_by_time(placed)), [*problems, *untold]


def _in_their_hour(
    segments: list[Segment],
    goes_by: Mapping[str, str],
    written_s: Mapping[str, float],
    camera: Camera,
    night: tuple[int, int],
) -> tuple[list[Segment], list[Problem]]:
    """Move the files of an hour that clocks repeat to its second time where they are of that; see
    `tasks.repeated_hour`. A clip's chapters go together.

    Args:
        goes_by: file -> the file that says when its clip begins, which may be itself.
        written_s: when each file was last written.
    """
    clips: dict[str, Segment] = {}
    ended: dict[str, float] = {}
    for s in segments:
        first = goes_by[s.url]
        clips[first] = replace(clips[first], end_ns=s.end_ns) if first in clips else s
        ended[first] = written_s[s.url]
    # Of this night's hour alone: clips whose names hold no time are those of all years.
    start_ns, end_ns = night[0] - 3600 * NANOSECONDS, night[1]
    near = [c for c in _end_at_next_start(_by_time(clips.values())) if c.end_ns > start_ns and c.start_ns < end_ns]
    later, untold = tell_apart(near, ended, camera)
    bad = {p.url for p in untold}
    lost = [s.url for s in segments if goes_by[s.url] in bad and s.url not in bad]
    untold += [
        Problem(url, f"when it begins is unknown: {goes_by[url].rpartition('/')[2]} of its clip is not usable")
        for url in lost
    ]
    return [_moved(s, later.get(goes_by[s.url], 0)) for s in segments if goes_by[s.url] not in bad], untold


def _moved(segment: Segment, by_ns: int) -> Segment:
    if not by_ns:  # all of nearly every night's
        return segment
    return replace(segment, start_ns=segment.start_ns + by_ns, end_ns=segment.end_ns + by_ns)


def _by_time(segments: Iterable[Segment]) -> list[Segment]:
    return sorted(segments, key=attrgetter("start_ns", "url"))


def _in_recording_order(named: Iterable[_Named]) -> list[_Named]:
    """By time; GoPro files by clip and then chapter, since their names sort the other way round."""
    return sorted(named, key=lambda n: (n.start_ns or 0, n.clip, n.chapter, n.entry.url))


def _place(n: _Named, camera: Camera, header: Header | None, chapter_start: int | None) -> Segment | Problem:
    """Give one file its start and end; `chapter_start` is where the clip's chapter before ended."""
    seconds = camera.segment_s or (header.seconds if header else None)
    if n.start_ns is not None:
        return _segment(n, n.start_ns, n.raw_time, seconds)
    if n.chapter > 1:
        # Every chapter carries the clip's creation time, so only the first one's counts.
        if chapter_start is None:
            return Problem(n.entry.url, f"when it begins is unknown: chapter {n.chapter - 1} of its clip is not usable")
        return _segment(n, chapter_start, f"chapter {n.chapter} of clip {n.clip.rpartition('/')[2]}", seconds)
    if header is None or header.created is None or header.created.year not in POSSIBLE_YEARS:
        return Problem(n.entry.url, "neither its name nor its header says when it was recorded")
    return _segment(n, true_time(header.created.replace(tzinfo=None), camera), header.created.isoformat(), seconds)


def _segment(n: _Named, start_ns: int, raw: str, seconds: float | None) -> Segment:
    length = round((seconds or UNKNOWN_LENGTH_S) * NANOSECONDS)
    return Segment(n.entry.url, n.entry.etag, n.entry.size, start_ns, raw, start_ns + length)


def _try_probe(url: str, probe: Callable[[str], Header]) -> Header | Problem:
    try:
        return probe(url)
    except VideoError as error:
        return Problem(url, error.cause)
    except storage.StorageError:
        raise
    except OSError as error:
        return Problem(url, f"cannot be read: {error}")


def _end_at_next_start(segments: list[Segment]) -> list[Segment]:
    """Where a file's length is unknown, end it where the next begins."""
    unknown = UNKNOWN_LENGTH_S * NANOSECONDS
    return [
        replace(s, end_ns=max(s.start_ns + 1, after.start_ns)) if after and s.end_ns - s.start_ns == unknown else s
        for s, after in zip_longest(segments, segments[1:])
    ]
