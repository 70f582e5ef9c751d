"""Artefacts of a restoration, named and measured where the truth is known.

Each measure gives a map of badness in levels of 255 and the places that it holds for; its figure is the mean there, and
its worst place is where a map is worst. docs/artefacts.md says what each is and what it can't see. Not covered: which
frames, and the sheet of worst cases (`lednet.artefact_sheet`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""[h, w, 3], levels of 255, sRGB."""
Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

EDGE = 25.0
"""Levels a pixel from which an edge is strong."""
NEAR, FAR = 4, 14
"""Pixels from an edge or lamp between which halos and ringing are looked for; nearer, blur is the error."""
BLOWN = 250.0
LARGEST_LAMP = 0.02
"""Share of the frame up to which a blown patch is a lamp and no sky."""
BLACK = 32.0
"""Luma of the truth below which a place counts as black."""
FLAT = 1.5
"""Standard deviation over 9x9 pixels of the truth up to which a place is flat."""
LEAST_PLACES = 64
"""A measure that holds for fewer pixels is not told."""
WINDOW = 128
"""Pixels between borders of the attention's blocks of queries at the finest scale that has any: 32 tokens of 4."""
PHASE_BLOCK = 32
WORST = 48
"""Side of the square whose mean says where a frame is worst."""


@dataclass(frozen=True)
class Found:
    """What a measure found in one picture."""

    badness: Plane
    """[h, w], levels."""
    where: Mask
    """[h, w], the places that it holds for."""

    @property
    def figure(self) -> float:
        """Mean badness, NaN for too few places."""
        return float(self.badness[self.where].mean()) if self.where.sum() >= LEAST_PLACES else float("nan")

    def worst(self) -> tuple[int, int]:
        """Centre (y, x) of the worst place."""
        smooth = _blur_box(np.where(self.where, self.badness, 0).astype(np.float32), WORST)
        y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
        return int(y), int(x)


def halo(restored: Picture, truth: Picture) -> Found:
    """A bright or dark rim beside strong edges: how far the smoothed picture leaves the local range of the truth.

    The truth is brought to the restored picture's exposure first, so that brightness itself costs nothing.
    """
    like = exposed_like(truth, restored)
    reach = np.ones((2 * FAR + 1, 2 * FAR + 1), np.uint8)
    smooth = cv2.GaussianBlur(restored, (0, 0), 2)
    over, under = smooth - cv2.dilate(like, reach), cv2.erode(like, reach) - smooth
    edges = _strength(np.asarray(cv2.GaussianBlur(luma(truth), (0, 0), 1), np.float32)) > EDGE
    return Found(_mean(np.maximum(over, 0) + np.maximum(under, 0)), _ring(edges))


def ringing(restored: Picture, truth: Picture) -> Found:
    """Ripples around lamps: the part of the error that waves with a few pixels' length, near small blown patches."""
    error = restored - exposed_like(truth, restored)
    return Found(_mean(np.abs(_band(error, 1, 4))), _ring(lamps(truth)))


