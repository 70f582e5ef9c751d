"""The light of a whole frame: from the frame's tones, colours, contrasts and noise, one tone curve.

Covers the statistics and the curve. Not covered: what differs from place to place in a frame (`lednet.model`).

Attention is local, so this is the one part that knows how dark the night is. It sees how bright, colourful and unlike
their neighbours the frame's parts are and how noisy each tone is, and nothing of what is shown: few scenes are enough
to train it, and none can be learnt by heart.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LIFT_GAMMA = 2.2
"""Exponent of the curve x ** (1 / LIFT_GAMMA) that opens the shadows; the learnt curve starts from it."""

DARKEST = 0.1 / 255
"""Darker values count as this: powers below one have an infinite slope at zero."""

SAMPLE_STRIDE = 4
"""Tones are those of squares of so many pixels a side; the noise is looked at once in each."""

TONES = 64
"""Bins of the histogram, over the lifted values 0 to 1."""

QUANTILES = (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
"""Where the curve reads the histogram: the extremes tell lamps and black, the middle how much light there is."""

NOISE_TONES = 4
"""Bins of tones that the noise is told apart by: how much of it there is in the dark and in the light."""

DEVIATIONS = 11
"""Bins of the noise, over the logarithm of a pixel's distance to its neighbours' mean."""

LARGEST_DEVIATION = 30
"""In 8-bit levels; what deviates more counts as this."""

NOISE_FIGURES = NOISE_TONES * DEVIATIONS
"""The share of each deviation within each tone."""

LIGHT_SQUARE = 8
"""Light is compared by the means of squares of so many pixels a side: noise and blur hardly reach them."""

LOOK_TONES = 4
"""Bins of tones that colours and contrasts are told apart by."""

LOOKS = 8
"""Bins of a colour's or a contrast's strength."""

MOST_COLOUR, MOST_CONTRAST = 1.6, 2.5
"""A colour is the logarithm of a square's strongest channel over its weakest, a contrast that of a square's grey over
its neighbour's. Darkness I ** gamma makes either gamma times as large: they tell how strong it was. More counts as
this."""

COLOUR_FLOOR = 2 / 255
"""Added to both channels: what colour a square of a level or less has is chance."""

LOOK_FIGURES = 2 * LOOK_TONES * LOOKS
"""The share of each strength within each tone: of the colours, then of the contrasts."""

STATISTICS_CHANNELS = 3 * TONES + LOOK_FIGURES + NOISE_FIGURES

FIGURES = 3 * len(QUANTILES) + LOOK_FIGURES + NOISE_FIGURES
"""What a frame comes to: the quantiles of each channel, how colourful and contrasty it is, then the noise figures."""

LEAST_LIGHT = 1 / 255
"""What is darker counts as this when light is compared."""

FLATNESS = 0.01
"""Variance of the logarithm below which a picture is too flat to tell a power from a gain; then it is a gain."""

MOST_CORRECTION = 3.0
"""The largest power of a correction, and one over the smallest."""


def lift(x: Tensor) -> Tensor:
    """The fixed shadow-opening curve x ** (1 / 2.2) of an sRGB image in [0, 1]."""
    return x.clamp_min(DARKEST).pow(1 / LIFT_GAMMA)


def apply_curve(x: Tensor, gain: Tensor, power: Tensor, offset: Tensor) -> Tensor:
    """gain * x ** power - offset of [n, 3, h, w] in [0, 1], computed in fp32; all three are [n, 3, 1, 1]."""
    return (gain * x.float().clamp_min(DARKEST).pow(power) - offset).to(x.dtype)


def as_bright_as(exposed: Tensor, label: Tensor) -> Tensor:
    """An exposed frame brought to its label's light: both [n, 3, h, w], sides from 8 px up -> the same, fp32.

    By the power and gain of each channel under which the means of its squares come nearest, in least squares over their
    logarithms, weighted so that errors count as they would between the values themselves. What differs from place to
    place, blur and noise above all, stays.
    """
    e, seen = exposed.float(), F.avg_pool2d(exposed.float(), LIGHT_SQUARE).clamp_min(LEAST_LIGHT)
    wanted = F.avg_pool2d(label.float(), LIGHT_SQUARE).clamp_min(LEAST_LIGHT)
    weight = wanted.square() / wanted.square().sum((2, 3), keepdim=True)
    x, y = seen.log(), wanted.log()
    mean_x, mean_y = ((weight * v).sum((2, 3), keepdim=True) for v in (x, y))
    together = (weight * (x - mean_x) * (y - mean_y)).sum((2, 3), keepdim=True) + FLATNESS
    power = together / ((weight * (x - mean_x).square()).sum((2, 3), keepdim=True) + FLATNESS)
    power = power.clamp(1 / MOST_CORRECTION, MOST_CORRECTION)
    return e * (mean_y - power * mean_x).exp() * e.clamp_min(LEAST_LIGHT).pow(power - 1)


def _place(values: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Where values in [0, 1] fall among bins: the bin below each, and its distance from there to the next, 0 to 1."""
    place = values * (bins - 1)
    below = place.floor().clamp(0, bins - 2)
    return below.long(), place - below


