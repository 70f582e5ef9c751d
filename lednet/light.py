"""The light of a whole frame: from the frame's tones and their noise, one tone curve.

Covers the statistics and the curve. Not covered: what differs from place to place in a frame (`lednet.model`).

Attention is local, so this is the one part that knows how dark the night is. It sees the frame's histogram and how
noisy each tone is, and nothing of what is shown: few scenes are enough to train it, and none can be learnt by heart.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

LIFT_GAMMA = 2.2
"""Exponent of the curve x ** (1 / LIFT_GAMMA) that opens the shadows; the learnt curve starts from it."""

DARKEST = 0.1 / 255
"""Darker values count as this: powers below one have an infinite slope at zero."""

TONES = 24
"""Bins of the histogram, over the lifted values 0 to 1."""

NOISE_TONES = 8
"""Bins that the noise is told apart by: how much of it there is in the dark and in the light."""

SAMPLE_STRIDE = 4
"""One pixel in so many each way is looked at; a frame has plenty."""

LEVELS = 256
"""Values that a channel of a uint8 frame takes."""

STATISTICS_CHANNELS = 3 * (TONES + 2 * NOISE_TONES)


def lift(x: Tensor) -> Tensor:
    """The fixed shadow-opening curve x ** (1 / 2.2) of an sRGB image in [0, 1]."""
    return x.clamp_min(DARKEST).pow(1 / LIFT_GAMMA)


def apply_curve(x: Tensor, gain: Tensor, power: Tensor) -> Tensor:
    """gain * x ** power of [n, 3, h, w] in [0, 1], computed in fp32; gain and power are [n, 3, 1, 1]."""
    return (gain * x.float().clamp_min(DARKEST).pow(power)).to(x.dtype)


def _memberships(values: Tensor, bins: int) -> Tensor:
    """How much each of [n, 3, h, w] in [0, 1] belongs to each bin: triangles that sum to one, [n, 3, bins, h, w]."""
    centres = torch.linspace(0, 1, bins, device=values.device).reshape(1, 1, bins, 1, 1)
    return (1 - (values.unsqueeze(2) - centres).abs() * (bins - 1)).clamp_min(0)


def tone_statistics(x: Tensor) -> Tensor:
    """Per sampled pixel, what a frame's statistics average: [n, 3, h, w] -> [n, STATISTICS_CHANNELS, h/4, w/4], fp32.

    Histogram memberships of the lifted value; memberships of coarser bins, alone and times the local deviation (the
    distance to the mean of the 3x3 neighbourhood).
    """
    lifted = lift(x.float())
    value = lifted[:, :, 1::SAMPLE_STRIDE, 1::SAMPLE_STRIDE]
    deviation = (value - F.avg_pool2d(lifted, 3, SAMPLE_STRIDE)).abs()
    coarse = _memberships(value, NOISE_TONES)
    parts = (_memberships(value, TONES), coarse, coarse * deviation.unsqueeze(2))
    return torch.cat([p.flatten(1, 2) for p in parts], 1)


def level_tables(gain: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
    """What the 256 levels of a uint8 frame are as values, and under a curve of [1, 3, 1, 1]: two tensors [3, 256]."""
    values = _levels().expand(1, 3, 1, LEVELS)
    return values[0, :, 0], apply_curve(values, gain, power)[0, :, 0]


def level_statistics(frame: NDArray[np.uint8], core: tuple[slice, slice] | None = None) -> Tensor:
    """Averages of `tone_statistics` over a uint8 [h, w, 3] frame, or over its part `core` (rows, columns in pixels).

    Memberships depend on the level alone, so levels are counted and each membership is computed once a level. Returns
    [1, STATISTICS_CHANNELS, 1, 1]; height and width must be multiples of `SAMPLE_STRIDE`.
    """
    table = lift(_levels())
    lifted = np.asarray(cv2.LUT(frame, table.numpy().reshape(1, LEVELS)), np.float32)
    centres = (slice(1, None, SAMPLE_STRIDE), slice(1, None, SAMPLE_STRIDE))
    deviation = np.abs(lifted[centres] - np.asarray(cv2.blur(lifted, (3, 3)))[centres])
    sampled = frame[centres]
    if core is not None:
        part = tuple(slice(s.start // SAMPLE_STRIDE, -(-s.stop // SAMPLE_STRIDE)) for s in core)
        sampled, deviation = sampled[part], deviation[part]
    counts, noise = np.empty((3, LEVELS)), np.empty((3, LEVELS))
    for c in range(3):
        of = sampled[..., c].ravel()
        counts[c] = np.bincount(of, minlength=LEVELS)
        noise[c] = np.bincount(of, deviation[..., c].ravel(), LEVELS)
    share, noise_share = (torch.from_numpy(x / sampled[..., 0].size) for x in (counts, noise))
    fine, coarse = (_memberships(table, bins)[0, 0, :, 0].double().t() for bins in (TONES, NOISE_TONES))
    parts = (share @ fine, share @ coarse, noise_share @ coarse)
    return torch.cat([p.flatten() for p in parts]).float().reshape(1, -1, 1, 1)


def _levels() -> Tensor:
    return torch.arange(LEVELS).float().reshape(1, 1, 1, LEVELS) / 255


class ToneCurve(nn.Module):
    """Predicts a frame's tone curve, gain * x ** power, one gain and one power a channel, from `tone_statistics`.

    The curve is the inverse of the darkness model c * I ** gamma (Guo et al. 2024, eq. 2): the brightest tone tells c,
    the distribution of tones gamma, and the noise how far the sensor's gain was turned up.

    Args:
        hidden: width of the two hidden layers.
        dropout: share of hidden units dropped in training; few training scenes are told apart all too easily.
    """

    def __init__(self, hidden: int = 128, dropout: float = 0.5) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(3 * (TONES + NOISE_TONES), hidden, 1), nn.GELU(), nn.Dropout(dropout),
            nn.Conv2d(hidden, hidden, 1), nn.GELU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.curve = nn.Conv2d(hidden, 6, 1)
        nn.init.zeros_(self.curve.weight)
        assert self.curve.bias is not None
        nn.init.zeros_(self.curve.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Frame averages of `tone_statistics`, [n, STATISTICS_CHANNELS, 1, 1] -> gain, power: [n, 3, 1, 1], fp32."""
        histogram, share, noise = torch.split(pooled, [3 * TONES, 3 * NOISE_TONES, 3 * NOISE_TONES], 1)
        # Scaled so that both parts come to about one.
        told = torch.cat([4 * histogram, 10 * noise / (share + 1e-3)], 1)
        gain, power = self.curve(self.mlp(told.to(self.curve.weight.dtype))).float().chunk(2, 1)
        return gain.exp(), power.exp() / LIFT_GAMMA
