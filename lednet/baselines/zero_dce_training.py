"""Zero-DCE, trained: deep curve estimation without any reference.

Source: Guo et al., "Zero-reference deep curve estimation for low-light image enhancement", CVPR 2020. The network of
`zero_dce`, as a module whose tensors have the published names, so that published weights load; and the four losses that
replace a reference: spatial consistency, exposure, colour constancy and smoothness of the curves. The labels are never
looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn, conv
from lednet.baselines.zero_dce import CURVES, apply_curves

WIDTH = 32
REGION, PATCH = 4, 16
"""Sides in pixels of the regions of the spatial and of the exposure loss."""

EXPOSED = 0.6
"""How bright a patch should be."""

SPATIAL, EXPOSURE, COLOUR, SMOOTH = 1.0, 10.0, 5.0, 200.0
"""Weights of the losses, after the authors' training script; there the smoothness is over the whole of the maps."""


def spatial_loss(image: Tensor, x: Tensor) -> Tensor:
    """How much differences of neighbouring regions' brightness changed; 0 for an unchanged picture."""
    a, b = (F.avg_pool2d(t.mean(1, keepdim=True), REGION) for t in (image, x))
    down = ((a[:, :, 1:] - a[:, :, :-1]).abs() - (b[:, :, 1:] - b[:, :, :-1]).abs()).square().mean()
    across = ((a[..., 1:] - a[..., :-1]).abs() - (b[..., 1:] - b[..., :-1]).abs()).square().mean()
    return 2 * (down + across)  # each pair of neighbours is seen from both sides


def exposure_loss(image: Tensor) -> Tensor:
    """Squared distance of the patches' brightness from `EXPOSED`."""
    return (F.avg_pool2d(image.mean(1, keepdim=True), PATCH) - EXPOSED).square().mean()


def colour_loss(image: Tensor) -> Tensor:
    """How far the three channels' means lie apart: a picture is grey on average."""
    red, green, blue = image.mean((2, 3)).unbind(1)
    return ((red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4 + 1e-12).sqrt().mean()


def smoothness_loss(curves: Tensor) -> Tensor:
    """Mean squared gradient of the curve maps [n, c, h, w]."""
    down, across = (curves[:, :, 1:] - curves[:, :, :-1]).square().mean(), (curves[..., 1:] - curves[..., :-1])
    return 2 * (down + across.square().mean())


class ZeroDCE(Peer):
    """Seven convolutions with symmetric skips, and eight curves for every pixel and channel."""

    name, title = "zero_dce_trained", "Zero-DCE"
    source = "Guo et al., CVPR 2020"
    published_parameters = "79,416 (counted from the public code by tests/bench/check_peers.py)"
    learning_rate = 1e-4
    bytes_per_pixel = 1030

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, WIDTH), *((WIDTH, WIDTH),) * 3, *((2 * WIDTH, WIDTH),) * 2, (2 * WIDTH, 3 * CURVES))
        for i, (a, b) in enumerate(widths, 1):
            layer = conv(a, b)
            nn.init.normal_(layer.weight, std=0.02)
            self.add_module(f"e_conv{i}", layer)

    def curves(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> the curves' parameters, [n, 24, h, w] in [-1, 1]."""
        layers = [self.get_submodule(f"e_conv{i}") for i in range(1, 8)]
        down: list[Tensor] = []
        features = x
        for layer in layers[:4]:
            features = layer(features).relu()
            down.append(features)
        for layer, skip in zip(layers[4:6], (down[2], down[1]), strict=True):
            features = layer(torch.cat([skip, features], 1)).relu()
        curves: Tensor = layers[6](torch.cat([down[0], features], 1)).tanh()
        return curves

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], any size -> under its curves."""
        return apply_curves(x, list(self.curves(x).chunk(CURVES, 1)))

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """The four losses without a reference."""
        x = batch.degraded
        curves = self.curves(x).float()
        image = apply_curves(x, list(curves.chunk(CURVES, 1)))
        loss = SPATIAL * spatial_loss(image, x) + EXPOSURE * exposure_loss(image) + COLOUR * colour_loss(image)
        yield Turn("all", loss + SMOOTH * smoothness_loss(curves), image)
