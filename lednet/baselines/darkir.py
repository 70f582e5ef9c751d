"""A DarkIR-like network: light first, in the amplitudes; blur second, by wide depthwise convolutions.

Source: Feijoo, Benito, Garcia and Conde, "DarkIR: robust low-light image restoration", CVPR 2025, size m. The encoder's
blocks change the amplitudes of the features' Fourier transform and leave the phases alone; the decoder's blocks look
far by dilated depthwise convolutions. Both are gated and scaled by the frame's average, as in NAFNet. Like the paper's,
but for the adapters, which serve other data sets (and stand commented out in the public code), and the losses: here the
common one, with the side image at 1/8, that the paper has as well. Two details differ from the public code: the border
is repeated where sides are no multiples of 8, there black is added; and an amplitude of zero stays zero, there it takes
the phase zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn, conv, pad

WIDTH = 32
ENCODER, MIDDLE, DECODER = (1, 2, 3), 2, (3, 1, 1)
DILATIONS = (1, 4, 9)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of [n, c, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same, normalised over c."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, 1e-6).permute(0, 3, 1, 2)


def depthwise(channels: int, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution of each channel alone, that keeps the size."""
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels)


class Gated(nn.Module):
    """What both blocks share: wide, gate, scale by the frame's average, narrow."""

    def __init__(self, channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.widen = conv(channels, 2 * channels, 1)
        self.branches = nn.ModuleList(depthwise(2 * channels, d) for d in dilations)
        self.scale, self.narrow = conv(channels, channels, 1), conv(channels, channels, 1)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(1, channels, 1, 1)) for _ in range(2))

    def mixed(self, wide: Tensor) -> Tensor:
        """Widened features [n, 2c, h, w] -> [n, c, h, w]."""
        one, other = cast(Tensor, sum(branch(wide) for branch in self.branches)).chunk(2, 1)
        gated = one * other
        out: Tensor = self.narrow(self.scale(gated.mean((2, 3), keepdim=True)) * gated)
        return out


class AmplitudeMLP(nn.Module):
    """Two pointwise layers on the Fourier amplitudes of [n, c, h, w]; phases are kept. FFT knows no bf16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, 2 * channels, 1), conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same, with other amplitudes."""
        spectrum = torch.fft.rfft2(x.float())
        amplitude = spectrum.abs()
        changed = self.second(F.leaky_relu(self.first(amplitude.to(x.dtype)), 0.1)).float()
        direction = spectrum / amplitude.clamp_min(1e-8)  # smooth where the angle's gradient would not be
        changed_image: Tensor = torch.fft.irfft2(changed * direction, s=x.shape[2:])
        return changed_image.to(x.dtype)


class LightBlock(Gated):
    """The encoder's."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, (1,))
        self.extra, self.amplitudes = depthwise(channels), AmplitudeMLP(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        x = x + self.beta * self.mixed(self.widen(self.extra(self.norm1(x))))
        return x + self.gamma * (x * self.amplitudes(self.norm2(x)))  # type: ignore[no-any-return]


class BlurBlock(Gated):
    """The decoder's."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, DILATIONS)
        self.extra = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=channels)
        self.first, self.second = conv(channels, 2 * channels, 1), conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        x = x + self.beta * self.mixed(self.extra(self.widen(self.norm1(x))))
        one, other = self.first(self.norm2(x)).chunk(2, 1)
        return x + self.gamma * self.second(one * other)  # type: ignore[no-any-return]


class DarkIR(Peer):
    """Encoder, middle and decoder of three scales."""

    name, title = "darkir", "DarkIR-like, size m"
    source = "after Feijoo et al., CVPR 2025"
    published_parameters = (
        "3,314,723 and the side image's 6,915 (counted from the public code by tests/bench/check_peers.py)"
    )
    multiple = 8
    learning_rate = 5e-4
    bytes_per_pixel = 1460

    def __init__(self) -> None:
        super().__init__()
        widths = [WIDTH * 2**i for i in range(4)]
        self.stem, self.image = conv(3, WIDTH), conv(WIDTH, 3)
        self.helpers["side"] = conv(widths[-1], 3)

        def blocks(kind: type[Gated], channels: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(kind(channels) for _ in range(count)))  # type: ignore[call-arg]

        self.encode = nn.ModuleList(blocks(LightBlock, c, n) for c, n in zip(widths, ENCODER, strict=False))
        self.down = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, 2) for c in widths[:3])
        self.middle_light, self.middle_blur = (blocks(kind, widths[-1], MIDDLE) for kind in (LightBlock, BlurBlock))
        self.up = nn.ModuleList(
            nn.Sequential(conv(c, 2 * c, 1, bias=False), nn.PixelShuffle(2)) for c in reversed(widths[1:])
        )
        self.decode = nn.ModuleList(blocks(BlurBlock, c, n) for c, n in zip(reversed(widths[:3]), DECODER, strict=True))

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[n, 3, h, w], sides multiples of 8 -> restored, and what the side image is made from, at 1/8."""
        features, skips = self.stem(x), []
        for encode, down in zip(self.encode, self.down, strict=True):
            skips.append(encode(features))
            features = down(skips[-1])
        light = self.middle_light(features)
        features = self.middle_blur(light) + light
        for up, decode, skip in zip(self.up, self.decode, reversed(skips), strict=True):
            features = decode(up(features) + skip)
        return self.image(features) + x, light

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], sides multiples of 8 -> restored."""
        return self.both(x)[0]

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """The common loss with the side image."""
        image, light = self.both(pad(batch.degraded, self.multiple))
        side, label = self.helpers["side"](light).float(), pad(batch.label, self.multiple)
        yield Turn("all", batch.supervise_both(image.float(), side, label), image.float(), label)
