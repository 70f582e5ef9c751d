"""Video out: the night's preview, a stretch of stored frames, and `lednet clip`, one file in and one out. H.264 through
PyAV's libx264."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lednet import Restorer
from lednet.video import VideoRestorer
from tasks.decode import JUMP_BACK_S, VideoError, by_decoding_time, open_video, pixels, rate_of, stamp_of

log = logging.getLogger(__name__)

CRF = "18"
PRESET = "veryfast"
PREVIEW_CRF = "23"
MILLISECONDS = Fraction(1, 1000)
"""The clock of stored frames' videos."""
BT709 = 1
"""The matrix, primaries and transfer curve of HD video, in FFmpeg's numbering."""
TRANSPORT_STREAM = frozenset({"h264", "aac", "ac3", "eac3", "mp2", "mp3"})
"""What an MPEG transport stream holds; FFmpeg tells it of the other containers only."""
AAC_RATES = frozenset({8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000})


def pixel_format(height: int, width: int) -> str:
    """What every player shows, where the size allows it: 4:2:0 needs even sides."""
    return "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"


def encode_preview(pairs: Iterable[tuple[bytes, bytes]], fps: int) -> bytes | None:
    """JPEG pairs (before, after) -> an H.264 MP4 that shows them side by side; None for no pairs."""
    frames = (np.hstack([read_jpeg(before), read_jpeg(after)]) for before, after in pairs)
    first = next(frames, None)
    if first is None:
        return None
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
    # A real file, because moving the index to the front, so that players can start at once, reads it again.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "preview.mp4"
        with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
            stream = _add_h264(out, Fraction(fps), height, width, PREVIEW_CRF)
            for frame in chain([first], frames):
                out.mux(stream.encode(_yuv(np.ascontiguousarray(frame[:height, :width]), stream)))
            out.mux(stream.encode(None))
        return path.read_bytes()


def read_jpeg(data: bytes) -> NDArray[np.uint8]:
    """JPEG bytes -> uint8 [h, w, 3], RGB."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]  # type: ignore[index,return-value]


def _add_h264(out: OutputContainer, fps: Fraction, height: int, width: int, crf: str) -> VideoStream:
    stream = out.add_stream("libx264", rate=fps, options={"crf": crf, "preset": PRESET})
    stream.height, stream.width, stream.pix_fmt = height, width, pixel_format(height, width)
    # Without these players guess the colours' matrix from the size, and guess wrong.
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = ColorRange.MPEG
    # One thread: x264's output depends on how many there are, and a stored preview must not.
    context.thread_count = 1
    return stream


def _yuv(picture: NDArray[np.uint8], stream: VideoStream) -> VideoFrame:
    """An RGB picture as a frame for a stream from `_add_h264`, in its size and colours."""
    return VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        stream.width, stream.height, stream.pix_fmt, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


def restore_clip(
    source: Path,
    target: Path,
    restorer: Restorer,
    progress: Callable[[int, int], None],
    frame_wise: bool = False,
) -> int:
    """Restore one video file into another: same size and shape, timestamps, frame rate and audio, as H.264.

    Audio is copied, or turned into AAC where the target's container can't hold it as it is. Damage costs the frames
    that it hit; one timestamp that stands far outside of its neighbours costs none and moves no other. Frames whose
    times go back by less than two seconds are left out, and told. The target appears when it is whole. `progress` is
    told (frames done, frames expected or 0). Frames that follow each other are restored with a memory
    (`lednet.video`), or with `frame_wise` each on its own.

    Returns:
        The number of frames.

    Raises:
        VideoError: if the source is no video, or no frame of it can be decoded.
        OSError: if the source, or the target's folder, is not there, or the target can't be written.
        ValueError: if the target is a folder or a device, or its name tells no container that holds H.264.
    """
    with (
        whole(target) as temporary,
        open_video(f"file://{source.absolute()}") as (container, stream),
        _open_target(temporary, target) as out,
    ):
        count = _transcode(container, stream, out, restorer, progress, frame_wise)
        if count == 0:
            raise VideoError(str(source), "no frame of it can be decoded")
    return count


class NoContainerError(ValueError):
    """The ending of a target's name tells no container that holds H.264; the message says which do."""


