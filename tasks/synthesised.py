"""Full-reference figures of a camera that has no truth: its own daylight, made night by synthesis and restored.

    daylight frames -> lednet.degrade, recipe "night", fixed seeds -> the night's checkpoint -> PSNR, SSIM, MAE, LPIPS

These are figures of the *synthesised night*, and are called so wherever they are shown: they say how well the model
restores what this camera sees when the synthesis darkens it, not how well it restored a real night. Equal daylight and
an equal model give equal figures.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from lednet import Restorer
from lednet.clips import VIDEO_SUFFIXES
from lednet.degrade import RECIPES, degrade
from lednet.losses import WeightsMissingError
from lednet.metrics import mae, psnr, ssim
from tasks import listing, storage
from tasks.decode import VideoError, pixels, probe, read_frames
from tasks.picture import read_picture
from tasks.settings import LEAST_DAYLIGHT_SIDE, SynthesisSettings
from tasks.signs import narrow

log = logging.getLogger(__name__)

RECIPE = "night"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
WILDCARDS = frozenset("*?[")

Picture = NDArray[np.uint8]
Perceptual = Callable[[Tensor, Tensor], Tensor]


class DaylightError(ValueError):
    """A camera's daylight can't be used; the message names the place, the cause and the next step."""


@dataclass(frozen=True)
class Daylight:
    """A camera's daylight frames."""

    frames: tuple[Picture, ...]
    """uint8 [h, w, 3] sRGB each."""
    key: str
    """Hash of the files' etags and the settings: equal keys mean equal synthesised nights."""


def find_daylight(location: str) -> list[listing.Entry]:
    """The pictures and videos of a folder, of one file, or of a pattern with *, ? and [ ], by name.

    Raises:
        DaylightError: if there is none.
    """
    url = storage.normalise(location)
    suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    parts = url.split("/")
    wild = next((i for i, part in enumerate(parts) if WILDCARDS & set(part)), None)
    if wild is not None:
        root, wanted = "/".join(parts[:wild]), url
    elif url.lower().endswith(suffixes):
        root, wanted = "/".join(parts[:-1]), url
    else:
        root, wanted = url, "*"
    entries = [e for e in listing.find(root) if e.url.lower().endswith(suffixes) and e.size]
    found = [e for e in entries if fnmatchcase(e.url, wanted)]
    if not found:
        raise DaylightError(f"{location}: no daylight pictures or videos there; set the camera's `daylight` anew")
    return sorted(found, key=lambda e: e.url)


def daylight_key(entries: Sequence[listing.Entry], settings: SynthesisSettings) -> str:
    """Hash of what decides the synthesised night of some files."""
    # The recipe by its numbers: a release that darkens otherwise must not make a model look worse.
    recipe = RECIPES[RECIPE].to_dict()
    inputs = {"files": [(e.url, e.etag) for e in entries], "settings": settings.stored(), "recipe": recipe}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def read_daylight(entries: Sequence[listing.Entry], settings: SynthesisSettings, most_pixels: int) -> Daylight:
    """Frames spread evenly over the files; files that can't be read and frames without daylight are left out, told.

    Raises:
        DaylightError: if none is left.
        StorageError: if the store can't be reached: fewer frames would pass for the figures of all.
    """
    wanted = _shares(entries, settings.frames)
    frames: list[Picture] = []
    for entry, count in wanted.items():
        try:
            frames += [narrow(f, settings.width) for f in _frames_of(entry.url, count, most_pixels)]
        except storage.StorageError:
            raise
        except (VideoError, OSError) as error:
            log.warning("%s: left out of the daylight (%s)", entry.url, error)
    lit = [f for f in frames if f.mean() / 255 >= settings.least_brightness and min(f.shape[:2]) >= LEAST_DAYLIGHT_SIDE]
    if len(lit) < len(frames):
        unfit = len(frames) - len(lit)
        log.warning("%s: %d of %d frames are no daylight, or too small", entries[0].url, unfit, len(frames))
    if not lit:
        raise DaylightError(f"{entries[0].url} and {len(entries) - 1} more: no daylight frame in them; film by day")
    return Daylight(tuple(lit), daylight_key(entries, settings))


def _shares(entries: Sequence[listing.Entry], frames: int) -> dict[listing.Entry, int]:
    """How many frames to take of which file: evenly chosen files, and of videos as many as pictures leave."""
    if frames <= len(entries):
        return {entries[i * len(entries) // frames]: 1 for i in range(frames)}
    videos = [e for e in entries if not _is_image(e.url)]
    left = frames - (len(entries) - len(videos))
    share = {e: left * (k + 1) // len(videos) - left * k // len(videos) for k, e in enumerate(videos)}
    return {e: share.get(e, 1) for e in entries}


def _is_image(url: str) -> bool:
    return url.lower().endswith(IMAGE_SUFFIXES)


def _frames_of(url: str, count: int, most_pixels: int) -> list[Picture]:
    """So many frames of a file, spread evenly over it; of a picture, itself."""
    if _is_image(url):
        return [read_picture(url, most_pixels)]
    seconds = probe(url).seconds or 0.0
    frames: list[Picture] = []
    for k in range(count):
        from_s = seconds * (k + 0.5) / count
        frame = next(read_frames(url, from_s, math.inf, [], most_pixels), None)
        if frame is not None:
            frames.append(pixels(frame[1]))
    return frames


def synthesised_figures(
    daylight: Daylight, restorer: Restorer, settings: SynthesisSettings, perceptual: Perceptual | None
) -> pd.DataFrame:
    """One row a daylight frame: psnr (dB), ssim, mae, lpips of its restored synthesised night against itself.

    8-bit sRGB, RGB, data range 1. Runs on one frame at a time. `lpips` is NaN without `perceptual`.
    """
    rows = []
    for k, frame in enumerate(daylight.frames):
        sharp = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        # On the CPU whatever restores: another device's generator would draw another night.
        dark = degrade(sharp, RECIPES[RECIPE], torch.Generator().manual_seed(settings.seed + k))
        levels = (dark[0] * 255).round().byte().permute(1, 2, 0).numpy()
        restored = torch.from_numpy(restorer.restore(levels[None])).permute(0, 3, 1, 2).float() / 255
        rows.append(
            {
                "psnr": psnr(restored, sharp).item(),
                "ssim": ssim(restored, sharp).item(),
                "mae": mae(restored, sharp).item(),
                "lpips": float(perceptual(restored, sharp)) if perceptual else math.nan,
            }
        )
    return pd.DataFrame(rows, columns=["psnr", "ssim", "mae", "lpips"])


@lru_cache(maxsize=2)
def load_perceptual(weights: str) -> Perceptual | None:
    """LPIPS, once in this process; None, and the reason in the log, where its weights can't be had."""
    # When it is asked for, since the metric loads torchvision, which most of the work does without.
    try:
        metric: Perceptual = import_module("lednet.lpips_metric").LPIPS(Path(weights) if weights else None)
    except (ImportError, WeightsMissingError, ValueError) as error:
        log.warning("LPIPS not computed: %s", error)
        return None
    return metric
