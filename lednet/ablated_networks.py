"""The networks of the ablation: LEDNet without one of its parts, or with an idea of others.

Covers what stands in a part's place, and building a network with it. Not covered: their training, and the rows that
differ by their training alone (`lednet.ablate`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lednet.attention import AxialBlock, AxisAttention, ChannelNorm, GatedFeedForward
from lednet.model import Core, LEDNet, SelectiveFusion, frame_average

REACH = 11
"""Taps of the convolution along an axis that stands in for attention. At its ends, 5 tokens away, attention's weights
are down by a factor of e ** -1.25 for their distance alone."""


class AxisConvolution(nn.Module):
    """In place of `AxisAttention`: a depthwise convolution along the same axis, with as many weights around it."""

    def __init__(self, channels: int, axis: str) -> None:
        super().__init__()
        size, padding = ((REACH, 1), (REACH // 2, 0)) if axis == "height" else ((1, REACH), (0, REACH // 2))
        self.norm = ChannelNorm(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.along = nn.Conv2d(2 * channels, 2 * channels, size, padding=padding, groups=2 * channels)
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same shape, the residual included."""
        y: Tensor = self.project(functional.gelu(self.along(self.expand(self.norm(x)))))
        return x + y


class Addition(SelectiveFusion):
    """In place of `SelectiveFusion`: both, projected, are added."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__(channels, scale)
        del self.reduce, self.expand  # nothing is selected, and the table counts parameters

    def forward(
        self, decoder: Tensor, encoder: Tensor, pooled: Tensor | None = None, core: Core | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `SelectiveFusion.forward`."""
        both = self.from_decoder(decoder) + self.from_encoder(encoder)
        return both / 2, frame_average(both, self.scale, core) if pooled is None else pooled


class DilatedDepthwise(nn.Module):
    """A depthwise 3x3 beside one of the same with its taps 4 pixels apart, added (after DarkIR, CVPR 2025)."""

    def __init__(self, near: nn.Conv2d) -> None:
        super().__init__()
        channels = near.in_channels
        self.near = near
        self.far = nn.Conv2d(channels, channels, 3, padding=4, dilation=4, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same shape."""
        with torch.autocast(x.device.type, enabled=False):  # in bf16 a CPU's gradients of it are NaN now and then
            far: Tensor = self.far(x.float())
        near: Tensor = self.near(x)
        return near + far.to(near.dtype)


class AmplitudeBranch(nn.Module):
    """A part that changes how much of each frequency a feature holds, and not where (after DarkIR, CVPR 2025).

    Norm, Fourier transform, two 1x1 convolutions on the logarithm of its amplitudes, the same phases, back; in fp32,
    which is all that the transform knows. Begins as nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 1)
        self.second = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same shape, the residual included."""
        waves = torch.fft.rfft2(self.norm(x).float(), norm="ortho")
        change = self.second(functional.gelu(self.first(waves.abs().log1p()))).float()
        y: Tensor = torch.fft.irfft2(waves * change, s=x.shape[-2:], norm="ortho").to(x.dtype)
        return x + y


class OwnLight(LEDNet):
    """A LEDNet that learns in the light of its own tone curve and not in the label's."""

    def forward(self, x: Tensor, light: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """As `LEDNet.forward`; `light` is not looked at."""
        return super().forward(x)


def convolve(network: LEDNet) -> LEDNet:
    """Axial attention out, convolutions in."""
    for block in [m for m in network.modules() if isinstance(m, AxialBlock)]:
        for i, layer in enumerate(block):
            if isinstance(layer, AxisAttention):
                block[i] = AxisConvolution(layer.norm.weight.shape[0], layer.axis)
    return network


def add(network: LEDNet) -> LEDNet:
    """Selective fusion out, addition in."""
    for name in ("fusion1", "fusion2", "fusion3"):
        fusion = getattr(network, name)
        setattr(network, name, Addition(fusion.from_decoder.in_channels, fusion.scale))
    return network


def dilate(network: LEDNet) -> LEDNet:
    """Dilated depthwise convolutions beside the feed-forwards' own."""
    for layer in [m for m in network.modules() if isinstance(m, GatedFeedForward)]:
        layer.depthwise = DilatedDepthwise(layer.depthwise)  # type: ignore[assignment]
    return network


def amplify(network: LEDNet) -> LEDNet:
    """Amplitude branches after the encoder's blocks."""
    for encoder in (network.encoder1, network.encoder2, network.encoder3):
        for block in [m for m in encoder.modules() if isinstance(m, AxialBlock)]:
            block.append(AmplitudeBranch(block[0].norm.weight.shape[0]))  # type: ignore[union-attr, index, arg-type]
    return network
