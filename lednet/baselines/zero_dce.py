"""Zero-DCE and Zero-DCE++ with their published weights.

Sources: Guo et al., "Zero-reference deep curve estimation for low-light image enhancement", CVPR 2020; Li, Guo and Loy,
"Learning to enhance low-light image via zero-reference deep curve estimation", TPAMI 2021. Seven convolutions with
symmetric skips predict curves; the picture passes the curve x + a (x^2 - x), eight times. The former has eight maps a
at full size, the latter one, from depthwise-separable layers on a picture shrunk twelve times.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.baselines.published import Published

CURVES = 8
SHRINK = 12
"""How far Zero-DCE++ shrinks the picture before its network, after the authors' test script."""


def apply_curves(x: Tensor, curves: list[Tensor]) -> Tensor:
    """x <- x + a (x^2 - x) for each curve a in turn; a = 0 leaves the picture as it is."""
    for a in curves:
        x = x + a * (x * x - x)
    return x


def estimate(weights: Published, x: Tensor) -> Tensor:
    """The curve parameters in [-1, 1], [n, 24 or 3, h, w], of frames [n, 3, h, w] in [0, 1]."""
    separable = "e_conv1.depth_conv.weight" in weights

    def layer(features: Tensor, i: int) -> Tensor:
        if not separable:
            return weights.conv(features, f"e_conv{i}")
        return weights.conv(weights.conv(features, f"e_conv{i}.depth_conv"), f"e_conv{i}.point_conv")

    down: list[Tensor] = []
    features = x
    for i in range(1, 5):
        features = F.relu(layer(features, i))
        down.append(features)
    for i in (5, 6):
        features = F.relu(layer(torch.cat([down[7 - i], features], 1), i))
    return layer(torch.cat([down[0], features], 1), 7).tanh()


def restore_zero_dce(weights: Published, x: Tensor) -> Tensor:
    """sRGB [n, 3, h, w] in [0, 1] -> the same, by Zero-DCE."""
    return apply_curves(x, list(estimate(weights, x).chunk(CURVES, 1))).clamp(0, 1)


def restore_zero_dce_pp(weights: Published, x: Tensor) -> Tensor:
    """sRGB [n, 3, h, w] in [0, 1] -> the same, by Zero-DCE++."""
    height, width = x.shape[2:]
    size = max(1, height // SHRINK), max(1, width // SHRINK)
    curve = estimate(weights, F.interpolate(x, size=size, mode="bilinear", align_corners=False))
    curve = F.interpolate(curve, size=(height, width), mode="bilinear", align_corners=True)
    return apply_curves(x, [curve] * CURVES).clamp(0, 1)
