"""JNB: blur from how many atoms of a dictionary a patch needs.

Source: Shi, Xu and Jia, "Just noticeable defocus blur detection and estimation", CVPR 2015. Their dictionary of 8x8
patches and the fitted curve from the number of atoms to blur are not to be had. In their place: the 64 atoms of the
orthonormal 8x8 cosine basis, for which the sparsest decomposition is exact (the largest coefficients), and a curve
measured on overlapping discs drawn and blurred here. So this row is JNB's idea, with a dictionary of ours.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lednet.baselines.defocus import LEVELS, spread
from lednet.baselines.frames import Picture, luma

PATCH, STRIDE = 8, 4
KEPT_ENERGY = 0.98
"""Atoms are counted until they hold this share of a patch's energy about its mean: contrast does not matter."""

LEAST_CONTRAST = 0.5
"""Patches below this share of the frame's median contrast hold too little to tell, and are left to their neighbours."""


@lru_cache(maxsize=1)
def cosine_atoms() -> torch.Tensor:
    """The 63 atoms of the 8x8 cosine basis without the constant one, [63, 1, 8, 8], orthonormal."""
    waves = cv2.dct(np.eye(PATCH, dtype=np.float32), flags=cv2.DCT_ROWS)
    atoms = np.einsum("yi,xj->ijyx", waves, waves).reshape(PATCH * PATCH, 1, PATCH, PATCH)
    return torch.from_numpy(np.ascontiguousarray(atoms[1:]))


def atoms_needed(light: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(number of atoms, contrast) of every patch of [h, w], each [rows, columns]."""
    coefficients = F.conv2d(torch.from_numpy(np.ascontiguousarray(light))[None, None], cosine_atoms(), stride=STRIDE)[0]
    energy = coefficients.square().sort(0, descending=True).values
    total = energy.sum(0)
    count = (energy.cumsum(0) < KEPT_ENERGY * total).sum(0) + 1
    return count.float().numpy(), (total.sqrt() / PATCH).numpy()


@lru_cache(maxsize=1)
def calibration() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean number of atoms, blur in pixels) for the blurs of `LEVELS`, measured on drawn discs; atoms ascend."""
    draw = np.random.default_rng(0)
    scene = np.zeros((256, 256), np.float32)
    for _ in range(600):
        x, y = draw.integers(0, 256, 2)
        cv2.circle(scene, (int(x), int(y)), int(draw.integers(3, 40)), float(draw.uniform()), -1, cv2.LINE_8)
    sigmas = np.arange(0, LEVELS[-1] + 0.5, 0.5)
    counts = []
    for sigma in sigmas:
        blurred = scene if sigma == 0 else cv2.GaussianBlur(scene, (0, 0), float(sigma))
        count, contrast = atoms_needed(np.asarray(blurred, np.float32))
        counts.append(float(count[contrast > LEAST_CONTRAST * np.median(contrast)].mean()))
    falling = np.minimum.accumulate(counts)
    return falling[::-1].copy(), sigmas[::-1].copy()


def defocus_map(picture: Picture) -> Picture:
    """sRGB [h, w, 3] in [0, 1], sides of 8 px at least -> the standard deviation of its blur [h, w], in pixels."""
    light = luma(picture)
    count, contrast = atoms_needed(light)
    informative = contrast > max(LEAST_CONTRAST * float(np.median(contrast)), 1e-6)
    if not informative.any():
        return np.zeros_like(light)
    size = light.shape[1], light.shape[0]
    count = np.asarray(cv2.resize(count, size, interpolation=cv2.INTER_NEAREST), np.float32)
    weight = np.asarray(cv2.resize(informative.astype(np.float32), size, interpolation=cv2.INTER_NEAREST), np.float32)
    # The curve is one of mean counts, so counts are averaged over neighbours before it is read.
    return np.interp(spread(count, weight, light), *calibration()).astype(np.float32)
