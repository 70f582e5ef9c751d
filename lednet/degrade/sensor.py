"""The sensor: photon and read noise, row noise, infrared mode, low resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.degrade.response import SRGB, Response

INFRARED_MIX = (0.45, 0.35, 0.2)
"""Share of R, G and B in the one channel of a camera whose infrared filter is swung away; red lies nearest."""


def add_sensor_noise(
    x: Tensor, shot: Tensor, read: Tensor, generator: torch.Generator, response: Response = SRGB
) -> Tensor:
    """Poisson-Gaussian noise of variance shot * I + read**2 in linear light I (Foi et al., TIP 2008), on stored x.

    `shot` and `read` are [n]; linear light is what `response` makes of x, 1 being white.
    """
    linear = response.to_linear(x)
    sigma = (shot[:, None, None, None] * linear + read[:, None, None, None] ** 2).sqrt()
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return response.to_stored((linear + sigma * noise).clamp(0, 1))


def add_row_noise(x: Tensor, sigma: Tensor, generator: torch.Generator, response: Response = SRGB) -> Tensor:
    """One offset a row, the same in all channels: Gaussian of deviation `sigma` [n], linear light, on stored x."""
    n, _, height, _ = x.shape
    offset = torch.randn((n, 1, height, 1), generator=generator, device=x.device) * sigma[:, None, None, None]
    return response.to_stored((response.to_linear(x) + offset).clamp(0, 1))


def to_infrared(linear: Tensor) -> Tensor:
    """Infrared mode: one grey value in all three channels, a mix of linear R, G and B that keeps white white."""
    mix = torch.tensor(INFRARED_MIX, device=linear.device, dtype=linear.dtype).reshape(1, 3, 1, 1)
    return (linear * mix).sum(1, keepdim=True).expand_as(linear)


def lower_resolution(linear: Tensor, factor: float) -> Tensor:
    """An explosion-proof camera's few pixels: area-averaged to 1/factor of each side, shown at the old size.

    The mean is kept where the sides are multiples of the factor. `factor` from 1 (nothing happens) up.
    """
    height, width = linear.shape[2:]
    few = F.interpolate(linear, size=(max(1, round(height / factor)), max(1, round(width / factor))), mode="area")
    return F.interpolate(few, size=(height, width), mode="bilinear", align_corners=False)
