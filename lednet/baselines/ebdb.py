"""EBDB: edge-based defocus blur estimation.

Source: Karaali and Jung, "Edge-based defocus blur estimation with adaptive scale selection", IEEE TIP 2018: at edges
the picture is blurred again and the ratio of the gradients tells the blur that was there; the re-blurring scale is
chosen edge by edge; estimates are smoothed along the edges and spread over the frame. Simplified here: edges come from
one scale of Canny's detector, and a Gaussian average among edge pixels stands in for the connected edge filter.
"""

from __future__ import annotations

import cv2
import numpy as np

from lednet.baselines.defocus import LEVELS, spread
from lednet.baselines.frames import Picture, luma

REBLUR = (1.0, 2.0, 3.0)
"""Candidate re-blurring scales, in pixels; the estimate is best where the scale is near the blur itself."""

EDGE_SIGMA = 1.0
"""Smoothing before edges are sought, in pixels; it is also the least re-blurring."""

EDGE_QUANTILES = 0.85, 0.95
"""Canny's two thresholds, as quantiles of the gradient's magnitude: dark pictures have weak gradients."""

ALONG_EDGES = 5.0


def gradient(light: Picture) -> Picture:
    """Magnitude of the gradient of [h, w], by central differences."""
    dy, dx = np.gradient(light)
    return np.asarray(np.hypot(dx, dy), np.float32)


def find_edges(light: Picture) -> Picture:
    """1 at edges, 0 elsewhere, [h, w]."""
    smooth = np.asarray(cv2.GaussianBlur(light, (0, 0), EDGE_SIGMA), np.float32)
    scale = 32767 / max(8.0 * float(gradient(smooth).max()), 1e-6)
    dx, dy = (
        np.clip(cv2.Sobel(smooth, cv2.CV_32F, *d) * scale, -32767, 32767).astype(np.int16) for d in ((1, 0), (0, 1))
    )
    low, high = np.quantile(np.hypot(dx.astype(np.float32), dy), EDGE_QUANTILES)
    return np.asarray(cv2.Canny(dx, dy, float(low), float(high), L2gradient=True) > 0, np.float32)


def sigma_at_edges(light: Picture) -> Picture:
    """The blur of a step edge, in pixels, from its gradient before and after re-blurring; of use at edges only.

    For a step edge of blur s, re-blurred by r, the gradients' ratio is sqrt(1 + r^2 / s^2) at its middle.
    """
    before = gradient(light)
    best = np.zeros_like(light)
    for r in REBLUR:
        again = np.asarray(cv2.GaussianBlur(light, (0, 0), r, borderType=cv2.BORDER_REFLECT), np.float32)
        ratio = before / (gradient(again) + 1e-6)
        sigma = r / np.sqrt((ratio**2 - 1).clip(1e-2))
        # A wider scale takes over only where the narrower one says that the blur is wider than it.
        best = sigma if r == REBLUR[0] else np.where(best > r - 0.5, sigma, best)
    return np.asarray(best, np.float32)


def defocus_map(picture: Picture) -> Picture:
    """sRGB [h, w, 3] in [0, 1] -> the standard deviation of its blur [h, w], in pixels."""
    light = luma(picture)
    edges = find_edges(light)
    total = cv2.GaussianBlur(edges, (0, 0), ALONG_EDGES) + 1e-6
    sigma = cv2.GaussianBlur(sigma_at_edges(light).clip(0, 5) * edges, (0, 0), ALONG_EDGES) / total
    return spread(np.asarray(sigma, np.float32), edges, light).clip(0, LEVELS[-1])
