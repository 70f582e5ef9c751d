"""Decoding in a process that may die: a file that crashes, hangs or bloats the decoder costs itself, not the worker.

    fill_slots   as `tasks.slots.fill_slots`
    probe        as `tasks.decode.probe`

A helper process (`tasks.decode_worker`) is started at the first call, used again and ended with this one. When it dies
it is started again where it stopped; when it dies a second time of the same file, that file is left out and told as
damage. A helper that can't be started at all is no file's fault, and told as such. Frames come through shared memory,
one copy each, and measured if so asked. Not covered: what decoding means.
"""

from __future__ import annotations

import atexit
import json
import logging
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np

from lednet.quality import Quality
from tasks.decode import Header, VideoError
from tasks.decode_worker import BUFFERS, HEADER, HEADER_BYTES
from tasks.faults import UnreadableError
from tasks.settings import NightSettings
from tasks.slots import Damage, SlotFrame
from tasks.storage import StorageError
from tasks.types import Grid, Segment

log = logging.getLogger(__name__)

START_S = 120
"""Longest start of a helper, on a busy machine."""
LONGEST_POLL_MS = 2**31 - 1
START_TRIES = 2
START_PAUSE_S = 5.0
"""Between them: what a machine is short of for a moment may be there again."""
DEATHS = 2
"""So often may a file kill the decoder before it is left out; once may be somebody else's doing."""
MOST_PROBES = 2
"""Helpers that look at headers at once."""


class DecoderDiedError(RuntimeError):
    """The helper ended, hung, failed or ran out of memory; the message is the cause, without a URL."""


