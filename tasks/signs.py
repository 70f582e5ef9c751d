"""What a camera's own pictures show of the camera's health, as figures: one picture, a night's still scene, two nights.

Pure functions on uint8 pictures; no thresholds beyond those that define a figure. Not covered: which figure means what
(`tasks.health`), and where pictures come from (`tasks.camera_facts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIGNS_WIDTH = 320
"""Single pictures and the pictures of two nights are measured at most this wide: sensor noise averages out."""
BLOCK = 16
FLAT_LEVELS = 2.5
"""A block of `BLOCK` x `BLOCK` pixels is flat when its luma, less what changes over more than a block, deviates
less than this, in levels of 255. A hand before the lens shades the picture, but draws nothing in it."""
STEEP_SHARE = 0.001
"""Share of the pixels that count as a picture's steepest: a lamp of a few pixels is enough to see by."""
WHITE, BLACK = 250, 8
"""Luma levels from which, and up to which, a pixel holds no detail."""
DARK_CHANNEL = 15
"""Side of the dark channel's patch, in pixels (He et al., CVPR 2009)."""
EDGES_WIDTH = 640
"""Edges are measured in a scene at most this wide, so that keeping larger pictures puts no camera out of focus."""
EDGE_WINDOW = 15
"""Edges are followed this far, in pixels of the still scene; wider ones count as this wide."""
EDGE_CONTRAST = 0.06
"""Least difference in luma, of 1, across what is taken for an edge."""
EDGE_SHARE = 0.01
"""Share of the pixels, those of the steepest slope, that edges are measured at."""
LEAST_EDGES = 30
"""Fewer edge pixels tell nothing of focus or position."""

Grey = NDArray[np.uint8]


class Signs(NamedTuple):
    """Figures of one picture; shares and luma in 0 to 1."""

    flat: float
    """Share of blocks without detail. A covered lens nears 1, and so does a moonless night."""
    steepest: float
    """Slope that `STEEP_SHARE` of the pixels reach, in levels of 255 a pixel. What lies on the lens is never sharp; a
    lamp in the dark is."""
    contrast: float
    """Standard deviation of luma."""
    blown: float
    """Share of white pixels."""
    dark: float
    """Share of black pixels."""
    veil: float
    """Mean dark channel over mean luma: 0 where every patch holds something black or of pure colour, 1 for a uniform
    veil (He, Sun and Tang, CVPR 2009). Takes grey walls for haze, so only its change says anything."""
    colour: float
    """Standard deviation of the chroma Cb and Cr together. A tint of the whole picture is no colour."""


