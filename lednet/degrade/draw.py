"""Random draws of the degradations: all from the generator that is passed in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Range = tuple[float, float]
"""Bounds of a uniform draw."""


def uniform(bounds: Range, shape: tuple[int, ...], generator: torch.Generator, log: bool = False) -> Tensor:
    """Uniform draws from `bounds` on the generator's device; log-uniform with `log` if bounds are above zero."""
    log = log and bounds[0] > 0
    low, high = (math.log(b) for b in bounds) if log else bounds
    draws = torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low
    return draws.exp() if log else draws
