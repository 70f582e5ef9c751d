"""How good a network in training is on clips that it does not learn from: means of figures, under each recipe.

Covers the pairs, which are the same every time, and the figures that need no network: of the dark input, and of a fixed
gamma fitted on training pairs. Not covered: which clips are held out (`lednet.footage_split`), the network's own
figures (`lednet.trainer`), a finished checkpoint's (`lednet.validate`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lednet.baselines.gamma import fit_gamma, restore_gamma
from lednet.clips import Clip, PairSampler
from lednet.degrade import Recipe
from lednet.metrics import EQUAL_DB, psnr
from lednet.train_settings import TrainSettings

BATCH = 4
"""Pairs that are restored at a time."""
FITTED_AT_A_TIME = 16
FITTING_SEED, DRAWING_SEED = 7, 11

Figures = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""Of degraded frames and labels, [n, 3, h, w] each: name -> [n]."""


class HeldOutPairs:
    """Pairs of the held-out clips, and the fixed gamma of each recipe, which is fitted when it is first asked for."""

    def __init__(
        self,
        settings: TrainSettings,
        recipes: Mapping[str, Recipe],
        clips: Sequence[Clip],
        held_out: Sequence[Clip],
        device: torch.device,
    ) -> None:
        self.settings, self.recipes, self.clips, self.held_out = settings, recipes, clips, held_out
        self.device = device
        self._gammas: dict[str, float] = {}

    def means(self, recipe: str, figures_of: Figures) -> dict[str, float]:
        """The mean of each of a network's figures under a recipe, with `psnr_gamma`, `psnr_identity` (dB) and
        `best_fixed_gamma` beside them."""
        s, gamma, pairs = self.settings, self._gamma(recipe), self._pairs(self.held_out, recipe, DRAWING_SEED)
        rows: dict[str, list[Tensor]] = {}
        for _ in range(max(1, s.validation_pairs // BATCH)):
            degraded, label = pairs.sample(BATCH, s.validation_crop, s.validation_crop)
            figures = figures_of(degraded, label) | {
                "psnr_gamma": psnr(restore_gamma(degraded, gamma), label),
                "psnr_identity": psnr(degraded, label),
            }
            for name, values in figures.items():
                rows.setdefault(name, []).append(values)
        means = {k: round(torch.cat(v).clamp(max=EQUAL_DB).mean().item(), 4) for k, v in rows.items()}
        return means | {"best_fixed_gamma": gamma}

    def _gamma(self, recipe: str) -> float:
        """The gamma that suits training pairs under a recipe best."""
        if recipe not in self._gammas:
            s = self.settings
            pairs = self._pairs(self.clips, recipe, FITTING_SEED)
            batches = math.ceil(s.gamma_pairs / FITTED_AT_A_TIME)
            self._gammas[recipe] = fit_gamma(
                [pairs.sample(FITTED_AT_A_TIME, *s.gamma_view, view=True) for _ in range(batches)]
            )
        return self._gammas[recipe]

    def _pairs(self, clips: Sequence[Clip], recipe: str, seed: int) -> PairSampler:
        """With a generator of their own: validating changes nothing of what is drawn to learn from."""
        return PairSampler(clips, [self.recipes[recipe]], torch.Generator(self.device).manual_seed(seed))
