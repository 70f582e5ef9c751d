"""CLAHE-PCA: CLAHE on the first principal component of the colours.

Guo et al. 2024 name the method without describing it. Our reading: the principal axes of the picture's own colours
stand in for a fixed colour space; the first one, which carries nearly all of the light, is equalised, the other two
are kept. CLAHE: Zuiderveld, Graphics Gems IV, 1994; PCA: Pearson, Philosophical Magazine, 1901.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lednet.baselines.clahe import CLIP_LIMIT, TILES
from lednet.baselines.frames import Picture, equalise


def principal_axes(picture: Picture) -> NDArray[np.float64]:
    """Axes [3, 3] of the colours of [h, w, 3], one a row, that of the greatest variance first and towards white."""
    _, axes = np.linalg.eigh(np.cov(picture.reshape(-1, 3).T.astype(np.float64)))
    axes = axes.T[::-1].copy()
    axes[0] *= 1 if axes[0].sum() >= 0 else -1
    return np.asarray(axes)


def map_first_component(picture: Picture, change: Callable[[Picture], Picture]) -> Picture:
    """Rotate the colours to their axes, change the first component, rotate back.

    `change` sees the component scaled so that 0 is the darkest and 1 the brightest that a colour could have.
    """
    axes = principal_axes(picture)
    components = picture.reshape(-1, 3) @ axes.T
    low, high = axes[0].clip(max=0).sum(), axes[0].clip(min=0).sum()
    first = ((components[:, 0] - low) / (high - low)).reshape(picture.shape[:2]).astype(np.float32)
    components[:, 0] = change(first).reshape(-1) * (high - low) + low
    return (components @ axes).reshape(picture.shape).astype(np.float32)


def clahe_pca(picture: Picture) -> Picture:
    """sRGB [h, w, 3] in [0, 1] -> the same; may leave [0, 1] where a bright colour is saturated."""
    return map_first_component(picture, lambda first: equalise(first, CLIP_LIMIT, TILES))
