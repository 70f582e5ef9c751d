"""How a night's frames are stored: the Zarr codec that the settings name, whether it can, and what a frame takes.

Every codec stores a frame as one chunk, on one thread and to the same bytes every time. Not covered: the bounds of the
settings (`tasks.settings`), the image codecs themselves (`tasks.image_codecs`), laying an array out (`tasks.store`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import TransposeCodec, ZstdCodec
from zarr.core.buffer import Buffer
from zarr.registry import get_codec_class
from zarr.storage import MemoryStore

from tasks.image_codecs import JPEG_NAME, JPEGXL_NAME
from tasks.settings import CODECS, JPEG, JPEGXL, JPEGXL_LOSSLESS, ZSTD, NightSettings

CHANNELS_BY_ROW = (0, 1, 3, 2)
"""The order in which zstd is given a frame's [slot, y, x, channel]: each row's reds, greens, blues. Values beside each
other are then of one channel, and equal channels near enough to be found equal: level 1 comes within 12 % of the
bytes that level 3 takes pixel by pixel, in colour 2 % (docs/performance.md, Storage). Any Zarr 3 reader undoes it, for
transposing is part of the standard."""
OTHER_LEVELS = (1, 3, 9)
"""Of zstd, for comparison: the default, and two that are slower and smaller."""
LOSSY = (JPEGXL, JPEG)
JPEG_MOST_SIDE = 65_535


class CodecError(ValueError):
    """Frames can't be stored with the codec that the settings name; the message names it and the next step."""


class StoredFrame(NamedTuple):
    """What became of a frame in the store."""

    bytes: int
    psnr_db: float
    """Of what is read back against what was stored; infinite for the same pixels."""


def label(settings: NightSettings) -> str:
    """The codec and what it is told, in words of the settings."""
    return {
        ZSTD: f"zstd {settings.zstd_level}",
        JPEGXL_LOSSLESS: f"jpegxl-lossless, effort {settings.jpegxl_effort}",
        JPEGXL: f"jpegxl, distance {settings.jpegxl_distance:g}, effort {settings.jpegxl_effort}",
        JPEG: f"jpeg {settings.jpeg_quality}",
    }[settings.codec]


def provenance(settings: NightSettings) -> dict[str, Any]:
    """What a run's attributes and its manifest say of the codec. Nothing of zstd, which was all there once was."""
    return {} if settings.codec == ZSTD else {"codec": label(settings), "lossy": settings.codec in LOSSY}


def check(settings: NightSettings, height: int = 1, width: int = 1) -> None:
    """See that this process can store frames of that size as the settings say.

    Raises:
        CodecError: if it can't.
    """
    if settings.codec == ZSTD:
        return
    told = f'codec = "{settings.codec}" in [settings] of cameras.toml'
    try:
        import imagecodecs  # noqa: F401
    except ImportError as error:
        raise CodecError(
            f"{told} needs imagecodecs ({error}); install what requirements.lock names, here and on every worker, "
            f'or set codec = "{ZSTD}"'
        ) from error
    try:
        _image_codec(settings)
    except KeyError as error:
        raise CodecError(
            f"{told}: Zarr does not know {error}, which the package of lednet registers; install lednet again (make)"
        ) from error
    if settings.codec == JPEG and max(height, width) > JPEG_MOST_SIDE:
        raise CodecError(
            f"{told}: JPEG holds {JPEG_MOST_SIDE} pixels a side, not {width}x{height}; set codec to another of "
            f"{', '.join(CODECS)}"
        )


def array_codecs(settings: NightSettings) -> dict[str, Any]:
    """The arguments of Zarr's `create_array` that name the codec."""
    if settings.codec == ZSTD:
        return {"filters": TransposeCodec(order=CHANNELS_BY_ROW), "compressors": ZstdCodec(level=settings.zstd_level)}
    return {"serializer": _image_codec(settings), "compressors": None}


def _image_codec(settings: NightSettings) -> Any:
    """The codec that readers will find by the same name. Raises KeyError if none is registered."""
    name, told = JPEGXL_NAME, dict[str, Any](effort=settings.jpegxl_effort, numthreads=1)
    if settings.codec == JPEG:
        # Colours at full resolution: 4:2:0 would smear coloured lights.
        name, told = JPEG_NAME, {"level": settings.jpeg_quality, "subsampling": "444"}
    elif settings.codec == JPEGXL:
        told |= {"distance": settings.jpegxl_distance, "lossless": False}
    else:
        told |= {"lossless": True}
    return get_codec_class(name).from_dict({"name": name, "configuration": told})


def choices(settings: NightSettings) -> Iterator[NightSettings]:
    """The settings themselves, then those with every other codec that this process has."""
    others = [replace(settings, codec=ZSTD, zstd_level=level) for level in OTHER_LEVELS]
    others += [replace(settings, codec=codec) for codec in CODECS if codec != ZSTD]
    yield settings
    for other in others:
        try:
            check(other)
        except CodecError:
            continue
        if label(other) != label(settings):
            yield other


def stored_frame(settings: NightSettings, frame: NDArray[np.uint8]) -> StoredFrame:
    """Store one frame, uint8 [1, h, w, 3], in memory as a night stores it, and read it back."""
    objects: dict[str, Buffer] = {}
    array = zarr.create_array(
        MemoryStore(objects), shape=frame.shape, dtype="uint8", chunks=frame.shape, **array_codecs(settings)
    )
    array.with_config({"write_empty_chunks": True})[:] = frame
    size = sum(len(data) for key, data in objects.items() if not key.endswith("zarr.json"))
    error = float(np.square(np.asarray(array[:]).astype(np.float32) - frame).mean())
    return StoredFrame(size, float(10 * np.log10(255**2 / error)) if error else float("inf"))