def picture_signs(picture: NDArray[np.uint8]) -> Signs:
    """Figures of one uint8 [h, w, 3] sRGB picture."""
    small = narrow(picture, SIGNS_WIDTH)
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    mean = float(luma.mean()) / 255
    patch = np.ones((DARK_CHANNEL, DARK_CHANNEL), np.uint8)
    darkest = float(cv2.erode(small.min(2), patch).mean()) / 255
    # Chroma of dark pixels is mostly noise, which a further shrink takes away.
    chroma = cv2.cvtColor(narrow(small, SIGNS_WIDTH // 4), cv2.COLOR_RGB2YCrCb)[:, :, 1:].astype(np.float32) / 255
    return Signs(
        _flat_share(luma),
        _steepest(luma),
        float(luma.std()) / 255,
        float((luma >= WHITE).mean()),
        float((luma <= BLACK).mean()),
        darkest / mean if mean > 0 else 0.0,
        float(np.sqrt(chroma[..., 0].var() + chroma[..., 1].var())),
    )


def _flat_share(luma: NDArray[Any]) -> float:
    rows, columns = (max(1, side // BLOCK) for side in luma.shape)
    exact = luma.astype(np.float32)
    detail = (cv2.blur(exact, (3, 3)) - cv2.GaussianBlur(exact, (0, 0), BLOCK / 2))[: rows * BLOCK, : columns * BLOCK]
    height, width = detail.shape[0] // rows, detail.shape[1] // columns
    blocks = detail[: rows * height, : columns * width].reshape(rows, height, columns, width)
    return float((blocks.std((1, 3)) < FLAT_LEVELS).mean())


def _steepest(luma: NDArray[Any]) -> float:
    smooth = cv2.blur(luma.astype(np.float32), (3, 3))
    slope = np.hypot(cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1)) / 8
    return float(np.quantile(slope, 1 - STEEP_SHARE))


def narrow(picture: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """A picture, at most so many pixels wide."""
    if picture.shape[1] <= width:
        return np.ascontiguousarray(picture)
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def still_scene(pictures: Sequence[NDArray[np.uint8]]) -> Grey:
    """The luma [h, w] of what stands still: the median over a night's pictures, without traffic and noise.

    Pictures of another size than the first (the recorder was set anew) are scaled to it.
    """
    first = pictures[0].shape[:2]
    same = (p if p.shape[:2] == first else cv2.resize(p, first[::-1]) for p in pictures)
    scene: Grey = np.median(np.stack([cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in same]), 0).astype(np.uint8)
    return scene


def edge_width(scene: Grey) -> float:
    """How many pixels the strongest edges of a still scene take from dark to bright; NaN for a scene without edges.

    The height of an edge over its slope, the median over the steepest pixels: 2 for a perfect step, and free of
    brightness and contrast. After Marziliano et al., ICIP 2002, with the slope in place of the walk along the row.
    """
    luma = narrow(scene, EDGES_WIDTH).astype(np.float32) / 255
    slope = np.hypot(cv2.Sobel(luma, -1, 1, 0), cv2.Sobel(luma, -1, 0, 1)) / 8
    window = np.ones((EDGE_WINDOW, EDGE_WINDOW), np.uint8)
    height = cv2.dilate(luma, window) - cv2.erode(luma, window)
    edges = (height >= EDGE_CONTRAST) & (slope > 0)
    edges &= slope >= np.quantile(slope, 1 - EDGE_SHARE)
    if edges.sum() < LEAST_EDGES:
        return float("nan")
    return float(np.median(np.minimum(height[edges] / slope[edges], EDGE_WINDOW)))


class Shift(NamedTuple):
    """How one still scene lies over another."""

    share: float
    """Length of the shift, as a share of the picture's width."""
    match: float
    """Correlation of the edges of both, one laid over the other: 1 for the same scene, near 0 for another."""


def shift_between(scene: Grey, reference: Grey) -> Shift:
    """How a still scene has shifted against that of an earlier night, by phase correlation of their edges.

    Edges and not luma, so that a lamp that went on is not taken for a camera that turned. Kuglin and Hines, 1975.
    """
    reference = narrow(reference, SIGNS_WIDTH)
    height, width = reference.shape
    mine = _edges(cv2.resize(scene, (width, height), interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
    theirs = _edges(reference)
    (dx, dy), _ = cv2.phaseCorrelate(theirs, mine, cv2.createHanningWindow((width, height), cv2.CV_32F))
    return Shift(float(np.hypot(dx, dy)) / width, _overlap_correlation(mine, theirs, round(dx), round(dy)))


def _edges(luma: Grey) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.0).astype(np.float32)
    slope = np.hypot(cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1))
    # A few lamps would outweigh all the rest; where there is nothing but them, they are the scene.
    most = np.quantile(slope, 0.95) or slope.max()
    clipped: NDArray[np.float32] = np.minimum(slope, most).astype(np.float32)
    return clipped


def _overlap_correlation(moved: NDArray[np.float32], reference: NDArray[np.float32], dx: int, dy: int) -> float:
    """Correlation of the part that both show, when `moved` is `reference` shifted by (dx, dy)."""
    height, width = reference.shape
    here = moved[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    there = reference[max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
    if here.size < 64 or here.std() == 0 or there.std() == 0:
        return 0.0
    return float(np.corrcoef(here.ravel(), there.ravel())[0, 1])
