"""The light of a whole frame: from the frame's tones and their noise, one tone curve.

Covers the statistics and the curve. Not covered: what differs from place to place in a frame (`lednet.model`).

Attention is local, so this is the one part that knows how dark the night is. It sees the frame's histogram and how
noisy each tone is, and nothing of what is shown: few scenes are enough to train it, and none can be learnt by heart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
