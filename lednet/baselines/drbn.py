"""DRBN: deep recursive bands, then their recomposition.

Source: Yang, Wang, Fang, Wang and Liu, "From fidelity to perceptual quality: a semi-supervised approach for low-light
image enhancement", CVPR 2020. Stage 1 restores the picture at a quarter, half and full size, in four recursions, each
of which sees the last one's result and features; it is trained on pairs by SSIM. Stage 2 weighs the bands anew, pixel
by pixel; stage 1 then stands still, and a critic who sees normal pictures, paired with nothing, joins in. The paper's
critic is told what is good by pictures that people rated; here by the labels of other scenes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn, conv, fp32, resize
from lednet.metrics import ssim

STAGE_1_UNTIL = 0.7
"""Share of the steps after which the bands stand still and their recomposition is trained."""

COARSE_WEIGHT = 0.1
"""Of the losses at a half and a quarter, against the one at full size."""

CRITIC_WEIGHT = 0.05
SPAN = 0.8
"""Bands are weighed by 1 + SPAN (w - 1/2), w from the last layer. The public code makes a sigmoid for w and never uses
it, and its published weights are trained so; nor is there one here."""


class DenseBlock(nn.Module):
    """Four convolutions, each seeing all before it, and a fusing one; with a residual."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(channels + i * growth, growth) for i in range(4))
        self.fuse = conv(channels + 4 * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        features = x
        for layer in self.convs:
            features = torch.cat([features, layer(features).relu()], 1)
        fused: Tensor = self.fuse(features)
        return fused + x


Bands = tuple[Tensor, Tensor, Tensor]
"""At full size, a half and a quarter."""


class Recursion(nn.Module):
    """One recursion: a small U-Net of dense blocks with an image at every scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(6, 16), conv(16, 16)
        sizes = ((16, 8), (16, 8), (32, 16), (32, 16), (16, 8), (16, 8))
        self.blocks = nn.ModuleList(DenseBlock(*size) for size in sizes)
        self.down1, self.down2 = conv(16, 16, stride=2), conv(16, 32, stride=2)
        self.up1 = nn.ConvTranspose2d(16, 16, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.images = nn.ModuleList(nn.Sequential(conv(c, 16), conv(16, 3)) for c in (16, 16, 32))

    def forward(self, x: Tensor, before: Bands | None) -> tuple[Bands, Bands]:
        """Frame and last result, [n, 6, h, w], and its features -> images and features at three scales."""
        first = self.first(x).relu()
        f1 = self.second(first).relu()
        f2 = self.down1(self.blocks[0](f1))
        f4 = self.down2(self.blocks[1](f2))
        p1, p2, p4 = before if before else (0.0, 0.0, 0.0)
        f4 = f4 + self.blocks[3](self.blocks[2](f4)) + p4
        f2 = f2 + self.blocks[4](self.up2(f4)) + p2
        f1 = f1 + self.blocks[5](self.up1(f2)) + first + p1
        i4 = self.images[2](f4)
        i2 = self.images[1](f2) + resize(i4, f2)
        return (self.images[0](f1) + resize(i2, f1), i2, i4), (f1, f2, f4)


class Recomposition(nn.Module):
    """Stage 2: three maps that the bands are weighed by; all one where the last layer says 1/2."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.block = conv(12, 16), conv(16, 16), DenseBlock(16, 8)
        self.fuse = nn.Sequential(conv(16, 16, 1), conv(16, 16))
        self.last = nn.Sequential(conv(16, 16), conv(16, 9))

    def forward(self, x: Tensor, bands: Tensor) -> Tensor:
        """Frame [n, 3, h, w] and bands [n, 9, h, w] -> the weighed sum."""
        first = self.first(torch.cat([x, bands], 1))
        weights = 1 + SPAN * (self.last(first + self.fuse(self.block(self.second(first)))) - 0.5)
        return (weights * bands).unflatten(1, (3, 3)).sum(1)  # type: ignore[no-any-return]


def split_bands(images: Bands) -> Tensor:
    """Images at three scales -> what each adds to the coarser ones, at full size, [n, 9, h, w]; in sum the first."""
    full, half, quarter = images[0], resize(images[1], images[0]), resize(images[2], images[0])
    return torch.cat([quarter, half - quarter, full - half], 1)


def unlike(image: Tensor, truth: Tensor) -> Tensor:
    """1 - SSIM of [n, 3, h, w]; of pictures smaller than SSIM's window, the mean absolute error."""
    with fp32(image):
        return 1 - ssim(image, truth).mean() if min(image.shape[2:]) > 10 else F.l1_loss(image, truth)


class DRBN(Peer):
    """Recursive bands with their recomposition."""

    name, title = "drbn", "DRBN"
    source = "Yang et al., CVPR 2020"
    published_parameters = "576,829 (counted from the public code by tests/bench/check_peers.py)"
    multiple = 4
    bytes_per_pixel = 730

    def __init__(self) -> None:
        super().__init__()
        self.recursions = nn.ModuleList(Recursion() for _ in range(4))
        self.recomposition = Recomposition()
        last = self.recomposition.last[1]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.constant_(last.bias, 0.5)
        layers: list[nn.Module] = []
        for c_in, c_out in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.helpers["critic"] = nn.Sequential(*layers, conv(128, 1))

    def bands(self, x: Tensor) -> Bands:
        """Stage 1: [n, 3, h, w] -> restored at full size, a half and a quarter."""
        image, features = x, None
        for recursion in self.recursions:
            images, features = recursion(torch.cat([image, x], 1), features)
            image = images[0]
        return images  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 4 -> restored."""
        restored: Tensor = self.recomposition(x, split_bands(self.bands(x)))
        return restored

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Stage 1, stage 2 and its critic."""
        parts = {"bands": self.recursions, "recomposition": self.recomposition, "critic": self.helpers["critic"]}
        return {name: list(part.parameters()) for name, part in parts.items()}

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """SSIM at three scales; later the recomposition's common loss with SSIM, and the critic's."""
        x, y = batch.degraded, batch.label
        if batch.done < STAGE_1_UNTIL:
            images = [image.float() for image in self.bands(x)]
            wanted = [y, F.avg_pool2d(y, 2), F.avg_pool2d(y, 4)]
            worse = [unlike(i, w) for i, w in zip(images, wanted, strict=True)]
            yield Turn("bands", worse[0] + COARSE_WEIGHT * (worse[1] + worse[2]), images[0])
            return
        with torch.no_grad():
            bands = split_bands(self.bands(x))
        image = self.recomposition(x, bands).float()
        critic = self.helpers["critic"]
        fooled = (critic(image) - 1).float().square().mean()
        loss = batch.supervise(image) + unlike(image, y) + CRITIC_WEIGHT * fooled
        yield Turn("recomposition", loss, image)
        real, made = critic(y.roll(1, 0).flip(3)).float(), critic(image.detach()).float()
        yield Turn("critic", (real - 1).square().mean() + made.square().mean(), image)
