"""Frames between frames, so that footage below 120 fps averages to streaks and not to ghosts.

Motion comes from DIS optical flow (Kroeger et al., ECCV 2016; OpenCV) both ways; a frame at time t blends both
neighbours, each warped to t. Not covered: occlusion masks; what appears or vanishes between two frames is blended.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

LEAST_SIDE = 16
"""DIS needs frames at least this large, in pixels."""


def interpolate(first: Frame, second: Frame, count: int) -> NDArray[np.uint8]:
    """Frames [count, h, w, 3] at the times 0, 1/count ... (count - 1)/count between two uint8 [h, w, 3] frames.

    The first one is `first` itself, `second` is not among them.
    """
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False) for f in (first, second)]
    forth, back = _flow(grey[0], grey[1]), _flow(grey[1], grey[0])
    height, width = grey[0].shape
    here = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    frames = [first]
    for t in (np.arange(1, count) / count).astype(np.float32):
        # The motion through a point at time t is taken from that point's place in the frame it leads to or from.
        from_first, from_second = _warp(first, here - t * forth), _warp(second, here - (1 - t) * back)
        frames.append(cv2.addWeighted(from_first, float(1 - t), from_second, float(t), 0).astype(np.uint8, copy=False))
    return np.stack(frames)


def _flow(start: NDArray[np.uint8], end: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Motion from one grey frame to another, [h, w, 2] of (x, y) in pixels; none in frames too small for DIS."""
    still = np.zeros((*start.shape, 2), np.float32)
    if min(start.shape) < LEAST_SIDE:
        return still
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return dis.calc(start, end, still).astype(np.float32, copy=False)


def _warp(frame: Frame, source: NDArray[np.float32]) -> Frame:
    """The frame read at `source`, [h, w, 2] of (x, y) in pixels."""
    x, y = (np.ascontiguousarray(source[..., i]) for i in (0, 1))
    warped = cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return warped.astype(np.uint8, copy=False)
