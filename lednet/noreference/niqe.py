"""NIQE: how far a frame's statistics are from those of sharp daylight pictures. No reference, no human scores.

Source: Mittal, Soundararajan, Bovik, "Making a completely blind image quality analyzer", IEEE SPL 20(3), 2013; written
from the paper, with the borders, shifts and halving of the authors' released code. The model of sharp pictures is
our own (`lednet.noreference.fit`; `niqe.json` says from what), so figures compare with each other, not with published
ones, unless the authors' model is passed.

What it can't see: it likes noise, which looks like detail to it, and calls flat pictures (fog, sky, black) unnatural.
It never stands alone in a headline.

Checked against pyiqa 0.1.16 with one and the same model: see docs/metrics.md.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lednet.losses import WeightsMissingError
from lednet.noreference.nss import SHIFTS, Array, fit, luma, normalised

BLOCK = 96
"""Side of the blocks whose statistics are compared, in pixels."""

LEAST_SIDE = 2 * BLOCK
"""Frames with a smaller side have too few blocks to speak of."""

FEATURES = 36
MODEL = Path(__file__).resolve().parents[1] / "weights" / "niqe.npz"

_HALVING = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
"""Keys' cubic (a = -1/2) stretched by two: MATLAB's imresize by one half, with antialiasing."""


@dataclass(frozen=True)
class Pristine:
    """Mean [36] and covariance [36, 36] of sharp pictures' block features."""

    mean: Array
    covariance: Array

    @classmethod
    def load(cls, path: Path = MODEL) -> Pristine:
        """Read an .npz of `mean` and `covariance`.

        Raises:
            WeightsMissingError: if there is no such file.
            ValueError: if it holds something else.
        """
        if not path.is_file():
            raise WeightsMissingError(
                f"NIQE not computed: no model at {path}; python -m lednet.noreference.fit makes one"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance = file["mean"], file["covariance"]
        except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: not a NIQE model ({error}); fit it again") from error
        if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
            raise ValueError(f"{path}: a NIQE model has {FEATURES} features, not {mean.shape}; fit it again")
        return cls(mean.astype(np.float64), covariance.astype(np.float64))


def halved(gray: Array) -> Array:
    """Bicubic to half size, antialiased; sides are even."""
    smooth = cv2.sepFilter2D(gray, -1, _HALVING, _HALVING, anchor=(3, 3), borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth)[::2, ::2]


def block_features(frame: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Features [blocks, 36] (18 a scale) and sharpness [blocks] (mean local deviation) of uint8 [h, w, 3] sRGB.

    Blocks in which nothing varies have NaN features.

    Raises:
        ValueError: if a side is under `LEAST_SIDE`.
    """
    rows, columns = frame.shape[0] // BLOCK, frame.shape[1] // BLOCK
    if min(frame.shape[:2]) < LEAST_SIDE:
        raise ValueError(f"NIQE needs sides of at least {LEAST_SIDE} px, not {frame.shape[1]}x{frame.shape[0]}")
    gray = luma(frame)[: rows * BLOCK, : columns * BLOCK]
    scales, sharpness = [], np.empty(0)
    for side in (BLOCK, BLOCK // 2):
        values, deviation = normalised(gray, cv2.BORDER_REPLICATE)
        scales.append(_statistics(_blocks(values, side)))
        if side == BLOCK:
            sharpness = _blocks(deviation, side).mean((1, 2))
            gray = halved(gray)
    return np.concatenate(scales, axis=1), sharpness


def _blocks(plane: Array, side: int) -> Array:
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _statistics(blocks: Array) -> Array:
    """[n, side, side] -> [n, 18]: shape and scale of the values, then shape, mean and both scales of four products."""
    own = fit(blocks, zero_is_right=False)
    features = [own.alpha, (own.left + own.right) / 2 * own.scale]
    for shift in SHIFTS:
        shape = fit(blocks * np.roll(blocks, shift, (1, 2)), zero_is_right=False)
        left, right = shape.left * shape.scale, shape.right * shape.scale
        features += [shape.alpha, (right - left) * shape.lean, left, right]
    return np.stack(features, axis=1)


def niqe(frame: NDArray[np.uint8], model: Pristine) -> float:
    """NIQE of one uint8 [h, w, 3] sRGB frame: 0 at best, usually 2 to 15; lower is more natural (eq. 10).

    NaN if fewer than two blocks show anything at all.
    """
    features, _ = block_features(frame)
    features = features[np.isfinite(features).all(1)]
    if len(features) < 2:
        return float("nan")
    away = features.mean(0) - model.mean
    spread = np.linalg.pinv((model.covariance + np.cov(features, rowvar=False)) / 2)
    return float(np.sqrt(max(0.0, away @ spread @ away)))
