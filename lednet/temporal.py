"""Steady video: what a restoration may remember of earlier frames, so that what stands still does not flicker.

Noise is what flickers, so it is averaged away before the network sees it: where a place has not moved, the network is
shown the mean of its last frames. A place has moved where it differs from that mean by more than the noise, which is
measured in every frame, tone by tone. The statistics that the tone curve is made of are averaged as well.

What is shown is averaged as square roots, near to what the tone curve makes of it: the curve is learnt from noisy
frames, and the mean of noisy values, opened by the curve, is brighter than the mean of the opened values. Not covered:
what is restored how (`lednet.restorer`, `lednet.video`), when a memory has to begin anew at a shard (`tasks.steady`),
figures of flicker (`lednet.steadiness`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.light import TONES as LIGHT_TONES
from lednet.light import tone_statistics
from lednet.model import SIDE_SCALE, SMALLEST


@dataclass(frozen=True)
class TemporalSettings:
    """The numbers that a memory may be given others of. docs/video.md says how they were found."""

    revision: int = 2
    """Of what is done with these numbers and the constants below: counted up where the same ones begin to give other
    frames. They are part of a night's run key, so that no night is finished by another memory than it was begun by."""
    longest_gap_s: float = 0.5
    """After a longer pause between frames nothing is remembered: one frame a second is restored frame by frame."""
    memory: int = 16
    """Frames that a still place is averaged over at most."""
    tone_memory: int = 16
    """Frames that the tone curve's statistics are averaged over at most."""
    still_below: float = 1.8
    moved_above: float = 2.8
    """Difference from the mean, in units of the noise, up to which a place is still and from which it has moved."""
    floor: float = 1 / 255
    """Smaller noise counts as this: stored levels are whole."""
    same_light: float = 0.15
    """Share of the histogram that may move from tone to tone at once; more is another scene or light."""
    light_step: float = 0.01
    """The whole frame may be so much brighter or darker than the mean before the mean follows it at once."""
    warm_up: int = 8
    """Frames before a stretch that are looked at, and not restored, so that its first ones are steady too."""


BLOCK = 4
"""Pixels a side of the blocks that movement is looked for in."""

TONES = 8
"""Bins of brightness that each have a noise of their own."""

LIGHT_TONES_TOGETHER = 4
"""Bins of the tone curve's histogram that are compared as one: noise moves much between neighbours."""

SHARE = 0.5
"""The noise of a tone is what this share of its blocks stays below: those that have not moved, or are flat."""

DARK, BRIGHT = 2 / 255, 0.9
"""Blocks between these tell how the light has changed: darker ones are noise, brighter ones are cut off."""

LEAST_TOLD = 0.5
"""So large a share of the blocks has to tell it."""

LEAST_STILL = 0.5
"""Where the tones tell another scene or light and less than this share of the frame is still, it is another scene."""


