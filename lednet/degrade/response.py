"""Camera response: the curve g from linear light to stored values, and its inverse (Guo et al. 2024, eq. 1).

Covers the sRGB curve, plain gammas and measured curves. All are monotonic on [0, 1] and map 0 to 0 and 1 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeGuard

import torch
from torch import Tensor


def srgb_to_linear(x: Tensor) -> Tensor:
    """sRGB electro-optical transfer function, IEC 61966-2-1: the g^-1 of eq. 1."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Inverse of `srgb_to_linear`: the g of eq. 1."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


GAMMAS = 0.1, 10.0
"""The least and the greatest gamma of a camera. Far beyond them nearly all light is stored as one level."""

LEAST_RISE = 1e-6
"""Of a measured curve, from value to value: float32 does not tell apart what lies closer."""


@dataclass(frozen=True)
class Response:
    """A camera's response: "srgb", a gamma, or a measured curve.

    Args:
        curve: "srgb"; a number within `GAMMAS`, for stored = light ** (1 / number); or stored values, from 0 to 1 and
            rising by `LEAST_RISE` or more, of evenly spaced light from 0 to 1, as a chart or a set of exposures yields
            them.

    Raises:
        ValueError: if the curve is none of these.
    """

    curve: str | float | tuple[float, ...] = "srgb"

    def __post_init__(self) -> None:
        c = self.curve
        if isinstance(c, tuple):
            good = len(c) >= 2 and all(map(_is_number, c)) and c[0] == 0 and c[-1] == 1
            good = good and all(b - a >= LEAST_RISE for a, b in pairwise(c))
        else:
            good = c == "srgb" or (_is_number(c) and GAMMAS[0] <= c <= GAMMAS[1])
        if not good:
            least, most = GAMMAS
            raise ValueError(
                f'response {c!r}: must be "srgb", a gamma from {least} to {most}, or stored values rising from 0 to 1'
            )

    def to_linear(self, stored: Tensor) -> Tensor:
        """g^-1: stored values in [0, 1], or the uint8 levels themselves -> linear light.

        Of levels there are 256: they are looked up, which takes a tenth of the time of the powers.
        """
        if stored.dtype == torch.uint8:
            return _table(self, stored.device).index_select(0, stored.flatten().int()).view(stored.shape)
        if isinstance(self.curve, str):
            return srgb_to_linear(stored)
        if isinstance(self.curve, tuple):
            return _interpolate(stored, self.curve, torch.linspace(0, 1, len(self.curve)).tolist())
        return stored.clamp_min(0) ** self.curve

    def to_stored(self, linear: Tensor) -> Tensor:
        """g: linear light in [0, 1] -> stored values."""
        if isinstance(self.curve, str):
            return linear_to_srgb(linear)
        if isinstance(self.curve, tuple):
            return _interpolate(linear, torch.linspace(0, 1, len(self.curve)).tolist(), self.curve)
        return linear.clamp_min(0) ** (1 / self.curve)


SRGB = Response()


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=16)
def _table(response: Response, device: torch.device) -> Tensor:
    """Linear light of the 256 levels, made once: on a GPU it is ten launches, for each frame that is looked up."""
    with torch.inference_mode(False):
        return response.to_linear(torch.arange(256, device=device) / 255)


def _interpolate(x: Tensor, xs: Sequence[float], ys: Sequence[float]) -> Tensor:
    """Piecewise linear through the points (xs, ys), xs rising from 0 to 1."""
    knots, values = (torch.tensor(v, device=x.device, dtype=x.dtype) for v in (xs, ys))
    right = torch.searchsorted(knots, x.contiguous()).clamp(1, len(knots) - 1)
    left = right - 1
    share = (x - knots[left]) / (knots[right] - knots[left])
    return values[left] + share * (values[right] - values[left])
