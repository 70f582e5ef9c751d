"""Video in, with real timestamps: headers and frames through PyAV.

Covers one file at a time: what its header says, and its frames packet by packet, so that one bad packet costs one
packet and is told. Not covered: which file to open (`tasks.archive`) and which frame fills which slot (`tasks.slots`).
A container's frame count and frame rate are never used for placing a frame; only presentation timestamps are.
"""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import islice
from typing import Any, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tasks import faults, storage

SEEK_MARGIN_S = 2.0
"""How far before the wanted time to seek at first: containers without an index land late."""

CUT_OFF_S = 2.0
"""A file whose last frame stands this much before the end that its header states has been cut off, unless that frame is
shown for longer, as those of a time-lapse are."""

JUMP_BACK_S = 2.0
"""Timestamps that go back by more have begun anew: the recorder lost its clock, or two files were put together."""

LOOK_AHEAD_PACKETS, LOOK_AHEAD_BYTES = 1000, 64 * 2**20
"""So far a file is read ahead, undecoded, where its timestamps jump ahead: to tell damaged ones, after which they come
back, from a pause."""

DECODER_HOLDS = 64
"""Packets that have gone into a decoder and whose frames have not come out of it: no decoder holds more."""

FALLBACK_FPS = 25
"""Pace of frames that carry no timestamp in a file that states no rate."""

STATING_LENGTH = frozenset({"mp4", "matroska", "avi", "flv"})
"""Containers whose header states a duration; of others FFmpeg estimates it."""

JUMPS_BACK = "its timestamps jump back (what was recorded from there on has no time of its own)"
FAR_AHEAD = "damaged (frames whose timestamps stand far ahead of their neighbours')"

LIMITED = np.clip((np.arange(256) - 16) * 255 / 219 + 0.5, 0, 255).astype(np.uint8)
"""What a code of limited range, 16 to 235, stands for."""


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
    """Open a URL's container and its first video stream, read by ranges.

    Raises:
        VideoError: if it is no video.
        OSError: if it cannot be read, whatever FFmpeg makes of that: StorageError if that is the store's fault.
    """
    try:
        file = storage.open_seekable(url)
    except OSError as error:
        raise faults.judge(url, error, lambda: storage.open_seekable(url).close()) from error
    with file:
        try:
            with _container(url, file) as container:
                if not container.streams.video:
                    raise VideoError(url, "holds no video stream")
                stream = container.streams.video[0]
                if getattr(stream, "codec_context", None) is None:
                    raise VideoError(url, "no decoder knows its codec")
                stream.thread_type = "AUTO"
                yield container, stream
        except Exception as error:
            if file.fault is None:
                raise
            raise faults.judge(url, file.fault, file.try_again) from error
        if file.fault is not None:
            raise faults.judge(url, file.fault, file.try_again)


