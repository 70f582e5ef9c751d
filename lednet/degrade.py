"""Synthesis of degraded footage: blur, dust, darkness, sensor noise and compression, on batches of torch tensors.

Covers each physical step as one function, and the recipes that compose them. Not covered: where sharp frames come
from (`lednet.clips`) and how pairs reach the network (`lednet.train`).

Images are float tensors [n, 3, h, w] in [0, 1], sRGB unless a name says linear. Every random draw comes from the
`generator` that is passed in, which lives on the images' device: equal seeds give equal pairs.

Source: Guo et al. 2024, section Data: eq. 1 (blur in linear light), eq. 2 (darkness). The constants that the paper
leaves open are the fields of `Recipe`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """One way to degrade. A pair of numbers is a range drawn from uniformly, once an image."""

    name: str
    gain: Range
    """c of eq. 2."""
    gamma: Range
    """gamma of eq. 2."""
    shake_px: Range = (0.0, 0.0)
    """Length of the camera-shake path of a frame that brings no burst of its own, in pixels."""
    highlight_boost: Range = (1.0, 1.0)
    """How many times white a clipped lamp really was."""
    dust: Range = (0.0, 0.0)
    """Share of the light that the thickest dust takes away."""
    dust_probability: float = 0.0
    shot_noise: Range = (0.0, 0.0)
    """a in var = a * x + b**2, linear light."""
    read_noise: Range = (0.0, 0.0)
    """b in var = a * x + b**2, linear light."""
    jpeg_quality: Range = (100.0, 100.0)
    jpeg_probability: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, for a card."""
        return asdict(self)


RECIPES: dict[str, Recipe] = {
    # Eqs. 1 and 2 with constants, no noise: what the paper's text describes.
    "paper": Recipe("paper", gain=(0.6, 0.6), gamma=(2.2, 2.2), shake_px=(3.0, 18.0), highlight_boost=(1.0, 6.0)),
    # What a real camera does at night.
    "night": Recipe(
        "night",
        gain=(0.4, 1.0),
        gamma=(1.6, 3.2),
        shake_px=(0.0, 16.0),
        highlight_boost=(1.0, 8.0),
        dust=(0.05, 0.4),
        dust_probability=0.4,
        shot_noise=(0.0002, 0.008),
        read_noise=(0.0002, 0.005),
        jpeg_quality=(40.0, 95.0),
        jpeg_probability=0.7,
    ),
}

SATURATED = 0.95
"""Linear values from here to 1 are taken for clipped highlights."""


def srgb_to_linear(x: Tensor) -> Tensor:
    """sRGB electro-optical transfer function, IEC 61966-2-1: the g^-1 of eq. 1."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Inverse of `srgb_to_linear`: the g of eq. 1."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def uniform(bounds: Range, shape: tuple[int, ...], generator: torch.Generator, log: bool = False) -> Tensor:
    """Uniform draws from `bounds` on the generator's device; log-uniform with `log` if bounds are above zero."""
    log = log and bounds[0] > 0
    low, high = (math.log(b) for b in bounds) if log else bounds
    draws = torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low
    return draws.exp() if log else draws


def restore_highlights(linear: Tensor, boost: Tensor) -> Tensor:
    """Undo the sensor's clipping: pixels whose every channel is saturated become up to `boost` times white.

    A lamp is far brighter than white; only when its true light is averaged does it smear into a bright streak.
    """
    clipped = ((linear.amin(-3, keepdim=True) - SATURATED) / (1 - SATURATED)).clamp(0, 1)
    return linear * (1 + (boost - 1) * clipped)


def average_burst(frames: Tensor, boost: Tensor) -> Tensor:
    """Eq. 1 without the outer g: consecutive sRGB frames [t, 3, h, w] -> their mean in linear light, [3, h, w].

    Not clipped: highlights may exceed 1.
    """
    return restore_highlights(srgb_to_linear(frames), boost).mean(0)


def shake_kernels(length_px: Tensor, generator: torch.Generator, size: int = 25, points: int = 64) -> Tensor:
    """Point-spread functions [n, size, size] of random camera shake, each of sum one and centred on its own mean.

    The path is a random walk in direction (hand-held and vibrating cameras alike) of the given lengths [n], in
    pixels, splatted bilinearly; the share of the exposure spent in a pixel is the kernel's value there.
    """
    n, device = length_px.shape[0], length_px.device
    turn = torch.randn((n, points), generator=generator, device=device) * uniform((0.02, 0.6), (n, 1), generator)
    angle = uniform((0, 2 * math.pi), (n, 1), generator) + turn.cumsum(1)
    step = (length_px / points)[:, None]
    path = torch.stack([(angle.sin() * step).cumsum(1), (angle.cos() * step).cumsum(1)], -1)
    path = path - path.mean(1, keepdim=True) + size // 2
    path = path.clamp(0, size - 1.001)
    base = path.floor()
    frac = path - base
    kernel = torch.zeros((n, size * size), device=device)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (frac[..., 0] if dy else 1 - frac[..., 0]) * (frac[..., 1] if dx else 1 - frac[..., 1])
            index = ((base[..., 0] + dy) * size + base[..., 1] + dx).long()
            kernel.scatter_add_(1, index, weight)
    return (kernel / points).reshape(n, size, size)


