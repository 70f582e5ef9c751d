"""SCI with its published weights.

Source: Ma et al., "Toward fast, flexible, and robust low-light image enhancement", CVPR 2022. Only the illumination
estimator is needed to restore: three convolutions predict the light beyond the picture, and the picture is divided by
it. The self-calibrating part serves training alone.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lednet.baselines.published import Published

PREFIX, SHARED = "enhance.", "blocks."
"""Where the estimator's tensors are, and the second name under which the file repeats one of its layers."""

DARKEST = 1e-4


def restore_sci(weights: Published, x: Tensor) -> Tensor:
    """sRGB [n, 3, h, w] in [0, 1] -> the same."""
    features = F.relu(weights.conv(x, "in_conv.0"))
    features = features + F.relu(weights.batch_norm(weights.conv(features, "conv.0"), "conv.1"))
    light = weights.conv(features, "out_conv.0").sigmoid() + x
    return (x / light.clamp(DARKEST, 1)).clamp(0, 1)