def chequerboard(restored: Picture, truth: Picture) -> Found:
    """A pattern of period 2, which pixel shuffling may leave: how far the four phases' means differ in 32x32 blocks.

    Texture gives a little by chance; the truth's own figure says how much.
    """
    height, width = (s // PHASE_BLOCK * PHASE_BLOCK for s in truth.shape[:2])
    where = np.zeros(truth.shape[:2], bool)
    where[:height, :width] = True
    grey = luma(restored)
    fine = (grey - cv2.blur(grey, (3, 3)))[:height, :width]
    blocks = fine.reshape(height // PHASE_BLOCK, PHASE_BLOCK // 2, 2, width // PHASE_BLOCK, PHASE_BLOCK // 2, 2)
    phases = blocks.mean((1, 4)).transpose(0, 2, 1, 3).reshape(height // PHASE_BLOCK, width // PHASE_BLOCK, 4)
    badness = np.zeros(truth.shape[:2], np.float32)
    badness[:height, :width] = np.kron(phases.std(-1), np.ones((PHASE_BLOCK, PHASE_BLOCK)))
    return Found(badness, where)


def colour_in_black(restored: Picture, truth: Picture) -> Found:
    """A tint in what is black: how far smoothed R - G and B - G are from the truth's, where that is nearly black."""
    smooth = cv2.blur(restored - truth, (9, 9))
    tint = np.hypot(smooth[..., 0] - smooth[..., 1], smooth[..., 2] - smooth[..., 1])
    return Found(tint.astype(np.float32), _blur_box(luma(truth), 9) < BLACK)


def invented_texture(restored: Picture, truth: Picture) -> Found:
    """Blotches and grain of 3 to 15 pixels in the error, where the truth is flat: what noise was turned into."""
    grey = luma(truth)
    spread = np.sqrt(np.maximum(_blur_box(grey**2, 9) - _blur_box(grey, 9) ** 2, 0))
    error = luma(restored) - luma(exposed_like(truth, restored))
    return Found(np.abs(_band(error, 1.5, 6)), (spread < FLAT) & (grey < BLOWN))


def window_seams(restored: Picture, truth: Picture) -> Found:
    """Steps in the error at the borders of the attention's windows, beyond the steps 4 to 8 pixels beside them."""
    error = luma(restored) - luma(exposed_like(truth, restored))
    badness, where = np.zeros_like(error), np.zeros(error.shape, bool)
    for turned in (False, True):
        plane, bad, at = (a.T if turned else a for a in (error, badness, where))
        steps = np.abs(np.diff(plane, axis=1, prepend=plane[:, :1]))
        for border in range(WINDOW, plane.shape[1] - 8, WINDOW):
            beside = np.concatenate([steps[:, border - 8 : border - 3], steps[:, border + 4 : border + 9]], 1)
            bad[:, border] = steps[:, border] - beside.mean(1)
            at[:, border] = True
    return Found(badness, where)


MEASURES: dict[str, Callable[[Picture, Picture], Found]] = {
    "halo": halo,
    "ringing at lamps": ringing,
    "chequerboard": chequerboard,
    "colour in black": colour_in_black,
    "invented texture": invented_texture,
    "window seams": window_seams,
}


def tile_seams(whole: Picture, tiled: Picture) -> Found:
    """Restored in tiles instead of whole: how far the two are apart."""
    return Found(_mean(np.abs(tiled - whole)), np.ones(whole.shape[:2], bool))


def luma(picture: Picture) -> Plane:
    """BT.601 luma, [h, w], levels."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def exposed_like(truth: Picture, restored: Picture) -> Picture:
    """The truth under the tone curve, a cubic a channel, that brings it nearest to the restored picture.

    A channel of one value in all of the truth is brought to the restored one's mean.
    """
    like = np.empty_like(truth)
    for c in range(3):
        x, y = truth[::2, ::2, c].ravel().astype(np.float64) / 255, restored[::2, ::2, c].ravel()
        like[..., c] = np.polyval(np.polyfit(x, y, 3), truth[..., c] / 255) if np.ptp(x) > 0 else y.mean()
    return like


def lamps(truth: Picture) -> Mask:
    """Blown patches, as large as a lamp at most, [h, w]."""
    blown = (truth.min(-1) >= BLOWN).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(blown)
    small = stats[:, cv2.CC_STAT_AREA] <= LARGEST_LAMP * blown.size
    small[0] = False  # what is not blown
    return np.asarray(small[labels])


def _ring(places: Mask) -> Mask:
    """Pixels between `NEAR` and `FAR` from some places."""
    if not places.any():
        return np.zeros_like(places)
    distance = np.asarray(cv2.distanceTransform((~places).astype(np.uint8), cv2.DIST_L2, 5))
    return np.asarray((distance >= NEAR) & (distance <= FAR))


def _strength(plane: Plane) -> Plane:
    """Gradient, levels a pixel."""
    across, down = (cv2.Sobel(plane, cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))
    return np.hypot(across, down).astype(np.float32)


def _band(x: NDArray[np.float32], fine: float, coarse: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), fine) - cv2.GaussianBlur(x, (0, 0), coarse), np.float32)


def _blur_box(plane: Plane, side: int) -> Plane:
    return np.asarray(cv2.blur(plane, (side, side)), np.float32)


def _mean(x: NDArray[np.float32]) -> Plane:
    return np.asarray(x.mean(-1), np.float32)
