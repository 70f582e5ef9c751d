"""The settings of a training run, and what follows from them: crop stages and learning rate.

Covers what is stored in a checkpoint's card as `settings`. Not covered: the run itself (`lednet.trainer`), the recipes
(`lednet.degrade`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from lednet.clips import Clip
from lednet.degrade import RECIPES, find_recipe
from lednet.losses import LossWeights
from lednet.model import SIZES


@dataclass(frozen=True)
class Stage:
    """One leg of the growing crops."""

    until: float
    """Share of all steps at which the next stage begins."""
    height: int
    width: int
    batch: int


@dataclass(frozen=True)
class LightSettings:
    """The tone curve's own training, before all else."""

    steps: int = 600
    """0 keeps the curve that the run starts from."""
    views: tuple[tuple[int, int, int], ...] = ((16, 144, 256), (12, 216, 384), (8, 288, 512), (4, 432, 768))
    """Whole frames of a batch, their height and width in pixels, from step to step: what is told of contrasts and noise
    differs from size to size, and so would the curve."""
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    square: int = 8
    """The curve is judged by the means of squares of so many pixels a side: noise and blur, which it can't undo and the
    rest of the network can, would make it shy of opening the shadows."""
    noise_floor: float = 1e-3
    """Squared error that no curve can undo; added before the logarithm."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that steers a training run; stored in the card."""

    size: str = "small"
    init: str = ""
    """sha256 of the weights that the run starts from; random ones by default."""
    recipes: tuple[str, ...] = ("night", "paper")
    """They share each batch evenly; a name that stands here more often has more of it."""
    light: LightSettings = field(default_factory=LightSettings)
    steps: int = 4_000
    """After the light's."""
    seed: int = 1
    learning_rate: float = 8e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    clip_norm: float = 1.0
    ema: float = 0.999
    loss: LossWeights = field(default_factory=LossWeights)
    stages: tuple[Stage, ...] = (
        Stage(0.80, 128, 128, 4),
        Stage(0.95, 128, 224, 2),
        Stage(1.00, 176, 320, 2),
    )
    """Many small steps learn most for their time. Crops grow and get wide at the end, so that the network meets long
    axes and whole-frame statistics in training; shrunk to a quarter, the last ones hold a whole 720p frame."""
    batch_scale: int = 1
    """Multiplies every stage's batch; for a GPU, whose memory holds far more."""
    crop_scale: float = 1.0
    """Multiplies the sides of every stage's crops; 0.5 where a CPU trains. Batches stay: unpaired methods need
    more than one scene."""
    compile: bool = False
    """Let torch.compile write the network's kernels. Worth its minutes at the start where they are saved again."""
    frames_per_clip: int = 60
    high_speed_frames: int = 300
    bursts_per_clip: int = 4
    """Bursts taken from each clip below 120 fps, with frames put between its own; 0: stills only."""
    between: int = 6
    """Parts that a frame's time is cut into for them."""
    high_speed_weight: int = 18
    """How often a high-speed clip is drawn beside the bursts of a slow one: it alone shows how things really move."""
    still_weight: int = 3
    """As much for the stills of a slow clip: shaken, they show more blur than its bursts, which hold little motion."""
    photo_share: float = 0.5
    """Share of all draws that are photographs. Each is drawn as often as any other and every video at least once: few
    photographs stay below it."""
    held_out_share: float = 0.2
    """Share of the clips kept for validation; by clip, never by frame."""
    validation_pairs: int = 24
    validation_crop: int = 256
    gamma_pairs: int = 96
    """Views of whole training frames that the fixed gamma, which the network stands beside, is fitted on."""
    gamma_view: tuple[int, int] = (72, 128)
    """Their height and width."""
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"unknown size {self.size!r}; name one of {', '.join(SIZES)}")
        if not self.recipes:
            raise ValueError(f"no recipe named; name some of {', '.join(RECIPES)}")
        for name in self.recipes:
            find_recipe(name)
        for name, count in (("steps", self.steps), ("light steps", self.light.steps)):
            if count < 0:
                raise ValueError(f"{name} must not be below 0, but are {count}")
        above = ("all_steps", "batch_scale", "crop_scale", "learning_rate", "save_every")
        for name, number in ((name, getattr(self, name)) for name in above):
            if not 0 < number < math.inf:
                raise ValueError(f"{name} must be above 0, not {number}")
        if abs(self.seed) >= 2**62:  # others are made from it, by adding
            raise ValueError(f"seed must lie between -2**62 and 2**62, not {self.seed}")
        if not 0 < self.photo_share < 1:
            raise ValueError(f"photo_share must be above 0 and below 1, not {self.photo_share}")

    @property
    def all_steps(self) -> int:
        """The light's steps and the others."""
        return self.light.steps + self.steps

    def warmup_of(self, steps: int) -> int:
        """The warm-up of a run of so many steps: a tenth at most, or a short run would end at its highest rate."""
        return min(self.warmup_steps, max(1, steps // 10))

    def weight_of(self, clip: Clip) -> int:
        """How many times likelier a clip is drawn than the bursts of a slow one."""
        if clip.group:
            return 1
        return self.high_speed_weight if clip.high_speed else self.still_weight

    def draws(self, clips: Sequence[Clip]) -> list[Clip]:
        """Each clip as often as it is to be drawn; photographs once each, and `photo_share` of all."""
        photos = [clip for clip in clips if clip.photo]
        videos = [clip for clip in clips if not clip.photo for _ in range(self.weight_of(clip))]
        wanted = len(photos) * (1 - self.photo_share) / self.photo_share
        return photos + videos * max(1, round(wanted / max(1, len(videos))))


def learning_rate(step: int, settings: TrainSettings, steps: int = 0) -> float:
    """Linear warm-up, then cosine to a hundredth, over `steps`; by default those after the light's."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, (steps or settings.steps) - settings.warmup_steps)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))


def stage_at(step: int, settings: TrainSettings) -> Stage:
    """The crop stage that a step, counted after the light's, belongs to."""
    return next((s for s in settings.stages if step < s.until * settings.steps), settings.stages[-1])