class DecoderStartError(RuntimeError):
    """No helper could be started. No file was looked at, so it is none's fault, and no DecoderDiedError."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"no decoder could be started ({error}); look at this machine's memory, processes and open files, and at "
            "decode_memory_mb, then run it again"
        )


class _Helper:
    """One helper process, and what it shares with this one. Raises DecoderStartError, leaving nothing behind."""

    def __init__(self, memory_mb: int, stall_s: float) -> None:
        self.memory_mb, self.stall_s = memory_mb, stall_s
        self.environment = _environment()
        self._unread = b""
        self._held = ExitStack()
        with ExitStack() as unless_ready:
            unless_ready.callback(self.end)
            try:
                self._start()
            except (OSError, DecoderDiedError) as error:
                raise DecoderStartError(error) from error
            unless_ready.pop_all()

    def _start(self) -> None:
        """Raises OSError if this machine is short of something, DecoderDiedError if the helper does not get ready."""
        self.descriptor = os.memfd_create("lednet") if hasattr(os, "memfd_create") else _temporary_file()
        self._held.callback(os.close, self.descriptor)
        os.ftruncate(self.descriptor, HEADER_BYTES)
        self.map = mmap.mmap(self.descriptor, HEADER_BYTES)
        self._held.callback(lambda: self.map.close())  # whichever it is by then
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tasks.decode_worker", str(self.descriptor), str(self.memory_mb)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[self.descriptor], bufsize=0,
        )  # fmt: skip
        self._held.callback(self._end_process)
        if self.answer(START_S)["kind"] != "ready":
            raise DecoderDiedError("answered nonsense")

    def tell(self, line: str) -> None:
        """A line to the helper. Raises DecoderDiedError."""
        assert self.process.stdin
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except OSError:
            raise self._dead() from None

    def answer(self, patience_s: float | None = None) -> dict[str, Any]:
        """Its next line. Raises DecoderDiedError if it dies, or does nothing for too long."""
        assert self.process.stdout
        output = self.process.stdout.fileno()
        told = select.poll()  # select.select refuses descriptors above 1023, which a busy coordinator reaches
        told.register(output, select.POLLIN)
        progress = self.progress()
        while b"\n" not in self._unread:
            if not told.poll(min(1000 * (patience_s or self.stall_s), LONGEST_POLL_MS)):
                if patience_s is None and self.progress() != progress:
                    progress = self.progress()
                    continue
                raise DecoderDiedError(f"hung (no sign of life for {patience_s or self.stall_s:g} s)")
            more = os.read(output, 65536)
            if not more:
                raise self._dead()
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def progress(self) -> tuple[int, int]:
        """Number of the segment at hand, and a count that grows with what is read."""
        segment, read = HEADER.unpack_from(self.map, 0)
        return int(segment), int(read)

    def take(self, number: int, height: int, width: int, step: int) -> np.ndarray:
        """A copy of frame `number`."""
        size, at = height * width * 3, HEADER_BYTES + number % BUFFERS * step
        if at + size > len(self.map):
            self.map.close()
            self.map = mmap.mmap(self.descriptor, os.fstat(self.descriptor).st_size)
        if height <= 0 or width <= 0 or step < size or at + size > len(self.map):
            raise DecoderDiedError("answered nonsense")
        return np.frombuffer(self.map, np.uint8, size, at).reshape(height, width, 3).copy()

    def _dead(self) -> DecoderDiedError:
        code = self.process.wait()
        if code < 0:
            return DecoderDiedError(f"crashed ({signal.Signals(-code).name})")
        return DecoderDiedError("ran out of memory" if code == 12 else f"ended with exit code {code}")

    def end(self) -> None:
        """Kill it and let go of everything, however far its start came."""
        self._held.close()

    def _end_process(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def _temporary_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


_idle: list[_Helper] = []
_lock = threading.Lock()
_probes = threading.Semaphore(MOST_PROBES)


def _environment() -> dict[str, str]:
    """What decides where a helper finds the store, and its code."""
    return {k: v for k, v in os.environ.items() if k.startswith("AWS_") or k == "PYTHONPATH"}


def _borrow(settings: NightSettings) -> _Helper:
    with _lock:
        while _idle:
            helper = _idle.pop()
            same = helper.environment == _environment() and helper.memory_mb == settings.decode_memory_mb
            if same and helper.process.poll() is None:
                helper.stall_s = settings.decode_stall_s
                return helper
            helper.end()
    return _started(settings)


def _started(settings: NightSettings) -> _Helper:
    for left in reversed(range(START_TRIES)):
        try:
            return _Helper(settings.decode_memory_mb, settings.decode_stall_s)
        except DecoderStartError as error:
            if not left:
                raise
            log.warning("%s; tried once more in %g s", error.__cause__, START_PAUSE_S)
            time.sleep(START_PAUSE_S)
    raise AssertionError("unreachable")


def _give_back(helper: _Helper) -> None:
    with _lock:
        _idle.append(helper)


@atexit.register
def end_helpers() -> None:
    """End the helpers that wait for work; those at work end with their callers."""
    with _lock:
        while _idle:
            _idle.pop().end()


def _forget_helpers() -> None:
    _idle.clear()


os.register_at_fork(after_in_child=_forget_helpers)  # they are the parent's


def fill_slots(
    grid: Grid,
    first: int,
    last: int,
    segments: tuple[Segment, ...],
    settings: NightSettings,
    size: tuple[int, int] | None = None,
) -> Iterator[SlotFrame | Damage]:
    """As `slots.fill_slots`, decoded in a helper process.

    Args:
        size: height and width to which the helper brings every frame before it measures it; None: neither. Measuring
            there runs beside this process's threads, which would take turns.

    Raises:
        StorageError: if the archive can't be read.
        DecoderStartError: if no helper can be started.
        DecoderDiedError: if the helper dies before it reads any file.
    """
    told: set[tuple[str, str]] = set()
    deaths: Counter[str] = Counter()
    while True:
        died = None
        try:
            for event in _fill_once(grid, first, last, segments, settings, size):
                if isinstance(event, SlotFrame):
                    first = event.slot + 1
                elif (event.url, event.cause) in told:
                    continue
                else:
                    told.add((event.url, event.cause))
                yield event
            return
        except _DiedReadingError as error:
            died = error
        if died.url is None:
            raise DecoderDiedError(f"the decoder {died}; look at the worker's memory and log")
        deaths[died.url] += 1
        if deaths[died.url] >= DEATHS:
            segments = tuple(s for s in segments if s.url != died.url)
            yield Damage(first, died.url, f"the decoder {died} on it")
        if first >= last:
            return


class _DiedReadingError(Exception):
    """The helper died while it read this file; None: before any."""

    def __init__(self, cause: str, url: str | None) -> None:
        super().__init__(cause)
        self.url = url


def _fill_once(
    grid: Grid,
    first: int,
    last: int,
    segments: tuple[Segment, ...],
    settings: NightSettings,
    size: tuple[int, int] | None,
) -> Iterator[SlotFrame | Damage]:
    if not segments:
        return
    job = {
        "kind": "fill", "start_ns": grid.start_ns, "rate": str(grid.rate), "slots": grid.slots, "first": first,
        "last": last, "segments": [asdict(s) for s in segments], "most_pixels": settings.most_pixels,
        "size": size,
    }  # fmt: skip
    helper = _borrow(settings)
    done = False
    before = helper.progress()[1]
    try:
        helper.tell(json.dumps(job))
        taken = 0
        while (event := helper.answer())["kind"] in ("frame", "damage"):
            if event["kind"] == "damage":
                yield Damage(int(event["slot"]), str(event["url"]), str(event["cause"]))
                continue
            height, width = int(event["height"]), int(event["width"])
            if size and (height, width) != size:
                raise DecoderDiedError("answered nonsense")
            pixels = helper.take(taken, height, width, int(event["step"]))
            helper.tell("taken")
            taken += 1
            yield SlotFrame(int(event["slot"]), pixels, str(event["url"]), figures_of(event))
        _raise_told(event)
        done = True
    except DecoderDiedError as error:
        segment, read = helper.progress()
        culprit = segments[segment].url if read > before and 0 <= segment < len(segments) else None
        raise _DiedReadingError(str(error), culprit) from error
    finally:
        _give_back(helper) if done else helper.end()


def figures_of(event: dict[str, Any]) -> Quality | None:
    """What a helper has measured of a frame. Raises DecoderDiedError if that can't be."""
    if event["figures"] is None:
        return None
    try:
        return Quality(*map(float, event["figures"]))
    except (TypeError, ValueError):
        raise DecoderDiedError("answered nonsense") from None