def write_frames(target: Path, frames: Iterable[tuple[int, NDArray[np.uint8]]], rate: Fraction) -> int:
    """Frames with their times as an H.264 file, which appears when it is whole.

    Args:
        frames: (time in ns, uint8 sRGB [h, w, 3]), times rising; they need not be evenly apart.
        rate: frames a second where they are.

    Returns:
        The number of frames.

    Raises:
        OSError, ValueError: as `restore_clip` for its target (NoContainerError for its ending); ValueError for no
            frame as well.
    """
    with whole(target) as temporary, _open_target(temporary, target) as out:
        stream: VideoStream | None = None
        began = count = 0
        for time_ns, frame in frames:
            if stream is None:
                stream = _add_h264(out, rate, frame.shape[0], frame.shape[1], CRF)
                stream.codec_context.time_base = MILLISECONDS
                began = time_ns
            picture = _yuv(frame, stream)
            picture.pts, picture.time_base = round((time_ns - began) / 1_000_000), MILLISECONDS
            out.mux(stream.encode(picture))
            count += 1
        if stream is None:
            raise ValueError(f"{target}: no frame to write")
        out.mux(stream.encode(None))
    return count


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A hidden file beside the target to write into, which takes its place when the context ends well."""
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"{target}: its folder {target.absolute().parent} is not there; make it first")
    if target.exists() and not target.is_file():
        raise ValueError(f"{target}: is there and is no file; name the file to write")
    # Absolute: FFmpeg would take what stands before a colon in a name, as 22:00.mp4 has one, for a protocol.
    temporary = target.absolute().with_name(f".{target.stem}.{os.getpid()}{target.suffix or '.mp4'}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _open_target(temporary: Path, target: Path) -> OutputContainer:
    advice = f"{target}: no container for H.264; name it .mp4, .mov or .mkv"
    try:
        temporary.touch()  # FFmpeg does so only when there is something to write, and then names no file
        out = av.open(str(temporary), "w")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    except ValueError as error:
        raise NoContainerError(advice) from error
    if out.format.no_file or not _holds(out, "h264"):  # a playlist's muxer writes files of its own beside it
        out.close()
        raise NoContainerError(advice)
    return out


def _holds(out: OutputContainer, codec: str) -> bool:
    return codec in (TRANSPORT_STREAM if out.format.name == "mpegts" else out.supported_codecs)


class _Rising:
    """The timestamps of one stream. They must rise; where they begin anew (files that were put together), they go on
    from those before."""

    def __init__(self, base: Fraction) -> None:
        self.base, self.last = base, -1
        self._began, self._shift = False, 0

    def place(self, stamp: int | None, pace: int, coming: int | None) -> int | None:
        """Where a stamp comes to stand, None where it does not rise. Without one, what is stamped follows at `pace`.

        Args:
            coming: the stamp after it; None where that is not known. A stamp that stands far outside of its neighbours
                comes to stand between them, or those after it would go on from there.
        """
        after = self.last + pace if self._began else 0
        at = after if stamp is None else stamp + self._shift
        if stamp is not None and coming is not None and self._is_astray(stamp, coming):
            at = (self.last + coming + self._shift) // 2
        if self._began and (self.last - at) * self.base > JUMP_BACK_S:
            self._shift += after - at
            at = after
        if self._began and at <= self.last:
            return None
        self._began, self.last = True, at
        return at

    def _is_astray(self, stamp: int, coming: int) -> bool:
        if not self._began or coming + self._shift <= self.last:
            return False
        behind = (self.last - stamp - self._shift) * self.base
        return behind > JUMP_BACK_S or (stamp - coming) * self.base > JUMP_BACK_S


class _Sound:
    """One audio stream on its way into another file: copied, or turned into AAC where it can't be. What came last is
    kept until what follows has shown whether its time is right."""

    def __init__(self, source: AudioStream, out: OutputContainer) -> None:
        self.source, context = source, source.codec_context
        self.times = _Rising(source.time_base or Fraction(1, 90_000))
        self.copied = _holds(out, context.name) or _holds(out, context.codec.canonical_name)
        self._kept: Any = None
        if self.copied:
            self.target = out.add_stream_from_template(source)
        else:
            rate = source.rate if source.rate in AAC_RATES else 48_000
            self.target = out.add_stream("aac", rate=rate, layout="mono" if source.channels == 1 else "stereo")

    def pass_on(self, packet: Any) -> list[Any]:
        """A packet of the source -> packets for the target."""
        if not self.copied:
            return [p for frame in _decode(self.source, packet) for p in self._next(frame, frame.pts)]
        if packet.dts is None:  # the end of the source, not a part of it
            return []
        return self._next(packet, packet.dts)

    def _next(self, part: Any, stamp: int | None) -> list[Any]:
        """The part that was kept, as packets for the target; None in place of the next is the end."""
        before, self._kept = self._kept, part
        if before is None:
            return []
        return self._copied(before, stamp) if self.copied else self._encoded(before, stamp)

    def _copied(self, packet: Any, coming: int | None) -> list[Any]:
        at = self.times.place(packet.dts, packet.duration or 1, coming)
        if at is None:  # muxers refuse such a one, and with it the clip
            return []
        packet.pts = at if packet.pts is None else packet.pts + at - packet.dts
        packet.dts, packet.stream = at, self.target
        return [packet]

    def _encoded(self, frame: Any, coming: int | None) -> list[Any]:
        pace = round(frame.samples / (frame.sample_rate * self.times.base)) or 1
        frame.pts = self.times.place(frame.pts, pace, coming)
        return [] if frame.pts is None else self.target.encode(frame)

    def end(self) -> list[Any]:
        """What is kept, and what the target's encoder still holds."""
        last = self._next(None, None)
        return last if self.copied else [*last, *self.target.encode(None)]


