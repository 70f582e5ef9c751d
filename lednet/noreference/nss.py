"""Natural scene statistics: normalised luminance, its neighbours' products, and the fit of their distribution.

What NIQE (Mittal, Soundararajan, Bovik, IEEE SPL 2013) and BRISQUE (Mittal, Moorthy, Bovik, IEEE TIP 2012) share. Luma
is in 0 to 255, as in the papers. Not covered: what the two make of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]

WINDOW, SIGMA = 7, 7 / 6
"""The local mean's Gaussian window, in pixels."""

SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""(down, right) to the neighbour that a value is multiplied with: horizontal, vertical and both diagonals."""

_ALPHA = np.arange(0.2, 10.0005, 0.001)
"""Shapes that a distribution is looked for among; between them the fit is interpolated."""


class Shape(NamedTuple):
    """An asymmetric generalised Gaussian's parameters; arrays over the leading axes. NaN where nothing varies."""

    alpha: Array
    left: Array
    """Root mean square of the values below zero."""
    right: Array
    """Root mean square of the values above zero."""
    scale: Array
    """sqrt(G(1/alpha) / G(3/alpha)): from a root mean square to the distribution's beta."""
    lean: Array
    """G(2/alpha) / G(1/alpha): times the difference of the betas, the distribution's mean."""


def luma(frame: NDArray[np.uint8]) -> Array:
    """uint8 [h, w, 3] sRGB -> float64 [h, w], BT.601 luma in whole steps of 0 to 255. Raises ValueError for others."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a frame is uint8 [h, w, 3] sRGB, not {frame.dtype} {list(frame.shape)}; convert it first")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)).astype(np.float64)


def normalised(gray: Array, border: int) -> tuple[Array, Array]:
    """Mean-subtracted, contrast-normalised luma (BRISQUE eqs. 1 to 3, C = 1), and the local deviation; each [h, w].

    Args:
        gray: float64 luma [h, w].
        border: OpenCV's border type.
    """
    # In float64: the difference of squares of up to 65025 has to show deviations far below one level.
    mean = np.asarray(cv2.GaussianBlur(gray, (WINDOW, WINDOW), SIGMA, borderType=border))
    square = np.asarray(cv2.GaussianBlur(gray * gray, (WINDOW, WINDOW), SIGMA, borderType=border))
    deviation = np.sqrt(np.abs(square - mean * mean))
    return (gray - mean) / (deviation + 1), deviation


def _gamma(x: Array) -> Array:
    values: Array = torch.from_numpy(np.asarray(x, np.float64)).lgamma().numpy()
    return values


def _ratio(alpha: Array) -> Array:
    """G(2/alpha)^2 / (G(1/alpha) G(3/alpha)), rising with alpha (BRISQUE, section III.A)."""
    values: Array = np.exp(2 * _gamma(2 / alpha) - _gamma(1 / alpha) - _gamma(3 / alpha))
    return values


def fit(values: Array, zero_is_right: bool) -> Shape:
    """Asymmetric generalised Gaussian by moments (Lasmar, Stitou, Berthoumieu, ICIP 2009) over the last two axes.

    Args:
        values: [..., h, w].
        zero_is_right: whether zeros count as values above zero (BRISQUE, eq. 18) or as neither (NIQE as released).
    """
    below = values < 0
    above = ~below if zero_is_right else values > 0
    squares = values * values
    count = values.shape[-2] * values.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt((squares * below).sum((-2, -1)) / below.sum((-2, -1)))
        right = np.sqrt((squares * above).sum((-2, -1)) / above.sum((-2, -1)))
        skew = left / right
        flatness = (np.abs(values).sum((-2, -1)) / count) ** 2 / (squares.sum((-2, -1)) / count)
        wanted = flatness * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    alpha = np.interp(wanted, _ratio(_ALPHA), _ALPHA)
    one = _gamma(1 / alpha)
    return Shape(alpha, left, right, np.exp((one - _gamma(3 / alpha)) / 2), np.exp(_gamma(2 / alpha) - one))
