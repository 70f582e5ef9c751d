"""Plain figures of frames: dark and saturated shares, colourfulness, lightness order before and after, flicker.

Cheap and without any model. Not covered: the figures of every frame of a night (`lednet.quality`, which takes the first
three from here), natural scene statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

DARK_BELOW = 16
"""Luma of 255 below which nothing can be made out on a usual screen."""

SATURATED_FROM = 250
"""Value of 255 from which a channel has clipped; a little below the top, since compression rounds."""

ORDER_SIDE = 50
"""Shorter side of the pictures whose lightness order is compared, as in Wang et al."""


def dark_share(luma: Pixels) -> float:
    """Share of pixels of uint8 luma [...] below `DARK_BELOW`, 0 to 1.

    Can't tell a black wall from a covered lens, nor a lit scene from haze.
    """
    return float(np.count_nonzero(luma < DARK_BELOW) / luma.size)


def saturated_share(pixels: Pixels) -> float:
    """Share of pixels of uint8 RGB [..., 3] with a channel from `SATURATED_FROM` on, 0 to 1.

    Can't tell a lamp, which is meant to be white, from a face that has burnt out.
    """
    red, green, blue = (pixels[..., i] >= SATURATED_FROM for i in range(3))
    return float(np.count_nonzero(red | green | blue) / red.size)


def colourfulness(pixels: Pixels) -> float:
    """Hasler and Suesstrunk, SPIE 5007, 2003, metric M3: 0 is grey, 15 slightly, 45 quite, 82 highly colourful.

    Takes uint8 sRGB [..., 3]. Can't tell true colours from a colour cast or from coloured noise.
    """
    red, green, blue = (pixels[..., i].astype(np.float32) for i in range(3))
    across, along = (cv2.meanStdDev(opponent) for opponent in (red - green, (red + green) / 2 - blue))
    means, deviations = (np.hypot(across[k][0, 0], along[k][0, 0]) for k in (0, 1))
    return float(deviations + 0.3 * means)


def lightness_order_error(before: Pixels, after: Pixels) -> float:
    """LOE between two frames uint8 [h, w, 3] sRGB: how many of its relations "at least as light" a pixel loses.

    Wang, Zheng, Hu, Li, IEEE TIP 22(9), 2013, eqs. 2 to 5, lightness as the largest channel, on pictures shrunk (by
    area) to a shorter side of `ORDER_SIDE`. From 0 (order kept) to the number of their pixels; hundreds are usual.
    Comparable between frames of one shape only. Can't tell a needed change of order (glare taken away) from a harmful
    one, and sees no noise or blur below its coarse grid.

    Raises:
        ValueError: if the shapes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"LOE compares frames of one shape, not {before.shape} with {after.shape}; resize first")
    old, new = _lightness(before), _lightness(after)
    lost = sum(np.count_nonzero((old >= a) != (new >= b)) for a, b in zip(old, new, strict=True))
    return float(lost / old.size)


def _lightness(frame: Pixels) -> NDArray[np.uint8]:
    """Largest channel, shrunk and flattened: [pixels]."""
    height, width = frame.shape[:2]
    shrink = max(1.0, min(height, width) / ORDER_SIDE)
    size = (round(width / shrink), round(height / shrink))
    light = np.maximum(np.maximum(frame[:, :, 0], frame[:, :, 1]), frame[:, :, 2])
    return np.asarray(cv2.resize(light, size, interpolation=cv2.INTER_AREA), np.uint8).ravel()


def flicker(brightness: Sequence[float] | NDArray[Any]) -> float:
    """Mean |second difference| / 2 of the mean luma (0 to 1) of consecutive frames [t]: 0 is steady, 1 strobes.

    Steady fading and dawn cost nothing. A lamp that does flicker counts as well, so compare after with before; can't
    see flicker of parts that cancel out, nor any that is faster than the frames. NaN for fewer than three frames.
    """
    steps = np.abs(np.diff(np.asarray(brightness, np.float64), n=2)) / 2
    return float(steps.mean()) if len(steps) else float("nan")
