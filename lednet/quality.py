"""Per-frame figures that need no reference: brightness, contrast, noise, sharpness, dark and saturated shares, colour.

They follow a camera over time and compare a frame before and after restoration. Each says one thing and none says
"good": noise counts as sharpness, haze as brightness. Not covered: learned or natural-scene-statistics scores
(`lednet.noreference`), which cost too much for every frame of a night.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lednet.noreference.plain import colourfulness, dark_share, saturated_share

CENTRE_WIDTH, CENTRE_HEIGHT = 640, 360
"""Noise and sharpness are taken from the frame's middle, at most this large, to keep their cost flat. A crop, because
shrinking would average both away."""

SUBSAMPLE = 4
"""Shares and colourfulness are taken from every fourth pixel of every fourth row, to keep their cost below that of the
rest. No averaging: it would take the clipped pixels away."""

LEAST_SIDE = 8
"""Smaller frames have no noise or sharpness to speak of: zero."""

CHANGE_GRID = 8
"""Change is taken over so many by so many blocks, so that a clock drawn into the picture is a few of them."""

CHANGE_CONTRAST, CHANGE_BLOCKS = 3.0, 8
"""Of the blocks whose luma deviates by so many levels of 255: black ones repeat on any camera. Fewer tell nothing."""

_SECOND_DIFFERENCE = np.array([1, -2, 1], np.float32)
"""Immerkaer's kernel is its product with itself."""

_SMOOTH = cv2.getGaussianKernel(9, 1.0, cv2.CV_32F)
"""Of a pixel's sigma, as far as `cv2.GaussianBlur` takes it by itself."""


class Quality(NamedTuple):
    """Figures of one frame, on its luma (BT.601) in 0 to 1."""

    brightness: float
    """Mean luma. Cannot tell light from haze and headlights."""
    contrast: float
    """Standard deviation of luma. Cannot tell detail from glare."""
    noise: float
    """Noise sigma, Immerkaer (CVIU 64, 1996). Takes fine texture for noise."""
    sharpness: float
    """Variance of the Laplacian of a slightly smoothed luma, times 1000. Rises with contrast and with noise."""
    dark_share: float
    """Share of pixels that are nearly black. Cannot tell a black wall from a covered lens."""
    saturated_share: float
    """Share of pixels with a clipped channel. Cannot tell a lamp from a burnt-out face."""
    colourfulness: float
    """Hasler and Suesstrunk (2003): 0 grey, 45 quite colourful. Cannot tell colour from a cast or coloured noise."""


def measure(frame: NDArray[np.uint8]) -> Quality:
    """Figures of one uint8 [h, w, 3] sRGB frame. Raises ValueError for others."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ValueError(f"a frame is uint8 [h, w, 3] sRGB, not {frame.dtype} {list(frame.shape)}; convert it first")
    luma = np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.uint8)
    mean, deviation = (float(v[0, 0]) / 255 for v in cv2.meanStdDev(luma))
    few = frame[::SUBSAMPLE, ::SUBSAMPLE]
    shares = (dark_share(luma[::SUBSAMPLE, ::SUBSAMPLE]), saturated_share(few), colourfulness(few))
    if min(luma.shape) < LEAST_SIDE:
        return Quality(mean, deviation, 0.0, 0.0, *shares)
    top, left = max(0, luma.shape[0] - CENTRE_HEIGHT) // 2, max(0, luma.shape[1] - CENTRE_WIDTH) // 2
    middle = luma[top : top + CENTRE_HEIGHT, left : left + CENTRE_WIDTH]
    # Straight from 8 bits, in whole numbers where they suffice, with OpenCV's sums, which add in double precision: no
    # frame's row may cost more than a small part of restoring it.
    residue = cv2.sepFilter2D(middle, cv2.CV_16S, _SECOND_DIFFERENCE, _SECOND_DIFFERENCE)[1:-1, 1:-1]
    noise = float(np.sqrt(np.pi / 2)) / 6 * cv2.norm(residue, cv2.NORM_L1) / residue.size / 255
    laplacian = cv2.Laplacian(cv2.sepFilter2D(middle, cv2.CV_32F, _SMOOTH, _SMOOTH), cv2.CV_32F)
    variance = (cv2.norm(laplacian, cv2.NORM_L2SQR) / laplacian.size - cv2.mean(laplacian)[0] ** 2) / 255**2
    return Quality(mean, deviation, noise, max(0.0, variance) * 1000, *shares)


def coarse_luma(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `change` compares of a uint8 [h, w, 3] sRGB frame: luma of every fourth pixel of every fourth row."""
    few = np.ascontiguousarray(frame[::SUBSAMPLE, ::SUBSAMPLE])
    return np.asarray(cv2.cvtColor(few, cv2.COLOR_RGB2GRAY), np.uint8)


def change(here: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    """How much of a picture is new: mean absolute change of a block's luma, in levels of 255, in the median block.

    Zero where at least half of the picture is repeated to the last pixel, whatever the rest shows. Takes `coarse_luma`
    of two frames of one shape; NaN where too few blocks show anything. Can't tell a frozen picture from a live one that
    an encoder has stopped drawing, which it does at most from one key frame to the next.
    """
    height, width = (side // CHANGE_GRID * CHANGE_GRID for side in here.shape)
    if not height or not width:
        return float("nan")
    luma = here[:height, :width].astype(np.float32)
    shown = _block_means(luma * luma) - _block_means(luma) ** 2 >= CHANGE_CONTRAST**2
    if np.count_nonzero(shown) < CHANGE_BLOCKS:
        return float("nan")
    return float(np.median(_block_means(cv2.absdiff(here, before)[:height, :width].astype(np.float32))[shown]))


def _block_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over `CHANGE_GRID` by as many blocks, faster than NumPy takes them."""
    return np.asarray(cv2.resize(values, (CHANGE_GRID, CHANGE_GRID), interpolation=cv2.INTER_AREA), np.float32)
