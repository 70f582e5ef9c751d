"""CLAHE on brightness alone: contrast-limited adaptive histogram equalisation of L in CIE Lab.

Source: Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994; OpenCV's implementation.
"""

from __future__ import annotations

import cv2
import numpy as np

from lednet.baselines.frames import Picture

CLIP_LIMIT, TILES = 4.0, 8
"""Customary values, not fitted to our recipes."""


def clahe(picture: Picture) -> Picture:
    """sRGB [h, w, 3] in [0, 1], 8 bit in effect -> the same with L equalised."""
    lab = cv2.cvtColor((picture * 255).round().astype(np.uint8), cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(CLIP_LIMIT, (TILES, TILES)).apply(lab[:, :, 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) / 255, np.float32)
