"""Pictures: files of footage and daylight read where their header allows it, frames brought to a size, JPEG written.

Not covered: videos (`tasks.decode`).
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks import storage
from tasks.decode import VideoError, refuse_large

JPEG_QUALITY = 88


def read_picture(url: str, most_pixels: int) -> NDArray[np.uint8]:
    """A PNG, JPEG, BMP or TIFF file -> uint8 [h, w, 3], RGB.

    Raises:
        VideoError: if it is none, or larger than `most_pixels`, which its header tells before anything is decoded.
        OSError: if it can't be read; StorageError if the store is at fault.
    """
    data = storage.read(url)
    try:
        with Image.open(io.BytesIO(data)) as header:  # reads no pixel
            width, height = header.size
    except Exception as error:  # Pillow's own limit among them; damage raises whatever it leads to
        raise VideoError(url, f"not a readable picture ({error})") from error
    refuse_large(url, width, height, most_pixels)
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise VideoError(url, f"not a readable picture ({error.err or 'OpenCV refuses it'})") from error
    if decoded is None:
        raise VideoError(url, "not a readable picture")
    return np.ascontiguousarray(decoded[:, :, ::-1], np.uint8)


def fit(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A frame in the night's size; one of another size (the recorder was set anew) is scaled."""
    if frame.shape[:2] == (height, width):
        return frame
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def jpeg(frame: NDArray[np.uint8], width: int, quality: int = JPEG_QUALITY) -> bytes:
    """A frame as JPEG, at most `width` pixels wide."""
    if frame.shape[1] > width:
        height = max(1, round(frame.shape[0] * width / frame.shape[1]))
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    ok, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"OpenCV could not encode a picture of {frame.shape}")
    return data.tobytes()
