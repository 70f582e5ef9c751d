"""The floor that a model must beat: one fixed gamma fitted on training pairs. Also the best gamma of each image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lednet.checkpoint import Card
from lednet.metrics import EQUAL_DB, psnr

ORACLE_GAMMAS = [1 + 0.1 * i for i in range(61)]


def restore_gamma(x: Tensor, gamma: float) -> Tensor:
    """sRGB [n, 3, h, w] in [0, 1] -> x ** (1 / gamma)."""
    return x.clamp(0, 1) ** (1 / gamma)


def fit_gamma(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The gamma from 1 to 5 (in steps of 0.05) of the highest mean PSNR over (degraded, label) batches.

    Looked for in steps of 0.25 first: the mean PSNR rises to one gamma and falls from there.
    """

    def score(gamma: float) -> float:
        return torch.cat([psnr(restore_gamma(x, gamma), y) for x, y in pairs]).clamp(max=EQUAL_DB).mean().item()

    coarse = max((1 + 0.25 * i for i in range(17)), key=score)
    near = (round(coarse + 0.05 * i, 2) for i in range(-4, 5))
    return max((gamma for gamma in near if 1 <= gamma <= 5), key=score)


def gamma_of_card(card: Card, recipe: str) -> float:
    """The gamma fitted on training pairs of a recipe when a checkpoint was made. Raises ValueError if there is none."""
    try:
        return float(card.validation["recipes"][recipe]["best_fixed_gamma"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{card.name}: its card holds no fixed gamma under recipe {recipe}; train on that recipe"
        ) from error


def restore_oracle(x: Tensor, reference: Tensor) -> Tensor:
    """The gamma and gain of least squared error for each image, found with the help of the reference.

    No restorer: a bound on what one global tone curve of this form could do, were the exposure known. Both are sRGB
    [n, 3, h, w] in [0, 1]. The error is measured on every fourth pixel of every fourth row.
    """
    restored = []
    for image, truth in zip(x, reference, strict=True):
        some, wanted = image[:, ::4, ::4], truth[:, ::4, ::4]
        best = (float("inf"), 1.0, 1.0)
        for gamma in ORACLE_GAMMAS:
            shown = restore_gamma(some, gamma)
            gain = float((shown * wanted).sum() / shown.square().sum().clamp_min(1e-9))
            error = float((shown * gain).clamp(0, 1).sub(wanted).square().mean())
            best = min(best, (error, gamma, gain))
        restored.append((restore_gamma(image, best[1]) * best[2]).clamp(0, 1))
    return torch.stack(restored)