def _container(url: str, file: Any) -> InputContainer:
    try:
        return cast(InputContainer, av.open(file, mode="r", metadata_errors="replace"))
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(url, f"not a readable video ({_words(error)})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is FFmpeg's seeking to nowhere in a broken file
            raise
        raise VideoError(url, f"not a readable video ({_words(error)})") from error


def probe(url: str) -> Header:
    """Read a file's header. Raises VideoError if it is no video, or has no size; OSError if it cannot be read."""
    with open_video(url) as (container, stream):
        if not stream.width or not stream.height:
            raise VideoError(url, "its header states no picture size")
        seconds = _own_seconds(container, stream) or _file_seconds(container, stream)
        first = next(_decode(_Packets(container, stream), lambda cause: None), None)
        if first is None:
            raise VideoError(url, "no frame of it can be decoded")
        width, height = first.width, first.height
        if first.rotation % 180:
            width, height = height, width
        return Header(
            seconds if seconds > 0 else None,
            _created(container),
            width,
            height,
            float(stream.average_rate or 0),
        )


def read_frames(
    url: str,
    from_s: float,
    to_s: float,
    errors: list[str],
    most_pixels: int,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[tuple[float, VideoFrame]]:
    """Frames with times in [from_s, to_s), seconds since the stream's first timestamp, in the order they are shown.

    Reading from the middle gives the same frames as reading from the start, whatever the container's index is worth.

    Args:
        errors: causes of damage met on the way are appended, each kind once; the readable rest is still yielded.
        alive: called for every packet that is read, those of which no wanted frame comes as well.

    Raises:
        VideoError: if the file can't be opened, holds no video, or its frames are larger than `most_pixels`.
        OSError: if it can't be read, after the frames that could be; StorageError if the store is at fault.
    """
    back = SEEK_MARGIN_S
    while True:
        try:
            yield from _read_after_seek(url, from_s - back, from_s, to_s, errors, most_pixels, alive)
            return
        except _LandedLateError:
            back *= 4


class _LandedLateError(Exception):
    """A seek led to where the wanted frames can't be decoded from: no key frame stands between there and them."""


def _read_after_seek(
    url: str,
    seek_s: float,
    from_s: float,
    to_s: float,
    errors: list[str],
    most_pixels: int,
    alive: Callable[[], None],
) -> Iterator[tuple[float, VideoFrame]]:
    sound = seek_s <= 0  # from here on frames are whole: the file's start, or a key frame
    latest, shown_s = 0.0, 0.0

    def note(cause: str) -> None:
        if sound and cause not in errors:
            errors.append(cause)

    with open_video(url) as (container, stream):
        refuse_large(url, stream.width or 0, stream.height or 0, most_pixels)
        clock = _Clock(url, container, stream, from_start=sound)
        if not sound:
            _seek(container, stream, seek_s)
        packets = _Packets(container, stream, clock.by_decoding, alive)
        for seconds, frame in _without_strays(packets, clock, note):
            refuse_large(url, frame.width, frame.height, most_pixels)
            if not sound and seconds is not None and seconds > from_s:
                raise _LandedLateError
            sound = sound or (seconds is not None and frame.key_frame)
            if not sound or seconds is None:
                continue
            if seconds < latest - JUMP_BACK_S:
                note(JUMPS_BACK)
            latest, shown_s = max(latest, seconds), float((frame.duration or 0) * clock.base)
            if seconds < from_s:
                continue
            if seconds >= to_s:
                return
            yield seconds, frame
        if not sound:
            raise _LandedLateError
        if clock.last_s + max(CUT_OFF_S, shown_s) < _stated_seconds(container, stream, packets.sound_s):
            note("ends early (its header promises more)")


def refuse_large(url: str, width: int, height: int, most_pixels: int) -> None:
    """Raises VideoError for frames above a limit, which are hostile or broken."""
    if width * height > most_pixels:
        raise VideoError(url, f"its frames of {width}x{height} are above the limit of {most_pixels} pixels")


class _Clock:
    """Frame -> seconds since the stream's first timestamp; frames without one follow the one before."""

    def __init__(self, url: str, container: InputContainer, stream: VideoStream, from_start: bool) -> None:
        self.base = stream.time_base or Fraction(1, 1000)
        self.first = stream.start_time or 0
        self.step = 1 / rate_of(stream)
        self.last: Fraction | None = -self.step if from_start else None
        self.by_decoding = by_decoding_time(container, stream)
        if self.by_decoding:
            self.first = _first_decoding_time(url)

    @property
    def last_s(self) -> float:
        """Time of the last frame; below zero where there was none."""
        return -1.0 if self.last is None else float(self.last)

    def seconds(self, stamp: int) -> Fraction:
        """What a timestamp says."""
        return (stamp - self.first) * self.base

    def time(self, frame: VideoFrame) -> float | None:
        """None: after a seek, no frame has told its time yet."""
        stamp = stamp_of(frame, self.by_decoding)
        if stamp is not None:
            self.last = self.seconds(stamp)
        elif self.last is not None:
            self.last += self.step
        return None if self.last is None else float(self.last)


class _Packets:
    """A stream's packets, one after the other, with a look at the timestamps of those to come."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        by_decoding: bool = False,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.stream = stream
        self.sound_s = 0.0
        """Where the sound that was read ends, by its timestamps."""
        self._source = container.demux(stream, *container.streams.audio)
        self._by_decoding, self._alive = by_decoding, alive
        self._given: deque[int | None] = deque(maxlen=DECODER_HOLDS)  # timestamps
        self._ahead: deque[Any] = deque()  # read before their turn; the last may be the error in place of a packet

    def __next__(self) -> Any:
        packet = self._ahead.popleft() if self._ahead else self._read()
        if isinstance(packet, Exception):
            raise packet
        self._given.append(self._stamp(packet))
        return packet

    def stamps_after(self, stamp: int) -> Iterator[int]:
        """The timestamps that follow one of a frame, in the order of the file, as far as one may look ahead."""
        given = [s for s in self._given if s is not None]
        yield from given[len(given) - given[::-1].index(stamp) :] if stamp in given else ()
        size = 0
        for k in range(LOOK_AHEAD_PACKETS):
            if k == len(self._ahead):
                self._ahead.append(self._read())
            packet = self._ahead[k]
            if isinstance(packet, Exception) or size > LOOK_AHEAD_BYTES:
                return
            size += packet.size
            if (coming := self._stamp(packet)) is not None:
                yield coming

    def _stamp(self, packet: Any) -> int | None:
        stamp: int | None = packet.dts if self._by_decoding else packet.pts
        return stamp

    def _read(self) -> Any:
        """The next packet of the stream, or the error that stands in its place: StopIteration at the end."""
        try:
            for packet in self._source:
                self._alive()
                if packet.stream.index == self.stream.index:
                    return packet
                if packet.pts is not None:
                    self.sound_s = max(self.sound_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            return error
        return StopIteration()


def _without_strays(
    packets: _Packets, clock: _Clock, note: Callable[[str], None]
) -> Iterator[tuple[float | None, VideoFrame]]:
    """A stream's frames with their times. Those that stand far ahead of the ones before and after them are left out and
    told: taken at their word, they would be the end of what is wanted, and all that comes after them too late."""
    latest: float | None = None
    for frame in _decode(packets, note):
        before, seconds, stamp = clock.last, clock.time(frame), stamp_of(frame, clock.by_decoding)
        if latest is not None and seconds is not None and stamp is not None and seconds > latest + JUMP_BACK_S:
            coming = (float(clock.seconds(s)) for s in packets.stamps_after(stamp))
            row, back = _row_ahead(latest, seconds - JUMP_BACK_S, coming)
            if 2 * back > row:
                note(FAR_AHEAD)
                clock.last = before
                continue
            if back:
                note(JUMPS_BACK)
        if seconds is not None:
            latest = seconds if latest is None else max(latest, seconds)
        yield seconds, frame


def _row_ahead(after_s: float, before_s: float, coming: Iterator[float]) -> tuple[int, int]:
    """How many packets, beginning with one that is not among those coming, stand outside an interval of time in a row;
    and how many of as many after them stand within."""
    row = 1
    for seconds in coming:
        if after_s < seconds < before_s:
            return row, 1 + sum(after_s < s < before_s for s in islice(coming, row - 1))
        row += 1
    return row, 0


def rate_of(stream: VideoStream) -> Fraction:
    """Frames a second. Of a raw stream, which has no timestamps, what its pictures state: FFmpeg says 25 of any."""
    own = stream.codec_context.framerate if stream.start_time is None else None
    return own or stream.average_rate or stream.guessed_rate or Fraction(FALLBACK_FPS)


def by_decoding_time(container: InputContainer, stream: VideoStream) -> bool:
    """Whether frames are placed by the decoding times at which they come out, counted from the first frame's.

    AVI holds no presentation times, and those that FFmpeg derives are wrong where frames are reordered. The stream is
    set to decode frames one after the other then: side by side they come out later.
    """
    if container.format.name != "avi":
        return False
    stream.thread_type = "SLICE"
    return True


def stamp_of(frame: VideoFrame, by_decoding: bool) -> int | None:
    """The timestamp that places a frame, where it has one."""
    return frame.dts if by_decoding else frame.pts


def _first_decoding_time(url: str) -> int:
    with open_video(url) as (container, stream):
        by_decoding_time(container, stream)
        first = next(_decode(_Packets(container, stream), lambda cause: None), None)
        return 0 if first is None or first.dts is None else first.dts


def _own_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Duration that the header states of the picture alone; 0 where it states none."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if not container.streams.audio:  # that of the file is the picture's
        return 0.0
    # Matroska's writers note it so, from the file's zero: 00:00:05.000000000.
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]) - _begins_s(container, stream) if tag else 0.0


def _file_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Duration that the header states of the file, from the picture's first frame on; not above 0: it states none."""
    return (container.duration or 0) / av.time_base - _begins_s(container, stream)


def _begins_s(container: InputContainer, stream: VideoStream) -> float:
    """How long after the zero that a file's duration is counted from its picture begins: seconds after the sound, at
    the first key frame, maybe. 0 of containers that count from elsewhere."""
    if not STATING_LENGTH & set(container.format.name.split(",")):
        return 0.0
    return max(0.0, float((stream.start_time or 0) * (stream.time_base or 0)) - _zero_s(container))


def _zero_s(container: InputContainer) -> float:
    """The time that a file's duration is counted from: of FLV its first timestamp."""
    return (container.start_time or 0) / av.time_base if container.format.name == "flv" else 0.0


def _stated_seconds(container: InputContainer, stream: VideoStream, sound_s: float) -> float:
    """Duration that the header states; 0 where it states none, or one that may be the sound's: a duration would be
    FFmpeg's own estimate, or that of the file's longest stream. `sound_s` is the time at which the sound ended."""
    if not STATING_LENGTH & set(container.format.name.split(",")):
        return 0.0
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if sound_s - _zero_s(container) > (container.duration or 0) / av.time_base - CUT_OFF_S:
        return 0.0
    return _file_seconds(container, stream)


def _seek(container: InputContainer, stream: VideoStream, seconds: float) -> None:
    base = stream.time_base or Fraction(1, 1000)
    try:
        container.seek((stream.start_time or 0) + int(seconds / base), stream=stream, backward=True)
    except (av.error.FFmpegError, OSError, ValueError):
        raise _LandedLateError from None


def _decode(packets: _Packets, note: Callable[[str], None]) -> Iterator[VideoFrame]:
    """Every frame that can be had; damage is noted and stepped over."""
    while True:
        packet: Any = None
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError, ValueError) as error:
            note(f"ends early ({_words(error)})")
        if packet is not None and packet.is_corrupt:
            note("damaged (packets flagged corrupt by the container)")
        try:
            frames: list[Any] = packets.stream.codec_context.decode(packet)  # None: what the decoder still holds
        except av.error.FFmpegError as error:
            note(f"damaged ({_words(error)})")
            frames = []
        for frame in frames:
            if frame.is_corrupt:
                note("damaged (frames flagged corrupt by the decoder)")
            yield frame
        if packet is None:
            return


def pixels(frame: VideoFrame) -> NDArray[np.uint8]:
    """A decoded frame as contiguous uint8 [h, w, 3] sRGB, turned as its display matrix says."""
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    if len(frame.format.components) == 1 and frame.color_range == ColorRange.MPEG:
        rgb = LIMITED[rgb]  # FFmpeg takes all grey for full range
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
