"""Photographs beside the clips of a training: a scene each, where a clip is one scene however long it is.

Covers finding and reading them. Not covered: how often they are drawn (`lednet.train_settings.TrainSettings.draws`),
and what is made of them (`lednet.clips.PairSampler`: stills, as of a clip below 120 frames/s).
"""

from __future__ import annotations

import logging
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lednet.clips import Clip, ClipError, fault_of_name
from lednet.degrade import linear_to_srgb, srgb_to_linear

log = logging.getLogger("lednet.train")

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

MOST_SIDE = 2048
"""Longer photographs are shrunk by a whole number: the pixels of large ones are soft, and would fill the memory."""

STRIP_ROWS = 64
"""So many rows of a shrunk photograph are made at a time."""

SMALLEST_SIDE = 64
"""What is smaller is an icon. Long and narrow photographs are shrunk no further than to this."""


def find_photos(folder: Path) -> list[Path]:
    """The pictures in a folder and all its folders. Raises ClipError if there is none."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES and not p.name.startswith("."))
    if not found:
        raise ClipError(f"{folder}: holds no photographs ({', '.join(PHOTO_SUFFIXES)}); pass a folder that does")
    return found


def read_photos(folder: Path, device: torch.device, most_bytes: int) -> list[Clip]:
    """Each photograph as a clip of one frame, shrunk in linear light to `MOST_SIDE`.

    Those that can't be read or are below `SMALLEST_SIDE` are named in the log and left out. Where all would take more
    than `most_bytes` of memory, the same ones are taken each time, from all over the folder.

    Raises:
        ClipError: if there is none that can be read.
    """
    paths = sorted(find_photos(folder), key=lambda path: zlib.crc32(os.fsencode(path.relative_to(folder))))
    photos: list[Clip] = []
    taken = 0
    for path in paths:
        photo = _read(path, device)
        if photo is None:
            continue
        taken += photo.frames.nbytes
        if taken > most_bytes:
            log.warning("%d of %d photographs are taken: more would not fit into memory", len(photos), len(paths))
            break
        photos.append(photo)
    if not photos:
        raise ClipError(f"{folder}: none of {len(paths)} photographs can be read; look at the files")
    log.info("training on %d photographs too", len(photos))
    return photos


def _shrunk(frame: Tensor, shrink: int) -> Tensor:
    """uint8 sRGB [1, 3, h, w] -> the same, shrunk so many times in linear light; what is left of the sides is cut."""
    linear = functional.avg_pool2d(srgb_to_linear(frame.float() / 255), shrink)
    return (linear_to_srgb(linear).clamp(0, 1) * 255).round().byte()


def _read(path: Path, device: torch.device) -> Clip | None:
    """One photograph, or None with a line in the log."""
    if fault := fault_of_name(path):
        log.warning("%s; it is left out", fault)
        return None
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # a header that states more pixels than OpenCV takes
        image = None
    if image is None or min(image.shape[:2]) < SMALLEST_SIDE:
        cause = "not a picture that OpenCV reads" if image is None else f"below {SMALLEST_SIDE} pixels a side"
        log.warning("%s: %s; it is left out", path, cause)
        return None
    frame = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)))[None]
    shrink = min(-(-max(image.shape[:2]) // MOST_SIDE), min(image.shape[:2]) // SMALLEST_SIDE)
    if shrink > 1:
        # Some rows at a time: as floats, all of them at once would take fifty bytes a pixel.
        rows = STRIP_ROWS * shrink
        frame = torch.cat(
            [_shrunk(strip, shrink) for strip in torch.split(frame, rows, 2) if strip.shape[2] >= shrink], 2
        )
    return Clip(path.stem, frame.to(device), False, photo=True)
