"""Full-reference image metrics as batched torch functions: PSNR, SSIM, MAE.

All take restored and reference images [n, 3, h, w] in [0, 1] (data range 1, sRGB, RGB channels) and return [n], one
value an image. No rescaling to the reference's mean is ever done. LPIPS is not covered here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_SIGMA, SSIM_TRUNCATE, SSIM_K1, SSIM_K2 = 1.5, 3.5, 0.01, 0.03
"""Wang et al., IEEE TIP 2004: 11-tap Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03."""


def mse(image: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error, [n]."""
    return (image.float() - reference.float()).square().mean((1, 2, 3))


def mae(image: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute error, [n], in [0, 1]."""
    return (image.float() - reference.float()).abs().mean((1, 2, 3))


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, [n]; infinite for equal images."""
    return -10 * mse(image, reference).log10()


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity, [n], at most 1: Gaussian window, population covariance, mean over the channels.

    Only windows that lie wholly inside the image count, as in Wang et al.'s own code and scikit-image with
    `gaussian_weights=True, use_sample_covariance=False`. Sides must be at least 11 px.
    """
    radius = int(SSIM_TRUNCATE * SSIM_SIGMA + 0.5)
    taps = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    taps = torch.exp(-0.5 * (taps / SSIM_SIGMA) ** 2)
    taps = taps / taps.sum()
    n, channels, height, width = image.shape
    x = image.float().reshape(n * channels, 1, height, width)
    y = reference.float().reshape(n * channels, 1, height, width)
    stack = torch.cat([x, y, x * x, y * y, x * y])
    stack = F.conv2d(F.conv2d(stack, taps.reshape(1, 1, -1, 1)), taps.reshape(1, 1, 1, -1))
    mean_x, mean_y, xx, yy, xy = stack.chunk(5)
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return (luminance * structure).mean((1, 2, 3)).reshape(n, channels).mean(1)
