"""Video out: the night's preview, and `lednet clip`, one file in and one out. H.264 through PyAV's libx264."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lednet import Restorer
from tasks.decode import FALLBACK_FPS, VideoError, open_video, pixels

CRF = "18"
PRESET = "veryfast"
PREVIEW_CRF = "23"


def pixel_format(height: int, width: int) -> str:
    """What every player shows, where the size allows it: 4:2:0 needs even sides."""
    return "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"


def encode_preview(pairs: Iterable[tuple[bytes, bytes]], fps: int) -> bytes | None:
    """JPEG pairs (before, after) -> an H.264 MP4 that shows them side by side; None for no pairs."""
    frames = (np.hstack([_read_jpeg(before), _read_jpeg(after)]) for before, after in pairs)
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
                picture = np.ascontiguousarray(frame[:height, :width])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode(None))
        return path.read_bytes()


def _read_jpeg(data: bytes) -> NDArray[np.uint8]:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]  # type: ignore[index,return-value]


def _add_h264(out: OutputContainer, fps: Fraction, height: int, width: int, crf: str) -> VideoStream:
    stream = out.add_stream("libx264", rate=fps, options={"crf": crf, "preset": PRESET})
    stream.height, stream.width, stream.pix_fmt = height, width, pixel_format(height, width)
    # One thread: x264's output depends on how many there are, and a stored preview must not.
    stream.codec_context.thread_count = 1
    return stream


def restore_clip(source: Path, target: Path, restorer: Restorer, progress: Callable[[int, int], None]) -> int:
    """Restore one video file into another: same size, timestamps, frame rate and audio, as H.264.

    The target appears when it is whole. `progress` is told (frames done, frames expected or 0).

    Returns:
        The number of frames.

    Raises:
        VideoError: if the source is no video, or no frame of it can be decoded.
    """
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix or '.mp4'}")
    try:
        with (
            open_video(f"file://{source.absolute()}") as (container, stream),
            av.open(str(temporary), "w", format=None if target.suffix else "mp4") as out,
        ):
            count = _transcode(container, stream, out, restorer, progress)
        if count == 0:
            raise VideoError(str(source), "no frame of it can be decoded")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _transcode(
    container: InputContainer,
    stream: VideoStream,
    out: OutputContainer,
    restorer: Restorer,
    progress: Callable[[int, int], None],
) -> int:
    rate = stream.average_rate or stream.guessed_rate or Fraction(FALLBACK_FPS)
    base = stream.time_base or Fraction(1, 90_000)
    video: VideoStream | None = None
    copies: dict[int, Any] = {a.index: out.add_stream_from_template(a) for a in container.streams.audio}
    held: list[Any] = []  # audio that comes before the first frame, when the output's video stream is not yet known
    count, last = 0, -1
    for packet in container.demux():
        if packet.stream.index in copies:
            if packet.dts is not None:
                held.append(packet)
        elif packet.stream.index == stream.index:
            for frame in _decode(packet):
                shown = pixels(frame)
                if video is None:
                    video = _add_h264(out, rate, shown.shape[0], shown.shape[1], CRF)
                    video.codec_context.time_base = base
                    video.codec_context.thread_count = 0
                restored = av.VideoFrame.from_ndarray(restorer.restore(shown[None])[0], format="rgb24")
                # Timestamps must rise; a frame without one follows its predecessor at the stream's pace.
                pts = frame.pts if frame.pts is not None else last + max(1, round(1 / (rate * base)))
                if pts <= last and count:
                    continue
                restored.pts, restored.time_base, last = pts, base, pts
                out.mux(video.encode(restored))
                count += 1
                progress(count, stream.frames)
        if video is not None:
            for audio in held:
                audio.stream = copies[audio.stream.index]
                out.mux(audio)
            held.clear()
    if video is not None:
        out.mux(video.encode(None))
    return count


def _decode(packet: Any) -> list[Any]:
    try:
        frames: list[Any] = packet.decode()
    except av.error.FFmpegError:
        return []  # one damaged packet costs its own frames only
    return frames
