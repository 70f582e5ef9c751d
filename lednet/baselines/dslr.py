"""DSLR: the deep stacked Laplacian restorer.

Source: Lim and Kim, "DSLR: deep stacked Laplacian restorer for low-light image enhancement", IEEE Transactions on
Multimedia, 2020. The picture is taken apart into a Laplacian pyramid of three levels, each restored by its own
encoder and decoder, whose blocks take their features apart in the same way; results are added up from coarse to fine.
Own losses: squared error and colour angle at each level, L1 on the two levels of detail.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn, conv, halve, pad, resize


def normalise(x: Tensor) -> Tensor:
    """Instance normalisation of [n, c, h, w]; a single pixel has no deviation to be divided by and is kept."""
    return F.instance_norm(x) if x[0, 0].numel() > 1 else x


def pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """Laplacian pyramid of [n, c, h, w]: details from fine to coarse, then what is left; it adds up to x again."""
    parts = []
    for _ in range(levels - 1):
        small = halve(x)
        parts.append(x - resize(small, x))
        x = small
    return [*parts, x]


def add_up(parts: list[Tensor]) -> list[Tensor]:
    """A pyramid, from fine to coarse -> the picture at each of its sizes, from coarse to fine."""
    pictures = [parts[-1]]
    for part in reversed(parts[:-1]):
        pictures.append(resize(pictures[-1], part) + part)
    return pictures


class Residual(nn.Module):
    """Two normalised convolutions with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        return (normalise(self.second(normalise(self.first(x)).relu())) + x).relu()


class LaplacianBlock(nn.Module):
    """The features' own pyramid, each level with a residual block."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Residual(channels) for _ in range(levels))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        parts = pyramid(x, len(self.levels))
        return add_up([level(part) for level, part in zip(self.levels, parts, strict=True)])[-1]


class Restorer(nn.Module):
    """Encoder and decoder of one level of the picture's pyramid."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels)
        self.down = nn.ModuleList(conv(a, b, 5, 2) for a, b in itertools.pairwise(widths))
        self.encode = nn.ModuleList(LaplacianBlock(c, levels) for c in widths[1:])
        self.decode = nn.ModuleList(LaplacianBlock(c, levels) for c in widths[1:])
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 4, 2, 1) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """One level of the pyramid, [n, 3, h, w], sides multiples of 8 -> restored."""
        skips: list[Tensor] = []
        features = x
        for down, encode in zip(self.down, self.encode, strict=True):
            features = encode(normalise(down(features)).relu())
            skips.append(features)
        for i in (2, 1):
            features = normalise(self.up[i](self.decode[i](features))).relu() + skips[i - 1]
        image: Tensor = self.up[0](self.decode[0](features))
        return image + x


class DSLR(Peer):
    """The three restorers, the coarse one widest."""

    name, title = "dslr", "DSLR"
    source = "Lim and Kim, IEEE TMM 2020"
    published_parameters = "14,931,337 (counted from the public code by tests/bench/check_peers.py)"
    multiple = 32
    learning_rate = 1e-4
    bytes_per_pixel = 250

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList((Restorer(32, 2), Restorer(32, 2), Restorer(64, 3)))

    def parts(self, x: Tensor) -> list[Tensor]:
        """[n, 3, h, w], sides multiples of 32 -> the restored pyramid, from fine to coarse."""
        return [level(part) for level, part in zip(self.levels, pyramid(x, 3), strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 32 -> restored."""
        return add_up(self.parts(x))[-1]

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """The paper's: the coarse level counts twice."""
        label = pad(batch.label, self.multiple)
        parts = [part.float() for part in self.parts(pad(batch.degraded, self.multiple))]
        wanted = pyramid(label, 3)
        loss = sum(F.l1_loss(p, w) for p, w in zip(parts[:2], wanted[:2], strict=True))
        pictures = add_up(parts)
        for weight, picture, truth in zip((2, 1, 1), pictures, add_up(wanted), strict=True):
            angle = 1 - F.cosine_similarity(picture, truth, 1, 1e-3).mean()
            loss = loss + weight * (F.mse_loss(picture, truth) + angle)
        height, width = batch.label.shape[2:]
        yield Turn("all", loss, pictures[-1][:, :, :height, :width])  # type: ignore[arg-type]
