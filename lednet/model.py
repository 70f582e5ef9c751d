"""LEDNet: the Low-light Enhancement and Deblurring Network.

Covers the network, its selective fusion and its three sizes. Not covered: attention (`lednet.attention`), the
frame's tone curve (`lednet.light`), weights on disk (`lednet.checkpoint`), frames in and out (`lednet.restorer`).

Source: Guo Mingxiang et al., "LEDNet for open-pit mine surveillance video", Mine Engineering 12(4), 2024; what the
text leaves open (widths, depths, heads) is chosen in `SIZES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.attention import AxialBlock, FeedForwardBlock
from lednet.light import NOISE_FIGURES, ToneCurve, apply_curve, as_bright_as, tone_statistics

SIDE_SCALE = 8
"""The side image is this many times smaller than the frame; there motion blur has nearly vanished."""

SMOOTH_SCALE = 16
"""Side in pixels of the squares whose means the network leaves to the tone curve: two tokens of its coarsest scale."""

SMALLEST = 16
"""Least height and width of a frame, in pixels: two tokens at the coarsest scale."""


MOST_CHANNELS, MOST_BLOCKS = 512, 16
"""Of one scale; twice and four times what the largest size has."""


@dataclass(frozen=True)
class LEDNetConfig:
    """Shape of a LEDNet. Tuples run from the fine scale to the coarse one: 1/2, 1/4, 1/8."""

    channels: tuple[int, int, int]
    encoder_blocks: tuple[int, int, int]
    middle_blocks: int
    decoder_blocks: tuple[int, int]
    """Blocks after the fusion at 1/2 and at 1/4."""
    axis_window: int = 64
    """Most tokens along an axis that one token attends to, at every scale; a multiple of 4."""
    attention_at_half: bool = True
    """Whether blocks at 1/2 are axial ones, as they are at 1/4 and 1/8, or feed-forwards alone."""

    def __post_init__(self) -> None:
        """Raises ValueError for what is no LEDNet's shape: cards come from outside, one could ask for any memory."""
        blocks = (*self.encoder_blocks, self.middle_blocks, *self.decoder_blocks)
        whole = all(type(n) is int for n in (*self.channels, *blocks, self.axis_window))
        lengths = (len(self.channels), len(self.encoder_blocks), len(self.decoder_blocks)) == (3, 3, 2)
        if not (whole and lengths and all(0 < c <= MOST_CHANNELS for c in self.channels)):
            raise ValueError(f"no shape of a LEDNet of up to {MOST_CHANNELS} channels: {self}")
        if type(self.attention_at_half) is not bool:
            raise ValueError(f"attention_at_half must be true or false, not {self.attention_at_half!r}")
        if not all(0 <= b <= MOST_BLOCKS for b in blocks):
            raise ValueError(f"a stage of a LEDNet has 0 to {MOST_BLOCKS} blocks: {self}")
        if self.axis_window < 4 or self.axis_window % 4:
            raise ValueError(f"axis_window must be a multiple of 4 from 4 up, not {self.axis_window}")

    def to_dict(self) -> dict[str, Any]:
        """The shape as plain values, for a card."""
        return asdict(self)

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> LEDNetConfig:
        """Inverse of `to_dict`, also after a trip through JSON. Raises TypeError on unknown or missing fields."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return LEDNetConfig(**plain)


SIZES: dict[str, LEDNetConfig] = {
    "small": LEDNetConfig((32, 64, 128), (0, 2, 2), 2, (2, 1), attention_at_half=False),
    "base": LEDNetConfig((64, 128, 256), (0, 2, 2), 2, (2, 1), attention_at_half=False),
    "large": LEDNetConfig((64, 128, 256), (2, 4, 6), 4, (4, 2), attention_at_half=False),
    "small-v1": LEDNetConfig((32, 64, 128), (1, 2, 2), 2, (1, 1)),
    "base-v1": LEDNetConfig((64, 128, 256), (1, 2, 2), 2, (1, 1)),
    "small-v2": LEDNetConfig((32, 64, 128), (0, 2, 2), 2, (1, 1)),
    "base-v2": LEDNetConfig((64, 128, 256), (0, 2, 2), 2, (1, 1)),
}
"""The first three can each grow into the next (`lednet.growth`): base is twice as wide as small, large is deeper.

The others are what `small` and `base` were, so that models which sites made of them can be trained on. What has gone
since was at 1/2, where most tokens are: the encoder's block of v1, the decoder's attention of v2. Each took about a
sixth of the time and restored no better (docs/experiments.md).
"""


class Restoration(NamedTuple):
    """What one pass yields."""

    image: Tensor
    """[n, 3, h, w], nominally in [0, 1], not clamped."""
    side: Tensor
    """[n, 3, ceil(h/8), ceil(w/8)], the encoder's own small image."""
    pooled: list[Tensor]
    """The global statistics that steered the pass: of light, then of fusion, coarse to fine; each [n, c, 1, 1]."""


STATISTICS = 4
"""Global statistics of one pass: the light's and three fusions'."""