def _joint_shares(tone: Tensor, strength: Tensor, tones: int, strengths: int) -> Tensor:
    """Joint histogram of values in [0, 1], [n, p] each and paired: shares of all, [n, tones * strengths]."""
    (row, row_rest), (column, column_rest) = _place(tone, tones), _place(strength, strengths)
    joint = torch.zeros((tone.shape[0], tones * strengths), device=tone.device)
    for i, row_share in enumerate((1 - row_rest, row_rest)):
        for j, column_share in enumerate((1 - column_rest, column_rest)):
            joint.scatter_add_(1, (row + i) * strengths + column + j, row_share * column_share)
    return joint / max(1, tone.shape[1])


def _strength(share: Tensor) -> Tensor:
    """The square root, which tells the small ones apart; the slope stays finite at zero."""
    return share.clamp(1e-6, 1.0).sqrt()  # two floats: torch's export to ONNX refuses one with an integer


def colours(squares: Tensor) -> tuple[Tensor, Tensor]:
    """Of squares [n, 3, h, w] in [0, 1]: the lifted grey and the strength of the colour, each [n, h * w] in [0, 1]."""
    ratio = (squares.amax(1) + COLOUR_FLOOR) / (squares.amin(1) + COLOUR_FLOOR)
    return lift(squares.mean(1)).flatten(1), _strength(ratio.log() / MOST_COLOUR).flatten(1)


