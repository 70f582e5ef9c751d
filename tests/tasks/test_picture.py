"""Pictures: read as RGB from outside and refused where larger than the site allows; brought to a size; as JPEG."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.decode import VideoError
from tasks.picture import fit, jpeg, read_picture
from tests.tasks.night import pictures

RNG = np.random.default_rng(0)
MOST = 10_000


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG that states a size, whatever it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_a_picture_is_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    picture = RNG.integers(0, 256, (30, 40, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), picture[:, :, ::-1])
    np.testing.assert_array_equal(read_picture(f"file://{path}", MOST), picture)


@pytest.mark.parametrize(("width", "height"), [(101, 100), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height, bytes(100_000)))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(VideoError, match=r"bomb\.png: (its frames of .* above the limit|not a readable picture)"):
        read_picture(f"file://{path}", MOST)


@pytest.mark.parametrize("data", [b"", b"no picture", png(50, 50, b"")[:40], png(0, 10, b"")])
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"a\.png: not a readable picture"):
        read_picture(f"file://{path}", MOST)


def test_frames_of_the_nights_size_are_not_touched() -> None:
    frame = pictures(1)[0]
    assert fit(frame, *frame.shape[:2]) is frame


@pytest.mark.parametrize(("width", "expected"), [(32, (24, 32)), (64, (48, 64)), (500, (48, 64)), (1, (1, 1))])
def test_pictures_are_shrunk_and_never_enlarged(width: int, expected: tuple[int, int]) -> None:
    shown = cv2.imdecode(np.frombuffer(jpeg(pictures(1)[0], width), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape[:2] == expected


def test_pictures_keep_their_colours() -> None:
    red = np.full((32, 32, 3), (200, 40, 30), np.uint8)
    shown = cv2.imdecode(np.frombuffer(jpeg(red, 32), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(shown.astype(int) - red).max() < 6