Core = tuple[slice, slice]
"""The part of a tile, (rows, columns) in pixels, that its share of the frame's statistics is taken from."""


def part_of(features: Tensor, scale: int, core: Core | None) -> Tensor:
    """What of [n, c, h, w] features, at 1/scale of the frame, lies in `core`; all of it where that is None."""
    if core is None:
        return features
    ys, xs = (slice(s.start // scale, -(-s.stop // scale)) for s in core)
    return features[:, :, ys, xs]


def frame_average(features: Tensor, scale: int, core: Core | None) -> Tensor:
    """Mean of [n, c, h, w] features at 1/scale of the frame, over `core` or over all: [n, c, 1, 1]."""
    return part_of(features, scale, core).mean((2, 3), keepdim=True)


def fine(x: Tensor) -> Tensor:
    """What of [n, c, h, w] is finer than `SMOOTH_SCALE`: x without its squares' means, joined linearly.

    Means stand in the middle of whole squares at any size; stretched over x, the last ones of a side that ends in part
    of a square, as 1080 rows do, would lie half a square off.
    """
    squares = F.avg_pool2d(x, SMOOTH_SCALE, ceil_mode=True, count_include_pad=False)
    smooth = F.interpolate(squares, scale_factor=float(SMOOTH_SCALE), mode="bilinear", align_corners=False)
    return x - smooth[:, :, : x.shape[2], : x.shape[3]]


class SelectiveFusion(nn.Module):
    """Selective kernel fusion of decoder and encoder features of one scale.

    Both are summed and averaged over the frame; from that, two sets of channel weights that sum to one choose what of
    each to keep, so that features carrying blur can be dropped. Source: Guo et al. 2024, section Network (after SKFF,
    Zamir et al., ECCV 2020).
    """

    def __init__(self, channels: int, scale: int = 1, reduction: int = 8, least: int = 8) -> None:
        super().__init__()
        self.scale = scale
        hidden = max(channels // reduction, least)
        self.from_decoder = nn.Conv2d(channels, channels, 1)
        self.from_encoder = nn.Conv2d(channels, channels, 1)
        self.reduce = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.PReLU())
        self.expand = nn.ModuleList(nn.Conv2d(hidden, channels, 1) for _ in range(2))

    def weights(self, pooled: Tensor) -> Tensor:
        """Pooled features [n, c, 1, 1] -> weights [2, n, c, 1, 1], summing to one over the first axis."""
        z = self.reduce(pooled)
        return torch.stack([expand(z) for expand in self.expand]).float().softmax(0).to(pooled.dtype)

    def forward(
        self, decoder: Tensor, encoder: Tensor, pooled: Tensor | None = None, core: Core | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fuse two [n, c, h, w] maps. With `pooled` given, use it in place of this input's own frame average."""
        d, e = self.from_decoder(decoder), self.from_encoder(encoder)
        if pooled is None:
            pooled = frame_average(d + e, self.scale, core)
        keep_decoder, keep_encoder = self.weights(pooled)
        return keep_decoder * d + keep_encoder * e, pooled


class Upsample(nn.Sequential):
    """1x1 convolution at the coarse scale, then bilinear interpolation to twice the size (no chequerboard)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 1), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        )


class LEDNet(nn.Module):
    """Brightens and deblurs sRGB frames jointly.

    An encoder at 1/2, 1/4 and 1/8 of the size, a middle at 1/8, a decoder back to 1/2, of axial blocks at 1/4 and 1/8
    and of feed-forwards alone at 1/2 (where the encoder of `small` and `base` is the stem and no more); encoder and
    decoder are joined by a `SelectiveFusion` at each scale. Input and output are (un)shuffled by 2, so that no wide
    tensor lives at full size, where memory traffic would bound the speed. The output is the global residual

        exposed(x) + fine(exposed(x) * scale + detail),      exposed(x) = gain * x ** power - offset

    with the curve predicted once a frame by a `ToneCurve`, `scale` and `detail` per pixel and channel, and `fine` what
    is left without the smooth part. So light is the curve's alone: left to the network, it was learnt by heart scene by
    scene, and unknown scenes came out worse than under the curve (docs/experiments.md). The encoder is shown the frame
    and the exposed frame, and told how noisy the whole frame is, which no one place shows.

    Args:
        size: a name of `SIZES`, or a config of one's own.
    """

    def __init__(self, size: str | LEDNetConfig = "small") -> None:
        super().__init__()
        if isinstance(size, str):
            if size not in SIZES:
                raise ValueError(f"unknown LEDNet size {size!r}; choose one of {', '.join(SIZES)}")
            size = SIZES[size]
        self.config = size
        c1, c2, c3 = size.channels
        n1, n2, n3 = size.encoder_blocks

        def block(channels: int, attention: bool) -> nn.Module:
            return AxialBlock(channels, size.axis_window) if attention else FeedForwardBlock(channels)

        def blocks(channels: int, count: int, attention: bool = True) -> nn.Sequential:
            return nn.Sequential(*(block(channels, attention) for _ in range(count)))

        self.stem = nn.Conv2d(2 * 3 * 4, c1, 3, padding=1)
        self.told = nn.Conv2d(NOISE_FIGURES, c1, 1, bias=False)
        self.encoder1 = blocks(c1, n1, size.attention_at_half)
        self.down1 = nn.Conv2d(c1, c2, 2, stride=2)
        self.encoder2 = blocks(c2, n2)
        self.down2 = nn.Conv2d(c2, c3, 2, stride=2)
        self.encoder3 = blocks(c3, n3)
        self.light = ToneCurve()
        self.side_head = nn.Conv2d(c3, 3, 3, padding=1)
        self.middle = blocks(c3, size.middle_blocks)
        self.fusion3 = SelectiveFusion(c3, 8)
        self.up2 = Upsample(c3, c2)
        self.fusion2 = SelectiveFusion(c2, 4)
        self.decoder2 = blocks(c2, size.decoder_blocks[1])
        self.up1 = Upsample(c2, c1)
        self.fusion1 = SelectiveFusion(c1, 2)
        self.decoder1 = blocks(c1, size.decoder_blocks[0], size.attention_at_half)
        self.head = nn.Conv2d(c1, 2 * 3 * 4, 3, padding=1)
        nn.init.zeros_(self.told.weight)
        for last in (self.head, self.side_head):
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)

    def expose(self, x: Tensor, pooled: Tensor | None = None) -> Tensor:
        """The frame under its tone curve alone, [n, 3, h, w] -> the same; `pooled` are the statistics that the curve is
        made from, its own by default."""
        pooled = tone_statistics(x) if pooled is None else pooled
        return apply_curve(x, *self.light(self.light.figures(pooled)))

    def noise(self, pooled: Tensor) -> Tensor:
        """How noisy the frame of the light's statistics is: [n, NOISE_FIGURES, 1, 1]."""
        return self.light.figures(pooled)[:, -NOISE_FIGURES:]

    def restore(
        self, x: Tensor, pooled: Sequence[Tensor] = (), core: Core | None = None, light: Tensor | None = None
    ) -> Restoration:
        """One pass over [n, 3, h, w] in [0, 1], h and w from 16 px up, any size.

        Args:
            pooled: the statistics of another pass, or the first few of them, to restore a tile as part of its frame.
            core: the part of this tile to take the other statistics from; all of it by default.
            light: in training, the label whose light the exposed frame is given, [n, 3, h, w], h and w multiples of 8.
                Without, the network learns scene by scene how far the curve is off, and alters others' contrast.

        Raises:
            ValueError: if the input is not a batch of RGB images or a side is below 16 px.
        """
        *statistics, image, side = self._stages(x, pooled, core, light)
        return Restoration(image, side, statistics)

    def statistic(self, x: Tensor, pooled: Sequence[Tensor], core: Core | None = None) -> Tensor:
        """The first statistic that `pooled` lacks, as of `restore`; of the pass, only what it takes is done."""
        return next(islice(self._stages(x, pooled, core), len(pooled), None))

    def _stages(
        self, x: Tensor, pooled: Sequence[Tensor] = (), core: Core | None = None, light: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The pass of `restore`: the statistics, each as soon as it is known, then the image and the side image."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < SMALLEST:
            raise ValueError(f"LEDNet needs [n, 3, h, w] with h and w of at least {SMALLEST} px, got {tuple(x.shape)}")
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % SIDE_SCALE, 0, -height % SIDE_SCALE), mode="reflect")
        x = x.contiguous(memory_format=torch.channels_last)

        given: list[Tensor | None] = [*pooled, *[None] * (STATISTICS - len(pooled))]
        p4 = tone_statistics(part_of(x, 1, core)) if given[0] is None else given[0]
        yield p4
        exposed = self.expose(x, p4)
        if light is not None:
            exposed = as_bright_as(exposed, light)
        e1 = self.stem(F.pixel_unshuffle(torch.cat([x, exposed], 1), 2)) + self.told(self.noise(p4))
        e1 = self.encoder1(e1)
        e2 = self.encoder2(self.down1(e1))
        e3 = self.encoder3(self.down2(e2))

        d3, p3 = self.fusion3(self.middle(e3), e3, given[1], core)
        yield p3
        d2, p2 = self.fusion2(self.up2(d3), e2, given[2], core)
        yield p2
        d1, p1 = self.fusion1(self.up1(self.decoder2(d2)), e1, given[3], core)
        yield p1

        detail, scale = F.pixel_shuffle(self.head(self.decoder1(d1)), 2).chunk(2, dim=1)
        image = exposed + fine(exposed * scale + detail)
        yield image[:, :, :height, :width]
        yield self.side_head(e3) + F.avg_pool2d(exposed, SIDE_SCALE)

    def forward(self, x: Tensor, light: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """[n, 3, h, w] -> (restored, side) in training, restored alone in evaluation; `light` as in `restore`."""
        restoration = self.restore(x, light=light)
        return (restoration.image, restoration.side) if self.training else restoration.image
