"""EnlightenGAN: light without pairs.

Source: Jiang et al., "EnlightenGAN: deep light enhancement without paired supervision", IEEE TIP 2021. A U-Net whose
features are weighed by how dark each place is adds light to the picture. Two critics, one of whole crops and one of
small patches, compare with normal pictures of other scenes; features of the picture before and after are kept alike.
The paper keeps VGG16's relu5_1, normalised; here it is VGG19's layers of the common loss, normalised, since only those
are at hand, and nothing where training runs without VGG. Labels serve as the normal pictures, never beside their own
input. The network is the public code's as torch runs it today; torch 0.3.1, which that names, enlarged pictures with
their corners aligned.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn, conv, fp32
from lednet.losses import VGG19Features

WIDTHS = (32, 64, 128, 256, 512)
LUMA = (0.299, 0.587, 0.114)
PATCH, PATCHES = 32, 5
"""Side of the local critic's patches in pixels, and how many of each picture it sees."""


def attention(x: Tensor) -> Tensor:
    """How dark each place of [n, 3, h, w] in [0, 1] is: [n, 1, h, w], 1 for black, 0 for white."""
    weights = torch.tensor(LUMA, device=x.device, dtype=x.dtype).reshape(1, 3, 1, 1)
    return 1 - (x * weights).sum(1, keepdim=True)


class Double(nn.Module):
    """Two convolutions, each with leaky ReLU and, but for the very last, batch normalisation."""

    def __init__(self, channels_in: int, channels: int, last: bool = False) -> None:
        super().__init__()
        self.first, self.second = conv(channels_in, channels), conv(channels, channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.Identity() if last else nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """`weight`: what features are multiplied by between the two."""
        x = self.norm1(F.leaky_relu(self.first(x), 0.2))
        x = x if weight is None else x * weight
        out: Tensor = self.norm2(F.leaky_relu(self.second(x), 0.2))
        return out


def critic(layers: int) -> nn.Sequential:
    """A patch discriminator of so many halvings: [n, 3, h, w] -> a map of judgements, near 1 for normal pictures."""
    widths = [3, *(min(64 * 2**i, 512) for i in range(layers + 1))]
    parts: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        parts += [nn.Conv2d(a, b, 4, 2 if i < layers else 1, 2), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 2))


class EnlightenGAN(Peer):
    """The attention-guided U-Net, and its critics."""

    name, title = "enlighten_gan", "EnlightenGAN"
    source = "Jiang et al., IEEE TIP 2021"
    published_parameters = "8,636,675, the generator (counted from the public code by tests/bench/check_peers.py)"
    multiple = 16
    learning_rate = 1e-4
    betas = (0.5, 0.999)
    bytes_per_pixel = 1220

    def __init__(self) -> None:
        super().__init__()
        ends = (4, *WIDTHS)
        self.down = nn.ModuleList(Double(a, b) for a, b in zip(ends, WIDTHS, strict=False))
        pairs = list(itertools.pairwise(WIDTHS))
        self.narrow = nn.ModuleList(conv(b, a) for a, b in pairs)
        self.up = nn.ModuleList(Double(2 * a, a, last=i == 0) for i, (a, _) in enumerate(pairs))
        self.light = conv(WIDTHS[0], 3, 1)
        self.helpers["whole"], self.helpers["local"] = critic(5), critic(4)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 16 -> brightened; x itself where it is white."""
        dark = [attention(x)]
        for _ in range(4):
            dark.append(F.max_pool2d(dark[-1], 2))
        features = torch.cat([x * 2 - 1, dark[0]], 1)
        skips: list[Tensor] = []
        for i, layer in enumerate(self.down):
            features = layer(F.max_pool2d(features, 2) if i else features, dark[4] if i == 4 else None)
            skips.append(features)
        for i in (3, 2, 1, 0):
            wide = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = self.up[i](torch.cat([self.narrow[i](wide), skips[i] * dark[i]], 1))
        light: Tensor = self.light(features)
        return x + light * dark[0] / 2  # light is of pictures from -1 to 1, as the features are

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The generator and both critics."""
        parts = {"generator": list(self.restoring().values())}
        return parts | {f"{name}_critic": list(self.helpers[name].parameters()) for name in ("whole", "local")}

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """Generator, critic of whole crops (relativistic, least squares), critic of patches (least squares)."""
        whole, local = self.helpers["whole"], self.helpers["local"]
        image = self.restore(batch.degraded).float()
        normal = batch.label.roll(1, 0).flip(3)  # of another scene, and mirrored where the batch holds but one
        made, real = (whole(t * 2 - 1).float() for t in (image, normal))
        loss = ((made - real.mean() - 1).square().mean() + (real - made.mean() + 1).square().mean()) / 2
        patches, normal_patches = cut(image), cut(normal)
        loss = loss + (local(patches * 2 - 1).float() - 1).square().mean()
        if batch.common.features is not None:
            loss = loss + kept_features(batch.common.features, image, batch.degraded)
            loss = loss + kept_features(batch.common.features, patches, cut(batch.degraded))
        yield Turn("generator", loss, image)
        made, real = (whole(t.detach() * 2 - 1).float() for t in (image, normal))
        loss = ((real - made.mean() - 1).square().mean() + (made - real.mean() + 1).square().mean()) / 2
        yield Turn("whole_critic", loss, image)
        made, real = (local(t.detach() * 2 - 1).float() for t in (patches, normal_patches))
        yield Turn("local_critic", ((real - 1).square().mean() + made.square().mean()) / 2, image)


def cut(images: Tensor) -> Tensor:
    """`PATCHES` squares of `PATCH` pixels from each of [n, 3, h, w], at the same evenly spread places every time."""
    side = min(PATCH, *images.shape[2:])
    spare = images.shape[2] - side, images.shape[3] - side
    places = [(spare[0] * i // (PATCHES - 1), spare[1] * (2 * i % PATCHES) // (PATCHES - 1)) for i in range(PATCHES)]
    return torch.cat([images[:, :, y : y + side, x : x + side] for y, x in places])


def kept_features(features: VGG19Features, image: Tensor, x: Tensor) -> Tensor:
    """Squared distance of the instance-normalised features of a picture before and after."""
    with fp32(image):
        with torch.no_grad():
            before = features(x)[-1]
        return F.mse_loss(F.instance_norm(features(image)[-1]), F.instance_norm(before))