class _Picture:
    """The video stream on its way into another file: each frame restored. The last one is kept until the one after it
    has shown whether its time is right."""

    def __init__(
        self,
        container: InputContainer,
        source: VideoStream,
        out: OutputContainer,
        restorer: Restorer,
        progress: Callable[[int, int], None],
        frame_wise: bool,
    ) -> None:
        self.source, self.out, self.restorer, self.progress = source, out, restorer, progress
        self.steady = None if frame_wise else VideoRestorer(restorer)
        self.rate, self.base = rate_of(source), source.time_base or Fraction(1, 90_000)
        self.times, self.pace = _Rising(self.base), max(1, round(1 / (self.rate * self.base)))
        self.by_decoding = by_decoding_time(container, source)
        self.target: VideoStream | None = None
        """None before the first frame: nothing may be written till then."""
        self.count = self.lost = 0
        self._delay = 0
        self._kept: VideoFrame | None = None

    def pass_on(self, packet: Any) -> list[Any]:
        """A packet of the source, None after its last, -> packets for the target."""
        return [p for frame in _decode(self.source, packet) for p in self._next(frame)]

    def end(self) -> list[Any]:
        """What is kept, and what the target's encoder still holds."""
        last = self._next(None)
        if self.lost:
            log.warning(
                "%d frames are left out, whose times are not after those before them: a clock was set back, or files "
                "were put together; restore such files one by one",
                self.lost,
            )
        return [*last, *self.target.encode(None)] if self.target is not None else last

    def _next(self, frame: VideoFrame | None) -> list[Any]:
        """The frame that was kept, as packets for the target; None in place of the next is the end."""
        before, self._kept = self._kept, frame
        if before is None:
            return []
        if self.target is None:
            self.target = self._begin(before)
        coming = None if frame is None else self._stamp(frame)
        pts = self.times.place(self._stamp(before), self.pace, coming)
        if pts is None:
            self.lost += 1
            return []
        return self._restored(before, pts, self.target)

    def _begin(self, first: VideoFrame) -> VideoStream:
        self._delay = (first.dts or 0) if self.by_decoding else 0
        shown = pixels(first)
        target = _add_h264(self.out, self.rate, shown.shape[0], shown.shape[1], CRF)
        target.codec_context.time_base = self.base
        target.codec_context.thread_count = 0
        _keep_pixel_shape(self.source, first, target)
        return target

    def _stamp(self, frame: VideoFrame) -> int | None:
        stamp = stamp_of(frame, self.by_decoding)
        return None if stamp is None else stamp - self._delay

    def _restored(self, frame: VideoFrame, pts: int, target: VideoStream) -> list[Any]:
        shown = pixels(frame)[None]
        after = self.steady.restore(shown, [float(pts * self.base)]) if self.steady else self.restorer.restore(shown)
        restored = _yuv(after[0], target)
        restored.pts, restored.time_base, restored.duration = pts, self.base, frame.duration
        self.count += 1
        self.progress(self.count, self.source.frames)
        return target.encode(restored)


def _transcode(
    container: InputContainer,
    stream: VideoStream,
    out: OutputContainer,
    restorer: Restorer,
    progress: Callable[[int, int], None],
    frame_wise: bool,
) -> int:
    picture = _Picture(container, stream, out, restorer, progress, frame_wise)
    sounds = {a.index: _Sound(a, out) for a in container.streams.audio if a.codec_context is not None}
    held: list[Any] = []  # audio that comes before the first frame, when the output's video stream is not yet known
    for packet in _packets(container, [stream, *(s.source for s in sounds.values())]):
        if packet is not None and packet.stream.index in sounds:
            held += sounds[packet.stream.index].pass_on(packet)
        else:
            out.mux(picture.pass_on(packet))
        if picture.target is not None:
            out.mux(held)
            held = []
    out.mux(picture.end())
    if picture.target is not None:
        out.mux([*held, *(p for sound in sounds.values() for p in sound.end())])
    return picture.count


def _keep_pixel_shape(stream: VideoStream, frame: VideoFrame, target: VideoStream) -> None:
    """Where the source states how wide its pixels are shown, so does the target: cameras may record narrow pictures."""
    shape = stream.sample_aspect_ratio
    if shape:
        target.codec_context.sample_aspect_ratio = 1 / shape if frame.rotation % 180 else shape


def _packets(container: InputContainer, streams: list[Any]) -> Iterator[Any]:
    """The packets of some streams, up to where the file can be read. If that is not its end, None comes last: what the
    video's decoder still holds."""
    try:
        yield from container.demux(*streams)
    except (av.error.FFmpegError, OSError) as error:
        log.warning("the clip ends early (%s); restored up to there", error)
        yield None


def _decode(stream: Any, packet: Any) -> list[Any]:
    try:
        frames: list[Any] = stream.codec_context.decode(packet)
    except av.error.FFmpegError:
        return []  # one damaged packet costs its own frames only
    return frames
