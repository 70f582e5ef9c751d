"""The process that decodes footage for another one, and may die of it: `python -m tasks.decode_worker DESCRIPTOR MB`.

Reads one job a line from standard input, as JSON, and answers with events a line on standard output; pixels go through
the shared memory behind DESCRIPTOR, of which the first bytes say how far it has got, so that a death can be laid to a
file. It gets no more address space than MB and ends with its parent. The other side is `tasks.decode_process`; nothing
but JSON and pixels comes back from here, so that a decoder that was taken over can't make the other side run anything.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import resource
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame

from lednet import quality
from lednet.memory import keep_freed_memory
from tasks import decode, slots, storage
from tasks.decode import VideoError
from tasks.picture import fit
from tasks.types import Grid, Segment

HEADER = struct.Struct("qq")
"""Number of the segment that is being read, counted from 0; a count that grows with every packet that is read."""
HEADER_BYTES = mmap.PAGESIZE
BUFFERS = 4
"""Frames on their way at once. With two, a wait for the interpreter's lock on the other side held this one up too."""
PARENT_CHECK_S = 2.0

Job = dict[str, Any]


class Shared:
    """The memory that both processes see."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.frame_bytes = 0
        self.map = mmap.mmap(descriptor, HEADER_BYTES)
        self.frames = 0

    def progress(self, segment: int) -> None:
        """Note which segment is being read."""
        self.frames += 1
        HEADER.pack_into(self.map, 0, segment, self.frames)

    def put(self, number: int, pixels: np.ndarray) -> None:
        """Write frame `number`; one that is larger than all before, only when the others have been taken."""
        if pixels.nbytes > self.frame_bytes:
            self.frame_bytes = math.ceil(pixels.nbytes / mmap.PAGESIZE) * mmap.PAGESIZE
            os.ftruncate(self.descriptor, HEADER_BYTES + BUFFERS * self.frame_bytes)
            self.map.close()
            self.map = mmap.mmap(self.descriptor, HEADER_BYTES + BUFFERS * self.frame_bytes)
        at = HEADER_BYTES + number % BUFFERS * self.frame_bytes
        np.frombuffer(self.map, np.uint8, pixels.nbytes, at)[:] = pixels.reshape(-1)


def main() -> None:
    """Do jobs until standard input ends."""
    descriptor, megabytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches all; this one ends with its parent
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    keep_freed_memory()
    cv2.setNumThreads(1)
    shared = Shared(descriptor)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer

    def tell(**event: object) -> None:
        try:
            answers.write(json.dumps(event) + "\n")
            answers.flush()
        except BrokenPipeError:
            os._exit(1)  # nobody waits any more

    tell(kind="ready")
    for line in sys.stdin:
        job = json.loads(line)
        try:
            {"fill": _fill, "probe": _probe}[job["kind"]](job, shared, tell)
            tell(kind="end")
        except VideoError as error:
            tell(kind="unusable", text=error.cause)
        except storage.StorageError as error:
            tell(kind="storage", text=str(error))
        except MemoryError:
            os._exit(12)  # as if the system had ended it
        except OSError as error:
            tell(kind="unreadable", text=str(error), number=error.errno)
        except Exception as error:
            traceback.print_exc()
            tell(kind="failed", text=type(error).__name__)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


def _probe(job: Job, shared: Shared, tell: Callable[..., None]) -> None:
    shared.progress(0)
    header = decode.probe(job["url"])
    fields = asdict(header) | {"created": header.created.isoformat() if header.created else None}
    tell(kind="header", header=fields)


def _fill(job: Job, shared: Shared, tell: Callable[..., None]) -> None:
    """`slots.fill_slots`, its frames numbered and each sent when there is room for it in the shared memory."""
    segments = tuple(Segment(**s) for s in job["segments"])
    numbers = {s.url: k for k, s in enumerate(segments)}
    grid = Grid(job["start_ns"], Fraction(job["rate"]), job["slots"])

    def read(
        url: str, from_s: float, to_s: float, errors: list[str], most_pixels: int
    ) -> Iterator[tuple[float, VideoFrame]]:
        def on_it() -> None:
            shared.progress(numbers[url])

        # Told of every packet: where no key frame stands, hours of them may come before the first wanted frame.
        frames = decode.read_frames(url, from_s, to_s, errors, most_pixels, on_it)
        while True:
            on_it()
            frame = next(frames, None)
            if frame is None:
                return
            yield frame

    sent = taken = 0
    for event in slots.fill_slots(grid, job["first"], job["last"], segments, job["most_pixels"], read):
        if isinstance(event, slots.Damage):
            tell(kind="damage", slot=event.slot, url=event.url, cause=event.cause)
            continue
        pixels, figures = event.pixels, None
        if job["size"]:
            pixels = fit(pixels, *job["size"])
            figures = quality.measure(pixels)
        # A larger frame than any before moves the places of all: none may be on its way then.
        taken = _wait(taken, sent if pixels.nbytes > shared.frame_bytes else sent + 1 - BUFFERS)
        shared.put(sent, pixels)
        height, width = pixels.shape[:2]
        tell(kind="frame", slot=event.slot, url=event.url, height=height, width=width, step=shared.frame_bytes,
             figures=figures)  # fmt: skip
        sent += 1
    _wait(taken, sent)


def _wait(taken: int, wanted: int) -> int:
    """Wait until the other side has taken so many frames; how many it has by then."""
    while taken < wanted:
        if not sys.stdin.readline():
            os._exit(1)  # nobody waits any more
        taken += 1
    return taken


if __name__ == "__main__":
    main()
