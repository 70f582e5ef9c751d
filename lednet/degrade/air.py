"""What hangs in the air, in linear light: dust clouds, fog that thickens with distance, dust lit by lamps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.degrade.draw import uniform

GLOW_SIZES = 9, 33
"""Widths in pixels of the two box filters whose sum is the glow around lamps: a core and a wide halo."""


def add_dust(linear: Tensor, density: Tensor, generator: torch.Generator) -> Tensor:
    """Veil of lit dust, the haze model J * t + A * (1 - t), with a cloud-shaped transmission t.

    Args:
        density: [n], share of the light that the thickest part takes away, 0 to 1.
    """
    n, _, height, width = linear.shape
    coarse = torch.rand((n, 1, 4, 4), generator=generator, device=linear.device)
    cloud = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)
    airlight = uniform((0.2, 0.7), (n, 1, 1, 1), generator) * uniform((0.9, 1.1), (n, 3, 1, 1), generator)
    veil = density[:, None, None, None] * cloud
    return linear * (1 - veil) + airlight * veil


def add_fog(linear: Tensor, density: Tensor, generator: torch.Generator) -> Tensor:
    """Fog, J * t + A * (1 - t), with t falling from bottom to top as distance grows in a camera's view.

    The share of light taken away at the top is `density` [n], 0 to 1; at the bottom nearly none is. The fog has one
    colour, a grey between 0.3 and 0.8.
    """
    n, _, height, _ = linear.shape
    distance = torch.linspace(1, 0, height, device=linear.device).reshape(1, 1, height, 1)
    # Transmission falls exponentially with distance (Koschmieder); the exponent is set by its value at the top.
    through = (1 - density[:, None, None, None].clamp(0, 0.99)) ** (distance**2)
    airlight = uniform((0.3, 0.8), (n, 1, 1, 1), generator)
    return linear * through + airlight * (1 - through)


def light_dust(linear: Tensor, strength: Tensor) -> Tensor:
    """Glow of lamps in dusty air: of the light above white, a share `strength` [n] is scattered around.

    Energy is kept but for what leaves the frame.
    """
    lamps = (linear - 1).clamp_min(0) * strength[:, None, None, None]
    glow = torch.zeros_like(lamps)
    for size in GLOW_SIZES:
        padded = F.pad(lamps, (size // 2,) * 4)
        glow += F.avg_pool2d(F.avg_pool2d(padded, (size, 1), stride=1), (1, size), stride=1) / len(GLOW_SIZES)
    return linear - lamps + glow
