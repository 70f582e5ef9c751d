"""FLOL with its published weights.

Source: Benito et al., "FLOL: fast baselines for real-world low-light enhancement", 2025 (arXiv 2501.09718). First the
picture's Fourier amplitudes are divided by a predicted map, which brightens it; then a small U-Net cleans the result:
at a quarter of each side, features of a frequency branch and of a convolutional one are mixed by a map of the local
signal-to-noise ratio.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.baselines.published import Published

MULTIPLE = 8
LIGHT_BLOCKS, FREQUENCY_BLOCKS, AMPLITUDE_BLOCKS = 6, 4, 3
MASK_SIGMA = 1.5
LUMA = (0.299, 0.587, 0.114)


def _channel_norm(weights: Published, x: Tensor, name: str) -> Tensor:
    return weights.layer_norm(x.permute(0, 2, 3, 1), name, 1e-6).permute(0, 3, 1, 2)


def _two(weights: Published, x: Tensor, name: str) -> Tensor:
    return weights.conv(F.leaky_relu(weights.conv(x, f"{name}.0"), 0.1), f"{name}.2")


def _frequency_block(weights: Published, x: Tensor, name: str) -> Tensor:
    """Amplitude and phase of the features are each processed by pointwise layers; with a residual."""
    spectrum = torch.fft.rfft2(weights.conv(x, f"{name}.fpre"))
    amplitude = _two(weights, spectrum.abs(), f"{name}.process1")
    phase = _two(weights, spectrum.angle(), f"{name}.process2")
    spectrum = torch.complex(amplitude * phase.cos(), amplitude * phase.sin())
    changed: Tensor = torch.fft.irfft2(spectrum, s=x.shape[-2:])
    return changed + x


def _amplitude_block(weights: Published, x: Tensor, name: str) -> Tensor:
    x = weights.conv(weights.conv(_channel_norm(weights, x, f"{name}.norm1"), f"{name}.conv1"), f"{name}.conv2")
    one, other = x.chunk(2, 1)
    x = _frequency_block(weights, weights.conv(one, f"{name}.sge.dwc") * other, f"{name}.fatt")
    x = weights.conv(x, f"{name}.conv3")
    x = x + x * weights[f"{name}.beta"]
    one, other = weights.conv(_channel_norm(weights, x, f"{name}.norm2"), f"{name}.conv4").chunk(2, 1)
    return x + weights.conv(one * other, f"{name}.conv5") * weights[f"{name}.gamma"]


def amplify(weights: Published, x: Tensor) -> Tensor:
    """The first stage: frames [n, 3, h, w], even sides, with their Fourier amplitudes divided by the predicted map."""
    features = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    features = weights.conv(features, "AmpNet.0.conv_init")
    for i in range(1, AMPLITUDE_BLOCKS + 1):
        features = _amplitude_block(weights, features, f"AmpNet.0.conv{i}")
    features = weights.conv(features, "AmpNet.0.conv_out")
    divisor = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False).sigmoid()
    lit: Tensor = torch.fft.ifft2(torch.fft.fft2(x) / (divisor + 1e-8)).real
    return lit


def signal_to_noise(x: Tensor) -> Tensor:
    """How clean each place of frames [n, 3, h, w] is, [n, 1, h, w], 1 at the cleanest of the frame."""
    taps = torch.exp(-0.5 * (torch.arange(-2, 3, device=x.device, dtype=x.dtype) / MASK_SIGMA) ** 2)
    taps = taps / taps.sum()
    grey = (x * torch.tensor(LUMA, device=x.device, dtype=x.dtype).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
    smooth = F.conv2d(F.pad(grey, (2, 2, 2, 2), mode="reflect"), (taps[:, None] * taps)[None, None])
    ratio = smooth / ((grey - smooth).abs() + 1e-4)
    return (ratio / (ratio.amax((2, 3), keepdim=True) + 1e-4)).clamp(0, 1)


def _residual_block(weights: Published, x: Tensor, name: str) -> Tensor:
    return x + weights.conv(weights.conv(x, f"{name}.conv1").relu(), f"{name}.conv2")


def _middle(weights: Published, features: Tensor, lit: Tensor) -> Tensor:
    """Frequency features where it is noisy, convolutional ones where it is clean."""
    clean = features
    for i in range(LIGHT_BLOCKS):
        clean = _residual_block(weights, clean, f"recon_trunk_light.{i}")
    noisy = features
    for i in range(FREQUENCY_BLOCKS):
        name = f"transformer.block.{i}"
        noisy = noisy + weights.conv(_frequency_block(weights, noisy, f"{name}.frequency_process"), f"{name}.cat")
    mask = F.interpolate(signal_to_noise(lit), size=features.shape[-2:], mode="nearest")
    return (features + noisy) * (1 - mask) + clean * mask


def clean(weights: Published, x: Tensor, lit: Tensor) -> Tensor:
    """The second stage: the input and its brightened version, sides multiples of 4 -> restored frames."""

    def act(features: Tensor) -> Tensor:
        return F.leaky_relu(features, 0.1)

    full = act(weights.conv(torch.cat([lit, x], 1), "conv_first_1"))
    half = act(weights.conv(full, "conv_first_2", stride=2))
    quarter = act(weights.conv(half, "conv_first_3", stride=2))
    features = _residual_block(weights, quarter, "feature_extraction.0")
    features = _residual_block(weights, _middle(weights, features, lit), "recon_trunk.0")
    for name, skip in (("upconv1", quarter), ("upconv2", half)):
        features = act(F.pixel_shuffle(weights.conv(torch.cat([features, skip], 1), name), 2))
    features = act(weights.conv(torch.cat([features, full], 1), "HRconv"))
    return weights.conv(features, "conv_last") + x


def restore_flol(weights: Published, x: Tensor) -> Tensor:
    """sRGB [n, 3, h, w] in [0, 1] -> the same. Sides are padded to multiples of 8 and cut again."""
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="reflect")
    return clean(weights, x, amplify(weights, x))[:, :, :height, :width].clamp(0, 1)
