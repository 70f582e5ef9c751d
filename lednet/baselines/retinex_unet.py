"""Adaptive Retinex with a U-Net: the picture as light times reflectance, and a U-Net that mends both.

Guo et al. 2024 name "adaptive Retinex with a U-Net" and cite nothing of that name whose code is known. Our reading:
the decomposition of Wei, Wang, Yang and Liu, "Deep Retinex decomposition for low-light enhancement", BMVC 2018, with
its losses (both pictures of a pair share one reflectance; light is smooth but at edges), and in place of its relighting
network and of BM3D a U-Net (Ronneberger et al., MICCAI 2015), which adapts the light and cleans the reflectance. First
the decomposition is trained, then the U-Net with the common loss. Our `adaptive_retinex` is a classical method and
another one.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn, conv
from lednet.baselines.unet import UNet

DECOMPOSITION_UNTIL = 0.3
"""Share of the steps that the decomposition is trained for, before it stands still."""

CROSS, EQUAL, SMOOTH = 0.001, 0.01, 0.1
"""Weights of Wei et al.: reconstruction with the other picture's light, equal reflectances, smooth light."""

EDGES = 10.0
"""How fast the wish for smooth light fades with the reflectance's gradient; lambda_g of Wei et al."""


class Decomposition(nn.Module):
    """[n, 3, h, w] in [0, 1] -> reflectance [n, 3, h, w] and light [n, 1, h, w], both in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(4, 64, 9), conv(64, 4)
        self.middle = nn.ModuleList(conv(64, 64) for _ in range(5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reflectance and light."""
        features = self.first(torch.cat([x, x.amax(1, keepdim=True)], 1))
        for layer in self.middle:
            features = layer(features).relu()
        parts = self.last(features).sigmoid()
        return parts[:, :3], parts[:, 3:]


def unsmooth(light: Tensor, reflectance: Tensor) -> Tensor:
    """Mean gradient of the light, where the reflectance has none."""
    grey = reflectance.mean(1, keepdim=True)
    parts = []
    for dim in (2, 3):
        parts.append((light.diff(dim=dim).abs() * torch.exp(-EDGES * grey.diff(dim=dim).abs())).mean())
    return parts[0] + parts[1]


class RetinexUNet(Peer):
    """Decomposition, then a U-Net on its parts."""

    name, title = "retinex_unet", "Retinex decomposition with U-Net"
    source = "named by Guo et al. 2024; our reading, after Wei et al., BMVC 2018, and Ronneberger et al., MICCAI 2015"
    published_parameters = "decomposition 0.208 M of RetinexNet's 0.555 M (Li et al., TPAMI 2021, survey); U-Net: ours"
    multiple = 8
    bytes_per_pixel = 1110

    def __init__(self) -> None:
        super().__init__()
        self.decompose = Decomposition()
        self.body = UNet(4, (32, 64, 128, 256))
        self.change = conv(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 8 -> mended reflectance times adapted light."""
        reflectance, light = self.decompose(x)
        change = self.change(self.body(torch.cat([reflectance, light], 1)))
        restored: Tensor = (reflectance + change[:, :3]) * change[:, 3:].sigmoid()
        return restored

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The decomposition, and the U-Net."""
        unet = [*self.body.parameters(), *self.change.parameters()]
        return {"decomposition": list(self.decompose.parameters()), "unet": unet}

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """Wei et al.'s of the decomposition; then the common one."""
        if batch.done >= DECOMPOSITION_UNTIL:
            image = self.restore(batch.degraded).float()
            yield Turn("unet", batch.supervise(image), image)
            return
        pictures = batch.degraded, batch.label
        parts = [tuple(part.float() for part in self.decompose(x)) for x in pictures]
        (r_dark, l_dark), (r_clear, l_clear) = parts
        loss = F.l1_loss(r_dark * l_dark, pictures[0]) + F.l1_loss(r_clear * l_clear, pictures[1])
        loss = loss + CROSS * (F.l1_loss(r_clear * l_dark, pictures[0]) + F.l1_loss(r_dark * l_clear, pictures[1]))
        loss = loss + EQUAL * F.l1_loss(r_dark, r_clear.detach())
        loss = loss + SMOOTH * (unsmooth(l_dark, r_dark) + unsmooth(l_clear, r_clear))
        yield Turn("decomposition", loss, r_dark)