def contrasts(squares: Tensor) -> tuple[Tensor, Tensor]:
    """Of squares [n, 3, h, w] in [0, 1]: the lifted grey of the darker of two neighbours and the strength of their
    contrast, each [n, pairs] in [0, 1].

    Neighbours stand beside or above each other within two by two squares, so that parts of a frame have the same pairs
    as the whole.
    """
    grey = squares.mean(1)[:, : squares.shape[2] // 2 * 2, : squares.shape[3] // 2 * 2]
    one = torch.cat([grey[:, 0::2].flatten(1), grey[:, :, 0::2].flatten(1)], 1)
    other = torch.cat([grey[:, 1::2].flatten(1), grey[:, :, 1::2].flatten(1)], 1)
    apart = (one.clamp_min(LEAST_LIGHT).log() - other.clamp_min(LEAST_LIGHT).log()).abs()
    return lift(torch.minimum(one, other)), _strength(apart / MOST_CONTRAST)


def tone_statistics(x: Tensor) -> Tensor:
    """What a frame's tone curve is made from: [n, 3, h, w] in [0, 1] -> [n, STATISTICS_CHANNELS, 1, 1], fp32.

    The histogram of each channel over squares' lifted means; joint ones of tone and colour, and of tone and contrast,
    over larger squares; then of the grey, one of tone and deviation, a pixel's distance to the mean of the 3x3 pixels
    around it. A value between two bins counts for both, by nearness. All are shares of the frame, so that a frame's
    statistics are the mean of its parts', where those are whole blocks of 16 pixels. Sides from 4 px up; what is left
    of the last squares is not looked at.
    """
    whole = [side // SAMPLE_STRIDE * SAMPLE_STRIDE for side in x.shape[2:]]
    x = x[:, :, : whole[0], : whole[1]].float()
    squares = F.avg_pool2d(x, SAMPLE_STRIDE)
    below, rest = _place(lift(squares).flatten(2), TONES)
    histogram = torch.zeros((*below.shape[:2], TONES), device=x.device)
    histogram.scatter_add_(2, below, 1 - rest).scatter_add_(2, below + 1, rest)

    larger = LIGHT_SQUARE // SAMPLE_STRIDE
    large = F.avg_pool2d(squares, larger) if min(squares.shape[2:]) >= larger else squares[:, :, :0, :0]
    looks = [_joint_shares(*look(large), LOOK_TONES, LOOKS) for look in (colours, contrasts)]

    grey = x.mean(1, keepdim=True)
    value = grey[:, :, 1::SAMPLE_STRIDE, 1::SAMPLE_STRIDE]
    deviation = 255 * (value - F.avg_pool2d(grey, 3, SAMPLE_STRIDE)).abs()
    scaled = (torch.log1p(deviation) / math.log1p(LARGEST_DEVIATION)).clamp_max(1)
    noise = _joint_shares(lift(value).flatten(1), scaled.flatten(1), NOISE_TONES, DEVIATIONS)
    return torch.cat([histogram.flatten(1) / below.shape[2], *looks, noise], 1)[:, :, None, None]


def quantiles(histogram: Tensor) -> Tensor:
    """Histograms [n, 3, TONES] of lifted values, each summing to one -> sRGB at QUANTILES: [n, 3, len(QUANTILES)]."""
    below = histogram.cumsum(2) - histogram / 2
    # Filled in on the device: a tensor copied there from ordinary memory would wait for all that is under way.
    wanted = torch.stack([torch.full((), q, device=histogram.device) for q in QUANTILES])
    wanted = wanted.expand(*histogram.shape[:2], -1).contiguous()
    upper = torch.searchsorted(below.contiguous(), wanted).clamp(1, TONES - 1)
    left, right = below.gather(2, upper - 1), below.gather(2, upper)
    between = ((wanted - left) / (right - left).clamp_min(1e-6)).clamp(0, 1)
    return ((upper - 1 + between) / (TONES - 1)) ** LIFT_GAMMA


def within_tones(joint: Tensor, tones: int) -> Tensor:
    """A joint histogram [n, tones * strengths, 1, 1] -> the share of each strength within its tone, [n, the same]."""
    joint = joint.reshape(joint.shape[0], tones, -1)
    return (joint / (joint.sum(2, keepdim=True) + 1e-3)).flatten(1)


class Standardise(nn.Module):
    """Brings figures to mean 0 and deviation 1 by what was seen in training so far, and cuts outliers.

    Unlike a batch norm it never uses the batch's own mean: a batch is degraded by one recipe, which must be told.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, channels: int, least: float = 0.01, most: float = 5.0) -> None:
        super().__init__()
        self.least, self.most = least, most
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("variance", torch.ones(1, channels, 1, 1))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, 1, 1], n from 2 up in training -> the same, within -most to most."""
        if self.training:
            self.seen += 1
            step = self.mean.lerp(x.mean(0, keepdim=True), 1 / self.seen)
            spread = ((x - step) * (x - self.mean)).mean(0, keepdim=True)
            self.variance.lerp_(spread, 1 / self.seen)
            self.mean.copy_(step)
        spread = (self.variance.float() + self.least**2).sqrt()
        return ((x - self.mean.float()) / spread).clamp(-self.most, self.most)


class ToneCurve(nn.Module):
    """Predicts a frame's tone curve, gain * x ** power - offset, one of each a channel, from `tone_statistics`.

    The curve is the inverse of the darkness model c * I ** gamma (Guo et al. 2024, eq. 2): the brightest tone tells c,
    the distribution of tones, colours and contrasts gamma; the offset takes away the veil of dust and, where the light
    can't be told, keeps to the middle of what it may be.

    Args:
        hidden: width of the two hidden layers.
        dropout: share of hidden units dropped in training; few training scenes are told apart all too easily.
    """

    def __init__(self, hidden: int = 128, dropout: float = 0.5) -> None:
        super().__init__()
        self.scale = Standardise(FIGURES)
        self.mlp = nn.Sequential(
            nn.Conv2d(FIGURES, hidden, 1), nn.GELU(), nn.Dropout(dropout),
            nn.Conv2d(hidden, hidden, 1), nn.GELU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.curve = nn.Conv2d(hidden, 9, 1)
        nn.init.zeros_(self.curve.weight)
        assert self.curve.bias is not None
        nn.init.zeros_(self.curve.bias)

    def tie(self) -> None:
        """Make the three channels' curves one, their mean: darkness takes all channels alike.

        Trained apart, from few scenes, they learn those scenes' colours; unknown ones are exposed better by one curve
        (docs/experiments.md).
        """
        with torch.no_grad():
            for weights in (self.curve.weight, self.curve.bias):
                assert weights is not None
                together = weights.reshape(3, 3, -1)  # gain, power, offset; channels
                together.copy_(together.mean(1, keepdim=True).expand_as(together))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Curves of before 30 November 2026 knew no colours and contrasts; here those weigh nothing in them."""
        begin = 3 * len(QUANTILES)
        fill = {"scale.mean": 0.0, "scale.variance": 1.0, "mlp.0.weight": 0.0}
        for name, value in fill.items():
            known = state_dict.get(prefix + name)
            if isinstance(known, Tensor) and known.ndim == 4 and known.shape[1] == FIGURES - LOOK_FIGURES:
                unknown = known.new_full((known.shape[0], LOOK_FIGURES, 1, 1), value)
                state_dict[prefix + name] = torch.cat([known[:, :begin], unknown, known[:, begin:]], 1)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def figures(self, statistics: Tensor) -> Tensor:
        """`tone_statistics` -> what they come to, standardised: [n, FIGURES, 1, 1]."""
        histogram, looks, noise = torch.split(statistics.float(), [3 * TONES, LOOK_FIGURES, NOISE_FIGURES], 1)
        tones = quantiles(histogram.reshape(-1, 3, TONES)).flatten(1)
        told = [tones, within_tones(looks, 2 * LOOK_TONES), within_tones(noise, NOISE_TONES)]
        return self.scale(torch.cat(told, 1)[:, :, None, None]).to(self.curve.weight.dtype)  # type: ignore[no-any-return]

    def forward(self, figures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `figures` yields -> gain, power, offset: [n, 3, 1, 1], fp32."""
        gain, power, offset = self.curve(self.mlp(figures)).float().chunk(3, 1)
        return gain.exp(), power.exp() / LIFT_GAMMA, 0.3 * offset