class Memory:
    """What is remembered of one camera's earlier frames. Equal frames from a new memory on give equal results."""

    def __init__(self, settings: TemporalSettings | None = None) -> None:
        self.settings = settings or TemporalSettings()
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next frame is taken as it is."""
        self._mean: Tensor | None = None
        self._roots: Tensor | None = None
        self._age: Tensor | None = None
        self._tones: Tensor | None = None
        self._tone_age: Tensor | None = None
        self._time_s: float | None = None

    def take(self, x: Tensor, time_s: float) -> tuple[Tensor, Tensor]:
        """The next frame, [1, 3, h, w] in [0, 1], and its time in seconds.

        Returns:
            The frame with its noise averaged away where it stands still, [1, 3, h, w], fp32; and the statistics of the
            tone curve, [1, STATISTICS_CHANNELS, 1, 1].
        """
        x = x.float()
        pause = None if self._time_s is None else time_s - self._time_s
        resized = self._mean is not None and self._mean.shape != x.shape
        if resized or pause is None or not 0 < pause <= self.settings.longest_gap_s:
            self.forget()
        self._time_s = time_s
        tones = self._steady_tones(frame_tones(x))
        if self._mean is None or self._roots is None or self._age is None:
            self._mean, self._roots, self._age = x, x.sqrt(), torch.ones_like(block_means(x[:, :1]))
            return x, tones
        light = light_beside(x, self._mean, self.settings)
        self._mean, self._roots = (self._mean * light).clamp_(0, 1), (self._roots * light.sqrt()).clamp_(0, 1)
        still = stillness(x, self._mean, self._age, self.settings)
        # Detail that differs everywhere may pass for noise, so that some of a new scene would be taken for still.
        cut = (self._tone_age == 1) & (still.mean() < LEAST_STILL)
        still = torch.where(cut, torch.zeros_like(still), still)
        self._age = still * self._age.clamp_max(self.settings.memory - 1) + 1
        share = F.interpolate(1 / self._age, size=x.shape[2:], mode="bilinear", align_corners=False)
        self._mean, self._roots = torch.lerp(self._mean, x, share), torch.lerp(self._roots, x.sqrt(), share)
        return self._roots.square(), tones

    def _steady_tones(self, tones: Tensor) -> Tensor:
        if self._tones is None or self._tone_age is None:
            self._tones, self._tone_age = tones, torch.ones((), device=tones.device)
            return tones
        # Half the sum over each channel's histogram, which comes to one, is the share that has moved.
        difference = (tones - self._tones)[:, : 3 * LIGHT_TONES].reshape(-1, LIGHT_TONES_TOGETHER).sum(1)
        apart = difference.abs().sum() / (2 * 3)
        same = (1 - apart / self.settings.same_light).clamp_min(0)
        self._tone_age = same * self._tone_age.clamp_max(self.settings.tone_memory - 1) + 1
        self._tones = torch.lerp(self._tones, tones, 1 / self._tone_age)
        return self._tones


def light_beside(x: Tensor, mean: Tensor, settings: TemporalSettings) -> Tensor:
    """How many times as bright as the mean [1, 3, h, w] the frame x is, where exposure or light have changed over all
    of it; else 1. A scalar.

    By the median ratio of blocks, which things that move do not sway; so slow a change that each step is lost in the
    noise would otherwise be followed late. 1 too where most blocks are too dark or too bright to tell: in a black
    scene a lamp that moves would otherwise decide for all of it.
    """
    now, before = (block_means(v).mean(1) for v in (x, mean))
    told = (before > DARK) & (before < BRIGHT)
    light = torch.where(told, now / before.clamp_min(DARK), torch.nan).flatten().nanmedian().nan_to_num(1)
    changed = ((light - 1).abs() > settings.light_step) & (told.float().mean() >= LEAST_TOLD)
    return torch.where(changed, light, torch.ones_like(light))


def stillness(x: Tensor, mean: Tensor, age: Tensor, settings: TemporalSettings) -> Tensor:
    """How still each block of x [1, 3, h, w] is beside the mean of earlier frames: 1 still, 0 moved, [1, 1, h/4, w/4].

    Two differences are looked at: of pixels, which sees texture move, and of blocks' means, which sees faint things
    move. Each is compared with the noise of its tone.
    """
    mean_blocks, x_blocks = block_means(mean), block_means(x)
    tone = mean_blocks.mean(1, keepdim=True)
    softer = (1 + 1 / age).sqrt()
    worst = torch.zeros_like(tone)
    fine = block_means((x - mean).abs())
    fine_over_space = block_means((x - _smooth(_smooth(x))).abs())
    coarse = (x_blocks - mean_blocks).abs()
    coarse_over_space = (x_blocks - _smooth(x_blocks)).abs()
    for over_time, over_space in ((fine, fine_over_space), (coarse, coarse_over_space)):
        over_time = _smooth(over_time.mean(1, keepdim=True)) / softer
        over_space = _smooth(over_space.mean(1, keepdim=True))
        noise = torch.minimum(noise_of_tones(over_time, tone), noise_of_tones(over_space, tone))
        worst = torch.maximum(worst, over_time / noise.clamp_min(settings.floor))
    moved = (worst - settings.still_below) / (settings.moved_above - settings.still_below)
    return 1 - F.max_pool2d(moved.clamp(0, 1), 3, 1, 1)


def noise_of_tones(level: Tensor, tone: Tensor) -> Tensor:
    """For each block the `level` that half of the blocks of its `tone` stay below; all are [1, 1, h, w], from 0 to 1.

    Sorted once for all tones, which stand two apart: in doubles, so that a level keeps all its digits.
    """
    place = (tone.flatten().sqrt() * (TONES - 1)).round().long()
    bins = torch.arange(TONES, device=level.device)
    count = (place == bins.unsqueeze(1)).sum(1)
    ordered = _sorted(2 * place.double() + level.flatten())
    rank = SHARE * (count - 1).clamp_min(0)
    first, last = count.cumsum(0) - count, len(ordered) - 1
    below, above = (ordered[(first + at.long()).clamp_max(last)] for at in (rank.floor(), rank.ceil()))
    quantile = torch.lerp(below, above, (rank - rank.floor()).double()) - 2 * bins
    quantile = torch.where(count > 0, quantile, 0).to(level.dtype)
    return quantile[place].reshape(level.shape)


def _sorted(x: Tensor) -> Tensor:
    """[n] in rising order; on a CPU by NumPy, whose sort uses vector instructions and takes a sixth of the time."""
    return torch.from_numpy(np.sort(x.numpy())) if x.device.type == "cpu" else x.sort().values


def frame_tones(x: Tensor) -> Tensor:
    """The statistics that `LEDNet.restore` would take of this frame by itself, padded as there."""
    height, width = x.shape[2:]
    x = F.pad(x, (0, max(0, SMALLEST - width), 0, max(0, SMALLEST - height)), mode="replicate")
    x = F.pad(x, (0, -x.shape[3] % SIDE_SCALE, 0, -x.shape[2] % SIDE_SCALE), mode="reflect")
    return tone_statistics(x).mean((2, 3), keepdim=True)


def block_means(x: Tensor) -> Tensor:
    """Means of squares of `BLOCK` pixels a side, of which the last may be smaller: [n, c, h, w] -> [n, c, h/4, w/4].

    As sums where all are whole, in a fifth of the time of `F.avg_pool2d`.
    """
    if x.shape[2] % BLOCK or x.shape[3] % BLOCK:
        return F.avg_pool2d(x, BLOCK, ceil_mode=True)
    for axis in (2, 3):
        first, second, *others = torch.unflatten(x, axis, (-1, BLOCK)).unbind(axis + 1)
        x = first + second
        for other in others:
            x += other
    return x / BLOCK**2


def _smooth(x: Tensor) -> Tensor:
    """Mean of the 3x3 values around each, of those there are: as sums, which takes less time than `F.avg_pool2d`."""
    for axis in (2, 3):
        count = torch.full((x.shape[axis],), 3.0, device=x.device)
        count[0] -= 1
        count[-1] -= 1
        total = x.clone()
        total.narrow(axis, 1, x.shape[axis] - 1).add_(x.narrow(axis, 0, x.shape[axis] - 1))
        total.narrow(axis, 0, x.shape[axis] - 1).add_(x.narrow(axis, 1, x.shape[axis] - 1))
        x = total / (count if axis == 3 else count.unsqueeze(1))
    return x
