"""Multi-scale Retinex with colour restoration (MSRCR).

Source: Jobson, Rahman and Woodell, "A multiscale retinex for bridging the gap between color images and the human
observation of scenes", IEEE TIP 1997: three surrounds, colour restoration with alpha and beta. The last step, from
unbounded ratios to display values, is the per-channel clipping of Petro, Sbert and Morel, "Multiscale Retinex", IPOL
2014: Jobson's fixed gain and offset were published without their units.
"""

from __future__ import annotations

import cv2
import numpy as np

from lednet.baselines.frames import Picture, wide_blur

SURROUNDS = (15.0, 80.0, 250.0)
"""Standard deviations in pixels, after Jobson et al."""

ALPHA, BETA = 125.0, 46.0
CLIPPED_SHARE = 0.01
"""Share of the pixels clipped at each end, after Petro et al."""


def multiscale(picture: Picture) -> Picture:
    """Mean over the surrounds of log(I / blurred I), for [h, w, 3] of values above zero."""
    return np.asarray(sum(np.log(picture / wide_blur(picture, s)) for s in SURROUNDS) / len(SURROUNDS), np.float32)


def retinex(picture: Picture) -> Picture:
    """sRGB [h, w, 3] in [0, 1] -> the same. A channel without any contrast has nothing to restore and is kept."""
    levels = picture * 255 + 1
    colour = BETA * (np.log(ALPHA * levels) - np.log(levels.sum(-1, keepdims=True)))
    restored = multiscale(levels) * colour
    return cv2.merge([_stretch(restored[:, :, c], picture[:, :, c]) for c in range(3)]).astype(np.float32)


def _stretch(values: Picture, original: Picture) -> Picture:
    low, high = np.quantile(values, (CLIPPED_SHARE, 1 - CLIPPED_SHARE))
    return original if high - low < 1e-3 else np.asarray((values - low) / (high - low), np.float32)
