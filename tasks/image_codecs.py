"""Zarr codecs that store a frame as one JPEG or JPEG XL image, for imagecodecs that bring none of their own.

Name and configuration in an array's metadata are those of imagecodecs' own Zarr codecs (`imagecodecs.zarr`, in its
releases for Python 3.12 and newer), so either reads what the other wrote; where those are installed, they are what is
registered. Zarr finds the two through the entry points in pyproject.toml. Not covered: which codec a night is stored
with (`tasks.codecs`).
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON

JPEG_NAME, JPEGXL_NAME = "imagecodecs_jpeg", "imagecodecs_jpegxl"


@dataclass(frozen=True)
class _FrameCodec(ArrayBytesCodec):
    """A chunk of one frame, (..., height, width, channels), as the bytes of one image."""

    is_fixed_size = False
    name: ClassVar[str]

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        configuration: Any = data.get("configuration", {})
        return cls(**configuration)

    def to_dict(self) -> dict[str, JSON]:
        return {"name": self.name, "configuration": {k: v for k, v in asdict(self).items() if v is not None}}

    def encoded(self, frame: NDArray[np.uint8]) -> bytes:
        """The frame as an image."""
        raise NotImplementedError

    def decoded(self, data: bytes) -> NDArray[np.uint8]:
        """The image as a frame."""
        raise NotImplementedError

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        frame = chunk_array.as_numpy_array()
        frame = np.ascontiguousarray(frame.reshape(frame.shape[-3:]))
        return chunk_spec.prototype.buffer.from_bytes(await asyncio.to_thread(self.encoded, frame))

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        frame = await asyncio.to_thread(self.decoded, chunk_bytes.to_bytes())
        return chunk_spec.prototype.nd_buffer.from_numpy_array(frame.reshape(chunk_spec.shape))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError


@dataclass(frozen=True)
class _Jpeg(_FrameCodec):
    name = JPEG_NAME

    level: int | None = None
    subsampling: str | None = None

    def encoded(self, frame: NDArray[np.uint8]) -> bytes:
        import imagecodecs

        return bytes(imagecodecs.jpeg8_encode(frame, level=self.level, subsampling=self.subsampling))

    def decoded(self, data: bytes) -> NDArray[np.uint8]:
        import imagecodecs

        return imagecodecs.jpeg8_decode(data)


@dataclass(frozen=True)
class _JpegXl(_FrameCodec):
    name = JPEGXL_NAME

    effort: int | None = None
    distance: float | None = None
    lossless: bool | None = None
    numthreads: int | None = None

    def encoded(self, frame: NDArray[np.uint8]) -> bytes:
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(frame, **asdict(self)))

    def decoded(self, data: bytes) -> NDArray[np.uint8]:
        import imagecodecs

        return imagecodecs.jpegxl_decode(data, numthreads=self.numthreads)


def _one_of(theirs: str, ours: type[ArrayBytesCodec]) -> type[ArrayBytesCodec]:
    """imagecodecs' own class where it has one: of two classes by one name Zarr takes any, and warns."""
    try:
        return cast("type[ArrayBytesCodec]", getattr(import_module("imagecodecs.zarr"), theirs))
    except ImportError:
        return ours


Jpeg, JpegXl = _one_of("Jpeg", _Jpeg), _one_of("Jpegxl", _JpegXl)
