"""Video in, with real timestamps: headers and frames through PyAV.

Covers one file at a time: what its header says, and its frames packet by packet, so that one bad packet costs one
packet and is told. Not covered: which file to open (`tasks.archive`) and which frame fills which slot (`tasks.slots`).
A container's frame count and frame rate are never used for placing a frame; only presentation timestamps are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tasks import storage

SEEK_MARGIN_S = 2.0
"""How far before the wanted time to seek: containers without an index land late."""

FALLBACK_FPS = 25
"""Pace of frames that carry no timestamp in a file that states no rate."""


class VideoError(ValueError):
    """A file is not a video that can be used. `cause` is the reason without the URL."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"{url}: {cause}; look at the file, or remove it")
        self.url, self.cause = url, cause


@dataclass(frozen=True)
class Header:
    """What a file's header says."""

    seconds: float | None
    """Duration, where it states one."""
    created: datetime | None
    width: int
    height: int
    """Size as shown, after rotation by the header's display matrix."""
    fps: float


@contextmanager
def open_video(url: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a URL's container and its first video stream, read by ranges. Raises VideoError."""
    with storage.open_seekable(url) as file:
        try:
            container = av.open(file, mode="r", metadata_errors="replace")
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(url, f"not a readable video ({_words(error)})") from error
        with container:
            if not container.streams.video:
                raise VideoError(url, "holds no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream


def probe(url: str) -> Header:
    """Read a file's header. Raises VideoError if it is no video, or has no size."""
    with open_video(url) as (container, stream):
        if not stream.width or not stream.height:
            raise VideoError(url, "its header states no picture size")
        seconds = None
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / av.time_base
        width, height = stream.width, stream.height
        first = next((f for f in _decode(container, stream, []) if f is not None), None)
        if first is None:
            raise VideoError(url, "no frame of it can be decoded")
        if first.rotation % 180:
            width, height = height, width
        return Header(
            seconds if seconds and seconds > 0 else None,
            _created(container),
            width,
            height,
            float(stream.average_rate or 0),
        )


def read_frames(
    url: str, from_s: float, to_s: float, errors: list[str], most_pixels: int
) -> Iterator[tuple[float, VideoFrame]]:
    """Frames with times in [from_s, to_s), seconds since the stream's first timestamp, in the order they are shown.

    Args:
        errors: causes of damage met on the way are appended, each kind once; the readable rest is still yielded.

    Raises:
        VideoError: if the file can't be opened, holds no video, or its frames are larger than `most_pixels`.
    """
    with open_video(url) as (container, stream):
        if (stream.width or 0) * (stream.height or 0) > most_pixels:
            size = f"{stream.width}x{stream.height}"
            raise VideoError(url, f"its frames of {size} are above the limit of {most_pixels} pixels")
        if from_s > SEEK_MARGIN_S:
            _seek(container, stream, from_s - SEEK_MARGIN_S)
        clock = _Clock(stream)
        for frame in _decode(container, stream, errors):
            seconds = clock.time(frame)
            if seconds >= to_s:
                return
            if seconds >= from_s:
                yield seconds, frame


class _Clock:
    """Frame -> seconds since the stream's first timestamp; frames without one follow the one before."""

    def __init__(self, stream: VideoStream) -> None:
        self.base = stream.time_base or Fraction(1, 1000)
        self.first = stream.start_time or 0
        self.step = 1 / (stream.average_rate or Fraction(FALLBACK_FPS))
        self.last: Fraction | None = None

    def time(self, frame: VideoFrame) -> float:
        if frame.pts is not None:
            self.last = (frame.pts - self.first) * self.base
        else:
            self.last = self.last + self.step if self.last is not None else Fraction(0)
        return float(self.last)


def _seek(container: InputContainer, stream: VideoStream, seconds: float) -> None:
    base = stream.time_base or Fraction(1, 1000)
    try:
        container.seek((stream.start_time or 0) + int(seconds / base), stream=stream, backward=True)
    except av.error.FFmpegError:
        container.seek(0)  # no index at all: decode from the start


def _decode(container: InputContainer, stream: VideoStream, errors: list[str]) -> Iterator[VideoFrame]:
    """Every frame that can be had; damage is noted and stepped over."""

    def note(cause: str) -> None:
        if cause not in errors:
            errors.append(cause)

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError) as error:
            note(f"ends early ({_words(error)})")
            return
        try:
            frames: list[Any] = packet.decode()
        except av.error.FFmpegError as error:
            note(f"damaged ({_words(error)})")
            continue
        for frame in frames:
            if frame.is_corrupt:
                note("damaged (frames flagged corrupt by the decoder)")
            yield frame


def pixels(frame: VideoFrame) -> NDArray[np.uint8]:
    """A decoded frame as contiguous uint8 [h, w, 3] sRGB, turned as its display matrix says."""
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns))


def _created(container: InputContainer) -> datetime | None:
    text = container.metadata.get("creation_time", "")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _words(error: BaseException) -> str:
    """An FFmpeg error without numbers and file names."""
    return str(getattr(error, "strerror", "") or error).split(":")[0].strip() or type(error).__name__
