"""From a blur estimate at some pixels to a sharpened picture: what EBDB and JNB share.

Covers the spreading of sparse estimates over the frame and the deconvolution by a blur that differs from place to
place. Not covered: the estimates themselves (`ebdb`, `jnb`). Both methods take all blur for defocus, that is for a
Gaussian; camera shake is none, and that is a limit of theirs, not of this file.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lednet.baselines.deconvolution import deconvolve, fidelity_for, noise_of
from lednet.baselines.frames import Picture, guided_filter, luma

LEVELS = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Standard deviations in pixels that a frame is deconvolved with; between them results are blended."""

SPREAD_RADIUS, SPREAD_EPSILON = 40, 1e-3


def spread(values: Picture, weight: Picture, guide: Picture) -> Picture:
    """Estimates [h, w] that count by `weight` -> a whole map [h, w]; zero if none counts.

    A guided filter stands in for the matting Laplacian of Shi et al. and the fast guided filter of Karaali and Jung.
    """
    return guided_filter(guide, values, weight, SPREAD_RADIUS, SPREAD_EPSILON)


def sharpen(picture: Picture, sigma: Picture) -> Picture:
    """Deconvolve a picture [h, w, 3] by a Gaussian of sigma [h, w]: its brightness; colour differences are kept."""
    light = luma(picture)
    fidelity = fidelity_for(noise_of(light))
    stack = [light if level == 0 else deconvolve(light, level, fidelity) for level in LEVELS]
    position = np.interp(sigma, LEVELS, np.arange(len(LEVELS)))
    sharp = np.zeros_like(light)
    for i, image in enumerate(stack):
        sharp += image * (1 - np.abs(position - i)).clip(0).astype(np.float32)
    return np.asarray(picture + (sharp - light)[:, :, None], np.float32)


def deblurred_by(estimate: Callable[[Picture], Picture]) -> Callable[[Picture], Picture]:
    """A defocus estimator, picture -> map [h, w], as a restorer of pictures."""
    return lambda picture: sharpen(picture, estimate(picture))
