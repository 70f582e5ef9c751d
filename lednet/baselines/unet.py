"""A plain U-Net, which two of the peers are made of.

Source: Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015;
with convolutions that keep the size, and 2x2 ones after the upsampling.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import conv


def double(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two convolutions with ReLU."""
    return nn.Sequential(conv(channels_in, channels_out), nn.ReLU(), conv(channels_out, channels_out), nn.ReLU())


class UNet(nn.Module):
    """[n, c, h, w] -> features [n, widths[0], h, w]; sides are multiples of 2 to the power of the halvings.

    Args:
        channels: of the input.
        widths: channels from full size to the coarsest; between neighbours the size is halved.
        dropout: share of the features dropped at the two coarsest sizes.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], dropout: float = 0.0) -> None:
        super().__init__()
        ends = [channels, *widths]
        self.down = nn.ModuleList(double(a, b) for a, b in zip(ends, widths, strict=False))
        self.drop = nn.Dropout(dropout)
        pairs = list(itertools.pairwise(widths))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 2) for a, b in pairs)
        self.up = nn.ModuleList(double(2 * a, a) for a, _ in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, widths[0], h, w]."""
        skips: list[Tensor] = []
        for i, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if i else x)
            x = self.drop(x) if i >= len(self.down) - 2 else x
            skips.append(x)
        for i in reversed(range(len(self.up))):
            wide = F.pad(F.interpolate(x, scale_factor=2.0, mode="nearest"), (0, 1, 0, 1))
            x = self.up[i](torch.cat([skips[i], self.narrow[i](wide).relu()], 1))
        return x
