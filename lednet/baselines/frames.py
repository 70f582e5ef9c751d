"""Between batches of torch tensors and methods that work on one numpy picture at a time."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.float32]
"""[h, w, 3] or [h, w], sRGB in [0, 1] unless a name says otherwise."""

Restore = Callable[[Tensor], Tensor]
"""Frames [n, 3, h, w], sRGB in [0, 1] -> the same."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""


def one_by_one(method: Callable[[Picture], Picture]) -> Restore:
    """A method on one picture [h, w, 3] as one on frames [n, 3, h, w]; results are clipped to [0, 1]."""

    def restore(frames: Tensor) -> Tensor:
        pictures = frames.detach().cpu().float().permute(0, 2, 3, 1).contiguous().numpy()
        restored = np.stack([method(picture) for picture in pictures])
        return torch.from_numpy(restored).clamp(0, 1).permute(0, 3, 1, 2).contiguous().to(frames.device)

    return restore


def luma(picture: Picture) -> Picture:
    """Brightness [h, w] of a picture [h, w, 3]."""
    return np.asarray(picture @ LUMA, np.float32)


def equalise(channel: Picture, clip_limit: float, tiles: int) -> Picture:
    """CLAHE of a channel [h, w] in [0, 1], in 256 levels; Zuiderveld, Graphics Gems IV, 1994, by OpenCV.

    More levels would be no better: OpenCV's clip limit is relative to their number, and hardly any contrast passes it.
    """
    levels = (channel.clip(0, 1) * 255).round().astype(np.uint8)
    return np.asarray(cv2.createCLAHE(clip_limit, (tiles, tiles)).apply(levels) / 255, np.float32)


def wide_blur(channel: Picture, sigma: float) -> Picture:
    """Gaussian blur of any width at the cost of a narrow one: wide ones are computed on a shrunk picture."""
    shrink = max(1, min(int(sigma / 6), *(side // 8 for side in channel.shape[:2])))
    height, width = channel.shape[:2]
    small = cv2.resize(channel, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def guided_filter(guide: Picture, values: Picture, weight: Picture, radius: int, epsilon: float) -> Picture:
    """Guided filter of He, Sun and Tang (ECCV 2010) on values [h, w] that count by `weight` [h, w].

    Where no weight is within reach the result is the weighted mean of the values.
    """

    def mean(x: Picture) -> Picture:
        return cv2.boxFilter(x, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)  # type: ignore[return-value]

    total = mean(weight) + 1e-6
    m_guide, m_values = mean(guide * weight) / total, mean(values * weight) / total
    covariance = mean(guide * values * weight) / total - m_guide * m_values
    variance = mean(guide * guide * weight) / total - m_guide**2
    slope = covariance / (variance.clip(0) + epsilon)
    offset = m_values - slope * m_guide
    filled = mean(slope * total) / mean(total) * guide + mean(offset * total) / mean(total)
    overall = float((values * weight).sum() / (weight.sum() + 1e-6))
    return np.asarray(np.where(mean(mean(weight)) > 1e-6, filled, overall), np.float32)
