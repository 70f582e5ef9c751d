"""Blur, in linear light: bursts averaged, stills shaken (in depth too) or vibrating, defocus, lamps above white."""

from __future__ import annotations

import math
from functools import reduce
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.degrade.draw import uniform
from lednet.degrade.response import SRGB, Response

SATURATED = 0.95
"""Linear values from here to 1 are taken for clipped highlights."""


KERNEL_SIDES = (25, 49)
"""Sides of kernels, in pixels. One holds paths that are shorter than it; longer ones would be cut, and so shifted."""


def kernel_side(longest_px: float) -> int:
    """The side of kernels for paths of up to so many pixels. Raises ValueError beyond the largest."""
    for side in KERNEL_SIDES:
        if longest_px <= side - 1:
            return side
    raise ValueError(f"no kernel holds a path of {longest_px:g} pixels; {KERNEL_SIDES[-1] - 1} are the most")


def restore_highlights(linear: Tensor, boost: Tensor) -> Tensor:
    """Undo the sensor's clipping: pixels whose every channel is saturated become up to `boost` times white.

    A lamp is far brighter than white; only when its true light is averaged does it smear into a bright streak.
    """
    least = reduce(torch.minimum, torch.split(linear, 1, -3))  # several times as fast as a minimum along an axis
    clipped = ((least - SATURATED) / (1 - SATURATED)).clamp(0, 1)
    return linear * (1 + (boost - 1) * clipped)


def average_burst(frames: Tensor, boost: Tensor, response: Response = SRGB) -> Tensor:
    """Eq. 1 without the outer g: consecutive stored frames [t, 3, h, w] -> their mean in linear light, [3, h, w].

    Frames are values in [0, 1], or uint8 levels, which is faster. The mean is not clipped: highlights may exceed 1.
    """
    return restore_highlights(response.to_linear(frames), boost).mean(0)


def shake_kernels(length_px: Tensor, generator: torch.Generator, size: int = 25, points: int = 64) -> Tensor:
    """Point-spread functions [n, size, size] of random camera shake, each of sum one and centred on its own mean.

    The path is a random walk in direction (hand-held and vibrating cameras alike) of the given lengths [n], in
    pixels, splatted bilinearly; the share of the exposure spent in a pixel is the kernel's value there.
    """
    return _splat(shake_paths(length_px, generator, points), size)


def shake_paths(length_px: Tensor, generator: torch.Generator, points: int = 64) -> Tensor:
    """Random walks [n, points, 2] of (y, x) offsets in pixels, of the given lengths [n], about their own means."""
    n, device = length_px.shape[0], length_px.device
    turn = torch.randn((n, points), generator=generator, device=device) * uniform((0.02, 0.6), (n, 1), generator)
    angle = uniform((0, 2 * math.pi), (n, 1), generator) + turn.cumsum(1)
    step = (length_px / points)[:, None]
    path = torch.stack([(angle.sin() * step).cumsum(1), (angle.cos() * step).cumsum(1)], -1)
    return path - path.mean(1, keepdim=True)


def blur_in_depth(linear: Tensor, near: Tensor, path: Tensor, parallax: Tensor, size: int = 25) -> Tensor:
    """A moving camera's blur of images [n, 3, h, w] in which some things are near and others far.

    Near ones, where `near` [n, 1, h, w] is 1, move along `path` [n, points, 2] (y, x), far ones by 1 - `parallax` [n]
    of it: at 1 they stay in place, beyond it they move the other way, as what moves by itself does. What is near covers
    what is far while it moves, so its cover is blurred with it, and an even image stays even.
    """
    kernels, far_kernels = _splat(path, size), _splat(path * (1 - parallax)[:, None, None], size)
    return blur(linear * near, kernels) + blur(linear, far_kernels) * (1 - blur(near, kernels))


def draw_nearness(linear: Tensor, generator: torch.Generator) -> Tensor:
    """Which parts of images [n, c, h, w] are near, 1, and far, 0: [n, 1, h, w].

    A few regions across, their borders anything from a gentle slope to an edge.
    """
    n, _, height, width = linear.shape
    coarse = torch.randn((n, 1, 4, 4), generator=generator, device=linear.device)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return (smooth * uniform((1.0, 30.0), (n, 1, 1, 1), generator)).sigmoid()


def _splat(path: Tensor, size: int) -> Tensor:
    """Paths [n, points, 2] of (y, x) offsets in pixels -> kernels [n, size, size]: bilinear splats of equal shares."""
    n, points, _ = path.shape
    path = (path + size // 2).clamp(0, size - 1.001)
    base = path.floor()
    frac = path - base
    kernel = torch.zeros((n, size * size), device=path.device)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (frac[..., 0] if dy else 1 - frac[..., 0]) * (frac[..., 1] if dx else 1 - frac[..., 1])
            index = ((base[..., 0] + dy) * size + base[..., 1] + dx).long()
            kernel.scatter_add_(1, index, weight)
    return (kernel / points).reshape(n, size, size)


def vibration_kernels(amplitude_px: Tensor, generator: torch.Generator, size: int = 25, points: int = 64) -> Tensor:
    """Point-spread functions [n, size, size] of a camera that swings to and fro along a line; each sums to one.

    A sinusoid spends most of its time at its ends, so a point becomes two, joined by a faint line: what ground
    vibration does to a camera on a pole. Amplitudes [n] in pixels, directions random.
    """
    n, device = amplitude_px.shape[0], amplitude_px.device
    angle = uniform((0, math.pi), (n, 1), generator)
    swing = torch.linspace(0, 2 * math.pi, points + 1, device=device)[None, :-1].sin() * amplitude_px[:, None]
    return _splat(torch.stack([angle.sin() * swing, angle.cos() * swing], -1), size)


def defocus_kernels(radius_px: Tensor, size: int = 25) -> Tensor:
    """Discs [n, size, size] of the given radii [n] in pixels, edges anti-aliased; each sums to one."""
    offset = torch.arange(size, device=radius_px.device) - size // 2
    distance = (offset[:, None] ** 2 + offset[None] ** 2).float().sqrt()
    disc = (radius_px[:, None, None] + 0.5 - distance).clamp(0, 1)
    return disc / disc.sum((1, 2), keepdim=True)


def blur(linear: Tensor, kernels: Tensor) -> Tensor:
    """Blur each linear-light image [n, c, h, w] by its own kernel [n, k, k]; borders are reflected.

    By correlation: a kernel says where a pixel's light comes from, the mirror of where a point's goes. Where an image
    is too small to be reflected, its edge is repeated. Computed by Fourier transforms, four to ten times as fast as
    sums over kernels of these sides; what rounding leaves below zero counts as no light.
    """
    if linear.dtype in (torch.float16, torch.bfloat16):
        linear = linear.float()  # in which there are Fourier transforms
    height, width = linear.shape[2:]
    k = kernels.shape[-1]
    mode = "reflect" if k // 2 < min(height, width) else "replicate"
    padded = F.pad(linear, (k // 2,) * 4, mode=mode)
    sides = [fast_side(side) for side in padded.shape[2:]]
    spectrum = torch.fft.rfft2(padded, sides) * torch.fft.rfft2(kernels[:, None], sides).conj()
    blurred: Tensor = torch.fft.irfft2(spectrum, sides)
    return blurred[:, :, :height, :width].clamp_min(0)


def fast_side(least: int) -> int:
    """The next number from `least` up that Fourier transforms are fast for: a product of twos, threes and fives."""
    return next(n for n in count(least) if 30 ** n.bit_length() % n == 0)
