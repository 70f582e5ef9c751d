"""Darkness: eq. 2 of Guo et al. 2024, and lamps that light a part of the frame."""

from __future__ import annotations

import torch
from torch import Tensor

from lednet.degrade.draw import uniform


def darken(x: Tensor, gain: Tensor, gamma: Tensor) -> Tensor:
    """Eq. 2: c * I ** gamma, on sRGB values in [0, 1]; `gain` is c, both [n]."""
    return gain[:, None, None, None] * x.clamp_min(1e-6) ** gamma[:, None, None, None]


def darken_locally(x: Tensor, depth: Tensor, generator: torch.Generator) -> Tensor:
    """Darkness with a lamp in it: one place keeps its light, away from it the frame falls to 1 - depth of its value.

    The fall is Gaussian, its place and width random (a quarter to all of the frame's longer side). `depth` is [n], 0
    to 1; x is sRGB [n, 3, h, w].
    """
    n, _, height, width = x.shape
    ys = torch.arange(height, device=x.device).reshape(1, 1, height, 1) / height
    xs = torch.arange(width, device=x.device).reshape(1, 1, 1, width) / width
    cy, cx, spread = (uniform(bounds, (n, 1, 1, 1), generator) for bounds in ((0.1, 0.9), (0.1, 0.9), (0.25, 1.0)))
    lit = torch.exp(-(((ys - cy) * height) ** 2 + ((xs - cx) * width) ** 2) / (2 * (spread * max(height, width)) ** 2))
    return x * (1 - depth[:, None, None, None] * (1 - lit))
