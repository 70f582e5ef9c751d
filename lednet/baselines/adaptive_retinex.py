"""Adaptive Retinex: a global adaptation to the scene's light, then a local one with an edge-keeping surround.

Source: Ahn, Keum, Kim and Lee, "Adaptive local tone mapping based on Retinex for high dynamic range images", IEEE ICCE
2013, eqs. 4 to 10. It is classical and has no parameters to train; the "adaptive Retinex with a U-Net" that Guo et al.
2024 name as well is a learned method and is not this one.
"""

from __future__ import annotations

import numpy as np

from lednet.baselines.frames import Picture, guided_filter, luma

RADIUS, EPSILON = 10, 0.01
CONTRAST, OFFSET = 36.0, 10.0
"""eta and lambda of Ahn et al."""

DARKEST = 1e-4


def adaptive_retinex(picture: Picture) -> Picture:
    """sRGB [h, w, 3] in [0, 1] -> the same: every pixel's colour times its own gain."""
    light = luma(picture).clip(DARKEST)
    average = float(np.exp(np.log(light).mean()))
    adapted = np.log(light / average + 1) / np.log(light.max() / average + 1)
    surround = guided_filter(adapted, adapted, np.ones_like(adapted), RADIUS, EPSILON).clip(DARKEST)
    contrast = 1 + CONTRAST * adapted / adapted.max()
    offset = OFFSET * np.exp(np.log(adapted.clip(DARKEST)).mean())
    mapped = contrast * np.log(adapted / surround + offset)
    mapped = (mapped - mapped.min()) / max(float(np.ptp(mapped)), 1e-6) if np.ptp(mapped) > 1e-4 else light
    return np.asarray(picture * (mapped / light)[:, :, None], np.float32)