def blur(linear: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each linear-light image [n, 3, h, w] with its own kernel [n, k, k]; borders are reflected."""
    n, channels, height, width = linear.shape
    k = kernels.shape[-1]
    padded = F.pad(linear, (k // 2,) * 4, mode="reflect").reshape(1, n * channels, height + k - 1, width + k - 1)
    weight = kernels.repeat_interleave(channels, 0)[:, None]
    return F.conv2d(padded, weight, groups=n * channels).reshape(n, channels, height, width)


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


def darken(x: Tensor, gain: Tensor, gamma: Tensor) -> Tensor:
    """Eq. 2: c * I ** gamma, on sRGB values in [0, 1]; `gain` is c, both [n]."""
    return gain[:, None, None, None] * x.clamp_min(1e-6) ** gamma[:, None, None, None]


def add_sensor_noise(x: Tensor, shot: Tensor, read: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson-Gaussian noise of variance shot * I + read**2 in linear light (Foi et al., TIP 2008), on sRGB x."""
    linear = srgb_to_linear(x)
    sigma = (shot[:, None, None, None] * linear + read[:, None, None, None] ** 2).sqrt()
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return linear_to_srgb((linear + sigma * noise).clamp(0, 1))


_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def _dct_matrix(device: torch.device) -> Tensor:
    k = torch.arange(8, device=device, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _quantise_blocks(plane: Tensor, table: Tensor) -> Tensor:
    """Quantise the 8x8 DCT coefficients of planes [n, h, w] (multiples of 8) by tables [n, 8, 8]."""
    n, height, width = plane.shape
    basis = _dct_matrix(plane.device)
    blocks = plane.reshape(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    table = table[:, None, None]
    coefficients = (basis @ blocks @ basis.T / table).round() * table
    return (basis.T @ coefficients @ basis).transpose(2, 3).reshape(n, height, width)


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What JPEG does to sRGB images: YCbCr 4:2:0, 8x8 DCT, quantised by the standard's tables (ITU-T T.81, annex K).

    Args:
        quality: [n], 1 to 100, in the Independent JPEG Group's scale.
    """
    _, _, height, width = x.shape
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    luma, chroma = (
        ((torch.tensor(t, device=x.device, dtype=torch.float32) * scale + 50) / 100).floor().clamp(1, 255)
        for t in (_LUMA_TABLE, _CHROMA_TABLE)
    )
    to_ycbcr = torch.tensor(_TO_YCBCR, device=x.device)
    padded = F.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate") * 255
    ycbcr = torch.einsum("ij,njhw->nihw", to_ycbcr, padded)
    y = _quantise_blocks(ycbcr[:, 0] - 128, luma) + 128
    half = F.avg_pool2d(ycbcr[:, 1:], 2)
    half = _quantise_blocks(half.flatten(0, 1), chroma.repeat_interleave(2, 0)).reshape(half.shape)
    cbcr = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycbcr), torch.cat([y[:, None], cbcr], 1)) / 255
    return rgb[:, :, :height, :width].clamp(0, 1)


def make_night(linear: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Blurred linear light (highlights may exceed 1) -> degraded sRGB: dust, clipping, darkness, noise, compression."""
    n = linear.shape[0]
    if recipe.dust_probability > 0:
        dusty = (uniform((0, 1), (n,), generator) < recipe.dust_probability).float()
        linear = add_dust(linear, dusty * uniform(recipe.dust, (n,), generator), generator)
    x = linear_to_srgb(linear.clamp(0, 1))
    x = darken(x, uniform(recipe.gain, (n,), generator), uniform(recipe.gamma, (n,), generator))
    if max(recipe.shot_noise[1], recipe.read_noise[1]) > 0:
        shot = uniform(recipe.shot_noise, (n,), generator, log=True)
        x = add_sensor_noise(x, shot, uniform(recipe.read_noise, (n,), generator, log=True), generator)
    if recipe.jpeg_probability > 0:
        compressed = jpeg(x, uniform(recipe.jpeg_quality, (n,), generator))
        chosen = uniform((0, 1), (n, 1, 1, 1), generator) < recipe.jpeg_probability
        x = torch.where(chosen, compressed, x)
    return (x * 255).round() / 255


def degrade(sharp: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Sharp sRGB stills -> degraded sRGB of the same shape: highlights restored, shaken, then `make_night`."""
    n = sharp.shape[0]
    boost = uniform(recipe.highlight_boost, (n, 1, 1, 1), generator)
    linear = restore_highlights(srgb_to_linear(sharp), boost)
    kernels = shake_kernels(uniform(recipe.shake_px, (n,), generator), generator)
    return make_night(blur(linear, kernels), recipe, generator)
