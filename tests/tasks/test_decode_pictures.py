"""Pictures come out with the colours, the size and the way up that they were recorded with.

Which frames come, and when: `test_decode`.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from footage import Picture, paced, write_clip

from tasks.decode import probe
from tests.tasks.reading import read, url_of


def turned(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write a display matrix into an MP4's track header: (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0
    one = 1 << 16
    assert struct.unpack_from(">9i", data, at) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "quarter_turns"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)]
)
def test_a_picture_is_turned_as_its_display_matrix_says(
    matrix: tuple[int, int, int, int], quarter_turns: int, tmp_path: Path
) -> None:
    upright = read(write_clip(tmp_path / "a.mp4", [0, 0.1], first=77))[0][1]
    path = turned(write_clip(tmp_path / "b.mp4", [0, 0.1], first=77), *matrix)
    picture = read(path)[0][1]
    assert np.array_equal(picture, np.rot90(upright, quarter_turns))
    assert (probe(url_of(path)).height, probe(url_of(path)).width) == picture.shape[:2]


def patches() -> Picture:
    picture = np.zeros((64, 96, 3), np.uint8)
    for k, colour in enumerate(((200, 40, 30), (40, 160, 60), (30, 60, 190))):
        picture[:, 32 * k : 32 * (k + 1)] = colour
    return picture


COLOURS: dict[str, dict[str, Any]] = {
    "420": {},
    "422": {"pix_fmt": "yuv422p"},
    "444": {"pix_fmt": "yuv444p"},
    "10-bit": {"pix_fmt": "yuv420p10le"},
    "full range": {"codec": "mjpeg", "pix_fmt": "yuvj422p", "name": "a.avi"},
    "mpeg2": {"codec": "mpeg2video", "name": "a.mpg", "fps": 25, "base": Fraction(1, 25)},
    "rgb": {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"crf": "0"}},
    "lossless": {"codec": "ffv1", "pix_fmt": "bgr0", "name": "a.mkv"},
}


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_come_out_as_they_went_in(kind: str, tmp_path: Path) -> None:
    options = {"name": "a.mp4", **COLOURS[kind]}
    path = write_clip(tmp_path / options.pop("name"), paced(3, 25), pictures=[patches()] * 3, **options)
    for _, picture in read(path):
        assert picture.dtype == np.uint8
        assert picture.flags["C_CONTIGUOUS"]
        assert np.abs(picture[8:-8, 8::32].astype(int) - patches()[8:-8, 8::32]).max() <= 6


def test_a_stream_that_states_another_colour_matrix_is_converted_by_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "5", "x264-params": "colormatrix=bt709"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame.from_ndarray(patches(), format="rgb24")
        out.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        out.mux(stream.encode(None))
    picture = read(path)[0][1]
    assert np.abs(picture[8:-8, 8::32].astype(int) - patches()[8:-8, 8::32]).max() <= 6


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_grey_footage_comes_out_as_grey_rgb(pix_fmt: str, tmp_path: Path) -> None:
    levels = [np.full((48, 64, 3), level, np.uint8) for level in (30, 120, 220)]
    path = write_clip(tmp_path / "a.mkv", paced(3, 10), pictures=levels, codec="ffv1", pix_fmt=pix_fmt)
    for (_, picture), level in zip(read(path), levels, strict=True):
        assert picture.shape == (48, 64, 3)
        assert np.abs(picture.astype(int) - level).max() <= 2


X265 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:frame-threads=1"}
GREY: dict[str, tuple[str, str, dict[str, str]]] = {
    "hevc": ("libx265", "gray", X265),
    "hevc, 10-bit": ("libx265", "gray10le", X265),
    "h264": ("libx264", "gray", {"crf": "1"}),
    "ffv1": ("ffv1", "gray", {}),
}


@pytest.mark.parametrize("kind", GREY)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_black_and_white_of_grey_footage_are_those_of_its_range(kind: str, full: bool, tmp_path: Path) -> None:
    codec, pix_fmt, options = GREY[kind]
    colour_range = ColorRange.JPEG if full else ColorRange.MPEG
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.codec_context.color_range, stream.codec_context.thread_count = colour_range, 1
        for k, code in enumerate((0, 255) if full else (16, 235)):
            shift = 2 if "10" in pix_fmt else 0
            plane = np.full((48, 64), code << shift, np.uint16 if shift else np.uint8)
            frame = av.VideoFrame.from_ndarray(plane, format=pix_fmt)
            frame.pts, frame.time_base, frame.color_range = k, Fraction(1, 10), colour_range
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    black, white = (picture.astype(int) for _, picture in read(tmp_path / "a.mkv"))
    assert black.max() <= 1
    assert white.min() >= 254


@pytest.mark.parametrize(("height", "width"), [(51, 67), (48, 65), (49, 64), (2, 2)])
def test_odd_sizes_keep_every_pixel(height: int, width: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    path = write_clip(tmp_path / "a.mkv", [0], pictures=[picture], codec="ffv1", pix_fmt="bgr0")
    assert np.array_equal(read(path)[0][1], picture)
    assert (probe(url_of(path)).height, probe(url_of(path)).width) == (height, width)
