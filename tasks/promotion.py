"""Whether a new model is better than the old one: paired figures, their confidence interval, and a decision in words.

Both models restore the same pairs of held-out clips, so that only the models differ. The interval is a two-stage
bootstrap (clips are drawn again, then the pairs within each), since pairs of one clip are alike; where clips are few,
Student's t over them is the wider. Not covered: where clips come from (`tasks.footage`), promoting (`tasks.models`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit

from lednet.clips import Clip, PairSampler
from lednet.metrics import EQUAL_DB, psnr
from lednet.model import LEDNet
from tasks.settings import LearnSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClipFigures:
    """PSNR (dB) of both models on the same pairs of one held-out clip."""

    clip: str
    camera: str
    new_camera: bool
    """Whether the old model knows none of the camera's clips."""
    old: tuple[float, ...]
    new: tuple[float, ...]


@dataclass(frozen=True)
class Difference:
    """Mean gain in PSNR (dB) of the new model over the old one, with the bounds of its confidence interval."""

    of: str
    """A clip's or camera's name, or `all clips`."""
    old: float
    new: float
    mean: float
    low: float
    high: float

    @property
    def digits(self) -> int:
        """After the point, to show these figures with: all four where two would make nothing of a gain, or hide it."""
        hidden = any(figure and not round(figure, 2) for figure in (self.mean, self.low, self.high))
        return 4 if hidden or (self.mean and round(self.old, 2) == round(self.new, 2)) else 2

    def __str__(self) -> str:
        """`pit-north: +0.52 dB (0.31 to 0.74)`."""
        d = self.digits
        return f"{self.of}: {self.mean:+.{d}f} dB ({self.low:.{d}f} to {self.high:.{d}f})"


@dataclass(frozen=True)
class Decision:
    """Whether a new model is promoted, and why."""

    promote: bool
    why: str
    old: str
    """Version that it was compared with."""
    new: str
    overall: Difference | None
    cameras: tuple[Difference, ...] = ()
    clips: tuple[Difference, ...] = ()

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All of them: overall, of cameras, of clips."""
        return (*([self.overall] if self.overall else []), *self.cameras, *self.clips)

    @property
    def untried(self) -> str:
        """Why, in the words of one that nothing comes of."""
        verb, _, reason = self.why.partition(": ")
        return f"would {'not ' if verb == 'kept' else ''}be promoted: {reason}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def judge(
    old: LEDNet, new: LEDNet, clips: Iterable[tuple[Clip, str, bool]], settings: LearnSettings
) -> list[ClipFigures]:
    """Figures of both models on held-out clips, given as (clip, camera, whether that camera is new)."""
    return [
        ClipFigures(clip.name, camera, fresh, *_paired_psnr(old, new, clip, settings)) for clip, camera, fresh in clips
    ]


def _paired_psnr(
    old: LEDNet, new: LEDNet, clip: Clip, settings: LearnSettings
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for model in (old, new):
        model.eval()
    device = next(old.parameters()).device
    clip = replace(clip, frames=clip.frames.to(device))
    figures: tuple[list[float], list[float]] = ([], [])
    for name, recipe in settings.find_recipes().items():
        # Seeded by the clip's name: the same pairs at every retraining, whatever other clips there are.
        generator = torch.Generator(device).manual_seed(zlib.crc32(f"{clip.name} {name}".encode()))
        sampler = PairSampler([clip], [recipe], generator)
        for _ in range(settings.judged_pairs):
            dark, label = sampler.sample(1, settings.judged_crop, settings.judged_crop)
            with torch.inference_mode():
                for model, values in zip((old, new), figures, strict=True):
                    values.append(psnr(model(dark).clamp(0, 1), label).clamp(max=EQUAL_DB).item())
    return tuple(figures[0]), tuple(figures[1])


def difference(of: str, figures: Sequence[ClipFigures], settings: LearnSettings) -> Difference:
    """Mean over clips of the mean gain over pairs, with its two-stage bootstrap interval (percentiles)."""
    gains = [np.subtract(f.new, f.old) for f in figures]
    generator = np.random.default_rng(settings.seed)
    means = np.array([_resample(gains, generator) for _ in range(settings.resamples)])
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))

    def mean(select: Callable[[ClipFigures], tuple[float, ...]]) -> float:
        return round(float(np.mean([np.mean(select(f)) for f in figures])), 4)

    old, new = mean(lambda f: f.old), mean(lambda f: f.new)
    centre = float(np.mean([g.mean() for g in gains]))
    return Difference(of, old, new, round(centre, 4), round(float(low), 4), round(float(high), 4))


def _resample(gains: Sequence[Floats], generator: np.random.Generator) -> float:
    drawn = [gains[i] for i in generator.integers(len(gains), size=len(gains))]
    return float(np.mean([g[generator.integers(g.size, size=g.size)].mean() for g in drawn]))


def _certain(of: Difference, figures: Sequence[ClipFigures], settings: LearnSettings) -> Difference:
    """A difference with an interval that few clips can be trusted with: a bootstrap's, which is too narrow then, or
    Student's t over the clips' means, whichever bound is farther."""
    clips = len(figures)
    if clips < 2:
        return of
    deviation = float(np.std([np.mean(np.subtract(f.new, f.old)) for f in figures], ddof=1))
    half = float(stdtrit(clips - 1, (1 + settings.confidence) / 2)) * deviation / math.sqrt(clips)
    return replace(of, low=min(of.low, round(of.mean - half, 4)), high=max(of.high, round(of.mean + half, 4)))


def decide(old: str, new: str, figures: Sequence[ClipFigures], settings: LearnSettings) -> Decision:
    """Promote only what is better beyond its interval, with no clip and no camera clearly worse.

    The interval over all clips allows for their number. Those of a camera and a clip don't: narrow ones keep the old
    model the sooner.
    """
    unknown = [f.clip for f in figures if not np.isfinite([*f.old, *f.new]).all()]
    if unknown:
        why = f"kept: figures on {', '.join(unknown)} are no numbers; train anew, or take these clips away"
        return Decision(False, why, old, new, None)
    if len(figures) < settings.least_clips:
        return Decision(
            False, f"kept: {len(figures)} held-out clips, fewer than {settings.least_clips}; film more",
            old, new, difference("all clips", figures, settings) if figures else None,
        )  # fmt: skip
    overall = _certain(difference("all clips", figures, settings), figures, settings)
    names = sorted({f.camera for f in figures})
    cameras = tuple(difference(name, [f for f in figures if f.camera == name], settings) for name in names)
    clips = tuple(difference(f.clip, [f], settings) for f in figures)
    worse = [d for d in (*cameras, *clips) if d.high < 0 and d.mean < -settings.tolerance_db]
    better = not worse and overall.low > 0 and overall.mean >= settings.least_gain_db
    if worse:
        why = f"kept: clearly worse on {'; '.join(map(str, worse))}"
    elif overall.low <= 0:
        why = f"kept: not better beyond its {settings.confidence:.0%} interval, {overall}"
    elif overall.mean < settings.least_gain_db:
        # With all its digits: a gain that is just too small would be rounded to what it lacks.
        why = f"kept: better, but by less than {settings.least_gain_db} dB ({overall.mean:g}), {overall}"
    else:
        fresh = sorted({f.camera for f in figures if f.new_camera})
        known = f", new cameras among them: {', '.join(fresh)}" if fresh else ""
        why = f"promoted: better, {overall}, on {len(clips)} held-out clips of {len(cameras)} cameras{known}"
    return Decision(better, why, old, new, overall, cameras, clips)
