"""The floor that a model must beat: one fixed gamma for every image, fitted on training pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lednet.metrics import psnr


def restore_gamma(x: Tensor, gamma: float) -> Tensor:
    """sRGB [n, 3, h, w] in [0, 1] -> x ** (1 / gamma)."""
    return x.clamp(0, 1) ** (1 / gamma)


def fit_gamma(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The gamma from 1 to 5 (steps of 0.05) of the highest mean PSNR over (degraded, label) batches."""
    candidates = [1 + 0.05 * i for i in range(81)]
    scores = [torch.cat([psnr(restore_gamma(x, g), y) for x, y in pairs]).mean().item() for g in candidates]
    return round(candidates[scores.index(max(scores))], 2)
