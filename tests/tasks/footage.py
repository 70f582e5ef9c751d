"""Small video files for the tests: every frame carries its number as a pattern of bright and dark blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 12
BLOCK = 16
WIDTH, HEIGHT = 4 * BLOCK, BITS // 4 * BLOCK

Picture = NDArray[np.uint8]


def numbered(n: int, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """A picture that shows `n` in binary, on a ground that changes with `n` too."""
    picture = np.full((height, width, 3), 60 + n % 20, np.uint8)
    for bit in range(BITS):
        y, x = bit // 4 * BLOCK, bit % 4 * BLOCK
        picture[y : y + BLOCK, x : x + BLOCK] = 215 if n >> bit & 1 else 25
    return picture


def number_of(picture: Picture) -> int:
    """The number that a decoded picture shows."""
    return sum(
        1 << bit
        for bit in range(BITS)
        if picture[bit // 4 * BLOCK + 4 : bit // 4 * BLOCK + 12, bit % 4 * BLOCK + 4 : bit % 4 * BLOCK + 12].mean()
        > 120
    )


def noisy(count: int) -> list[Picture]:
    """Pictures that take so many bytes that a file is mostly pictures."""
    rng = np.random.default_rng(1)
    return [numbered(k, 96, 128) // 2 + rng.integers(0, 100, (96, 128, 3), np.uint8) for k in range(count)]


def paced(count: int, fps: int, first: int = 0) -> list[Fraction]:
    """The times of so many frames, in seconds, from the frame `first` on."""
    return [Fraction(k, fps) for k in range(first, first + count)]


def write_clip(
    path: Path,
    times: Iterable[Fraction | float | int],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    gop: int = 12,
    fps: int | Fraction = 10,
    base: Fraction = Fraction(1, 1000),
    pictures: Sequence[Picture] | None = None,
    first: int = 0,
    metadata: dict[str, str] | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A clip with one frame at each of `times` (seconds), numbered from `first` unless `pictures` are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container, options=container_options or {}) as out:
        out.metadata.update(metadata or {})
        stream = out.add_stream(
            codec,
            rate=fps,
            options={**({"preset": "ultrafast", "crf": "10"} if codec == "libx264" else {}), **(options or {})},
        )
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = base
        if codec in ("mjpeg", "mpeg2video", "mpeg1video", "mpeg4"):
            stream.bit_rate = 2_000_000
        for k, seconds in enumerate(times):
            picture = pictures[k] if pictures is not None else numbered(first + k)
            if k == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(Fraction(seconds) / base), base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