def _raise_told(event: dict[str, Any]) -> None:
    """The error that a helper tells, as one of this process."""
    kind, text = event["kind"], str(event.get("text"))
    if kind == "storage":
        raise StorageError(text)
    if kind == "unreadable":
        raise UnreadableError(text)
    if kind != "end":
        raise DecoderDiedError(f"failed ({text})")


def prober(settings: NightSettings) -> Callable[[str], Header]:
    """`decode.probe` in helper processes; raises DecoderStartError as well."""

    def probe(url: str) -> Header:
        for attempt in range(1, DEATHS + 1):
            try:
                with _probes:
                    return _probe_once(url, settings)
            except DecoderDiedError as error:
                if attempt == DEATHS:
                    raise VideoError(url, f"the decoder {error} on it") from error
        raise AssertionError("unreachable")

    return probe


def _probe_once(url: str, settings: NightSettings) -> Header:
    helper = _borrow(settings)
    done = False
    try:
        helper.tell(json.dumps({"kind": "probe", "url": url}))
        answer = helper.answer()
        header = answer if answer["kind"] == "header" else None
        end = helper.answer() if header else answer
        done = True
    finally:
        _give_back(helper) if done else helper.end()
    if header is None:
        if end["kind"] == "unusable":
            raise VideoError(url, str(end["text"]))
        _raise_told(end)
        raise DecoderDiedError("told no header")
    fields = header["header"]
    created = datetime.fromisoformat(fields["created"]) if fields["created"] else None
    return Header(fields["seconds"], created, int(fields["width"]), int(fields["height"]), float(fields["fps"]))
