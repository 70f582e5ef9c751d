"""The LEDNet of ECCV 2022, whose name and task ours shares.

Source: Zhou, Li and Loy, "LEDNet: joint low-light enhancement and deblurring in the dark", ECCV 2022. Convolutional
encoder and decoder. At each scale of the encoder a pyramid pooling module (PPM) gathers the surroundings and a curve
attention brightens the features; filter-adaptive skips (FAS) predict, from the encoder's features, a 5x5 kernel for
every place and channel that the decoder's features are filtered by. The side image at 1/8 is supervised as ours is, so
its loss is the common one with the side image. Sides that are no multiples of 8 are padded by repeating the border;
the public code mirrors it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn, conv, pad

WIDTHS = (32, 64, 128, 128)
BINS = (1, 2, 3, 6)
CURVES = 3
KERNEL = 5


def smoothed_half(x: Tensor) -> Tensor:
    """[n, c, h, w] at half its sides, after a binomial filter of three taps: no aliasing."""
    taps = torch.tensor([1.0, 2.0, 1.0], device=x.device, dtype=x.dtype) / 4
    kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=x.shape[1])


class Pyramid(nn.Module):
    """PPM: averages over 1, 4, 9 and 36 parts of the frame beside the features, then fused."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // 4
        self.parts = nn.ModuleList(nn.Sequential(conv(channels, part, 1, bias=False), nn.PReLU()) for _ in BINS)
        self.fuse = nn.Sequential(conv(channels + 4 * part, channels, bias=False), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        size, found = x.shape[2:], [x]
        for count, layer in zip(BINS, self.parts, strict=True):
            pooled = layer(F.adaptive_avg_pool2d(x, count))
            found.append(F.interpolate(pooled, size=size, mode="bilinear", align_corners=True))
        fused: Tensor = self.fuse(torch.cat(found, 1))
        return fused


class CurveAttention(nn.Module):
    """Features, clipped to [0, 1], under three curves x + a x (1 - x); a is predicted for every place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.predict = nn.Sequential(
            conv(channels, channels, 5), nn.ReLU(), conv(channels, channels), nn.ReLU(), conv(channels, CURVES, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same, in [0, 1]."""
        curves = self.predict(x).sigmoid()
        x = x.clamp(0, 1)
        for i in range(CURVES):
            x = x + curves[:, i : i + 1] * x * (1 - x)
        return x


class Residual(nn.Module):
    """Two convolutions with a residual, then one or, in the decoder, two with another residual."""

    def __init__(self, channels: int, decoder: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(conv(channels, channels), nn.PReLU(), conv(channels, channels))
        self.second = nn.Sequential(conv(channels, channels), nn.PReLU())
        self.third = conv(channels, channels) if decoder else None

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        x = x + self.first(x)
        out: Tensor = self.second(x)
        return out if self.third is None else x + self.third(out)


class Resample(nn.Module):
    """To half or twice the size, by two ways that are added."""

    def __init__(self, channels_in: int, channels_out: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.enter = nn.Sequential(conv(channels_in, channels_in, 1, bias=False), nn.PReLU())
        mix = conv(channels_in, channels_in, bias=False)
        twice = nn.ConvTranspose2d(channels_in, channels_in, 3, 2, 1, output_padding=1, bias=False)
        self.mix = nn.Sequential(twice if up else mix, nn.PReLU())
        self.leave, self.short = (conv(channels_in, channels_out, 1, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the other channels and size."""
        mixed = self.mix(self.enter(x))
        if self.up:
            wide = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            return self.leave(mixed) + self.short(wide)  # type: ignore[no-any-return]
        return self.leave(smoothed_half(mixed)) + self.short(smoothed_half(x))  # type: ignore[no-any-return]


class AdaptiveSkip(nn.Module):
    """FAS: a kernel for every place and channel from the encoder's features, applied to the decoder's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [part for _ in range(3) for part in (conv(channels, channels), nn.ReLU())]
        self.predict = nn.Sequential(*layers, conv(channels, channels * KERNEL**2, 1))

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        """The decoder's features, both [n, c, h, w] -> filtered."""
        return F.leaky_relu(filter_by(decoder, self.predict(encoder)), 0.2)


def filter_by(x: Tensor, kernels: Tensor) -> Tensor:
    """[n, c, h, w], each value's surroundings weighed by its own kernel of [n, c * 25, h, w]."""
    reach = KERNEL // 2
    height, width = x.shape[2:]
    wide = F.pad(x, (reach,) * 4, mode="replicate")
    weights = kernels.reshape(len(x), x.shape[1], KERNEL**2, height, width)
    total = torch.zeros_like(x)
    for i in range(KERNEL**2):  # one place of the kernel at a time: 25 copies of the features need not be held
        dy, dx = divmod(i, KERNEL)
        total = total + wide[:, :, dy : dy + height, dx : dx + width] * weights[:, :, i]
    return total


class LEDNetECCV(Peer):
    """Encoder, middle, decoder with filter-adaptive skips."""

    name, title = "lednet_eccv", "LEDNet (ECCV 2022)"
    source = "Zhou et al., ECCV 2022"
    published_parameters = (
        "7,405,434 and the side image's 3,459 (counted from the public code by tests/bench/check_peers.py)"
    )
    multiple = 8
    bytes_per_pixel = 2030

    def __init__(self) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(WIDTHS))
        scales = WIDTHS[1:]
        self.stem = nn.Sequential(conv(3, WIDTHS[0]), nn.PReLU())
        self.encode = nn.ModuleList(nn.Sequential(Residual(a), Resample(a, b, up=False)) for a, b in pairs)
        self.pool = nn.ModuleList(Pyramid(c) for c in scales)
        self.curve = nn.ModuleList(CurveAttention(c) for c in scales)
        self.helpers["side"] = conv(WIDTHS[-1], 3)
        self.middle = nn.Sequential(Residual(WIDTHS[-1]), Residual(WIDTHS[-1]))
        self.deepest = Residual(WIDTHS[-1], decoder=True)
        self.skip = nn.ModuleList(AdaptiveSkip(c) for c in scales)
        self.decode = nn.ModuleList(nn.Sequential(Resample(b, a, up=True), Residual(a, decoder=True)) for a, b in pairs)
        self.image = conv(WIDTHS[0], 3)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[n, 3, h, w], sides multiples of 8 -> restored, and what the side image is made from, at 1/8."""
        features, found = self.stem(x), []
        for encode, pool, curve in zip(self.encode, self.pool, self.curve, strict=True):
            features = curve(pool(encode(features)))
            found.append(features)
        light = features
        features = self.deepest(self.middle(features))
        for i in (2, 1, 0):
            features = self.decode[i](self.skip[i](features, found[i]))
        return self.image(features), light

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 8 -> restored."""
        return self.both(x)[0]

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """The common loss with the side image."""
        image, light = self.both(pad(batch.degraded, self.multiple))
        side, label = self.helpers["side"](light).float(), pad(batch.label, self.multiple)
        yield Turn("all", batch.supervise_both(image.float(), side, label), image.float(), label)
