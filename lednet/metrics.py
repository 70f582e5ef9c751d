"""Full-reference image metrics as batched torch functions: PSNR, SSIM, MAE.

All take restored and reference images [n, 3, h, w] in [0, 1] (data range 1, sRGB, RGB channels) and return [n], one
value an image. No rescaling to the reference's mean is ever done. LPIPS has its own file, `lednet.lpips_metric`.

What they can't see: PSNR and MAE only average error, so an even haze and a broken edge may cost the same, and a shift
by one pixel costs much; SSIM sees structure but forgives smooth changes of brightness and colour. None sees meaning.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SSIM_SIGMA, SSIM_RADIUS, SSIM_K1, SSIM_K2 = 1.5, 5, 0.01, 0.03
"""Wang et al., IEEE TIP 2004: 11-tap Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03."""

_C1, _C2 = 2 * SSIM_K1**2, 2 * SSIM_K2**2
"""Twice the paper's constants, since sums and differences give twice its terms."""

EQUAL_DB = 100.0
"""PSNR that equal pictures count with where many are averaged: one infinite value would hide all others."""

STRIP_ROWS = 32
"""Rows of a frame that SSIM works on at a time on a CPU: few enough that all its maps stay in the cache."""


def _pair(image: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    if image.shape != reference.shape or image.dim() != 4:
        raise ValueError(
            f"metrics compare images of one shape [n, 3, h, w], not {list(image.shape)} with {list(reference.shape)}; "
            "resize or crop first"
        )
    if torch.uint8 in (image.dtype, reference.dtype):
        raise ValueError(f"metrics compare images in [0, 1], not {image.dtype} with {reference.dtype}; divide by 255")
    return image.float(), reference.float()


def mse(image: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error, [n]."""
    x, y = _pair(image, reference)
    # As norms, in one pass over the difference: faster than its squares' mean. Of rows: those of whole frames are
    # summed too coarsely.
    rows: Tensor = torch.linalg.vector_norm(x - y, dim=3)
    return rows.square().sum((1, 2)) / x[0].numel()


def mae(image: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute error, [n], in [0, 1]."""
    x, y = _pair(image, reference)
    return (x - y).abs().mean((1, 2, 3))


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, [n]; infinite for equal images."""
    return -10 * mse(image, reference).log10()


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity, [n], at most 1: Gaussian window, population covariance, mean over the channels.

    Wang et al., IEEE TIP 2004, eq. 13. Only windows that lie wholly inside the image count. Equal to scikit-image's
    `structural_similarity(..., data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    channel_axis=...)`; its defaults (a flat 7-pixel window, sample covariance) give other figures.

    Images on a CPU that need no gradient are filtered by OpenCV, in strips and on as many threads as torch has; all
    others by torch.

    Raises:
        ValueError: if a side is under 11 px.
    """
    x, y = _pair(image, reference)
    n, channels, height, width = x.shape
    if min(height, width) <= 2 * SSIM_RADIUS:
        raise ValueError(f"SSIM needs sides of at least {2 * SSIM_RADIUS + 1} px, not {width}x{height}")
    x, y = x.reshape(n * channels, height, width), y.reshape(n * channels, height, width)
    if x.is_cpu and not (x.requires_grad or y.requires_grad):
        with ThreadPoolExecutor(min(torch.get_num_threads(), n * channels)) as pool:
            each = torch.tensor(list(pool.map(_plane_ssim, x.numpy(), y.numpy())), dtype=torch.float32)
    else:
        each = _torch_ssim(x.unsqueeze(1), y.unsqueeze(1))
    return each.reshape(n, channels).mean(1)


def _taps() -> NDArray[Any]:
    taps = np.exp(-0.5 * (np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1) / SSIM_SIGMA) ** 2)
    window: NDArray[Any] = (taps / taps.sum()).astype(np.float32)
    return window


def _window(planes: Tensor) -> Tensor:
    taps = torch.from_numpy(_taps()).to(planes.device)
    return F.conv2d(F.conv2d(planes, taps.reshape(1, 1, -1, 1)), taps.reshape(1, 1, 1, -1))


def _torch_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean SSIM [k] of planes [k, 1, h, w]; `_plane_ssim` says why sum and difference."""
    both, apart, both_squared, apart_squared = (_window(t) for t in (x + y, x - y, (x + y) ** 2, (x - y) ** 2))
    products, squares = both**2 - apart**2, both**2 + apart**2
    luminance = (products + _C1) / (squares + _C1)
    structure = (both_squared - apart_squared - products + _C2) / (both_squared + apart_squared - squares + _C2)
    return (luminance * structure).mean((1, 2, 3))


def _plane_ssim(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Mean SSIM of one plane [h, w], in place wherever possible: the memory's speed bounds it.

    (x + y)^2 - (x - y)^2 = 4xy and (x + y)^2 + (x - y)^2 = 2(x^2 + y^2): four filtered planes tell what takes five
    (x, y, x^2, y^2, xy) otherwise.
    """
    taps, inside = _taps(), slice(SSIM_RADIUS, -SSIM_RADIUS)
    last, wide, total = x.shape[0] - 2 * SSIM_RADIUS, x.shape[1] - 2 * SSIM_RADIUS, 0.0

    def window(plane: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(cv2.sepFilter2D(plane, -1, taps, taps))[inside, inside]

    for top in range(0, last, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, last) + 2 * SSIM_RADIUS)
        both, apart = x[rows] + y[rows], x[rows] - y[rows]
        both_mean, apart_mean = window(both), window(apart)
        both *= both
        apart *= apart
        both_squared, apart_squared = window(both), window(apart)
        both_mean *= both_mean
        apart_mean *= apart_mean
        products, squares = both_mean - apart_mean, both_mean + apart_mean
        covariance, variance = both_squared - apart_squared, both_squared + apart_squared
        covariance -= products
        variance -= squares
        for term, constant in ((products, _C1), (squares, _C1), (covariance, _C2), (variance, _C2)):
            term += constant
        products *= covariance
        squares *= variance
        products /= squares
        total += float(products.sum(dtype=np.float64))
    return float(total / (last * wide))
