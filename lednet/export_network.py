"""LEDNet's pass in operators that ONNX has, for frames of any size: what `lednet.export` writes.

Covers the parts of the pass whose own form can't be exported, and the pass made of them and of the network's layers.
The arithmetic is that of `LEDNet.restore` in evaluation, without the side image; results agree within rounding
(tests/lednet/test_export.py). What differs, and why:

- padding is a gather, since the pads of ONNX exporters are fixed when the frame's size is not;
- attention has one form for axes shorter and longer than a window, since a graph can't choose between two;
- histograms are sums of hat functions instead of `scatter_add_`, and quantiles are found by counting instead of
  `searchsorted`, which has no ONNX operator;
- the smooth part of a frame is taken from whole squares, since pools that reach over an edge fix the size too.

Not covered: writing and checking the file (`lednet.export`), tiles, statistics from another pass, peers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet import light
from lednet.attention import HEAD_CHANNELS, AxisAttention, GatedFeedForward, distance_bias
from lednet.light import SAMPLE_STRIDE, ToneCurve
from lednet.model import SIDE_SCALE, SMOOTH_SCALE, LEDNet

UNSEEN = -1e4
"""Added to the logit of a key beyond the axis: its weight is exactly zero, and the number fits fp16."""


class ExportNetwork(nn.Module):
    """A LEDNet whose `forward` can be exported: sRGB [n, 3, h, w] in [0, 1] -> restored, the same, cut to [0, 1].

    Sides are from `lednet.model.SMALLEST` px up, any size; the weights are the model's own, not copied.
    """

    def __init__(self, model: LEDNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: Tensor) -> Tensor:
        """One pass, tone curve included."""
        model = self.model
        height, width = frame.shape[2:]
        x = reflected(reflected(frame, 2), 3)
        figures = tone_figures(model.light, x)
        exposed = light.apply_curve(x, *model.light(figures))
        shown = F.pixel_unshuffle(torch.cat([x, exposed], 1), 2)
        e1 = blocks(model.encoder1, model.stem(shown) + model.told(figures[:, -light.NOISE_FIGURES :]))
        e2 = blocks(model.encoder2, model.down1(e1))
        e3 = blocks(model.encoder3, model.down2(e2))
        d3 = model.fusion3(blocks(model.middle, e3), e3)[0]
        d2 = blocks(model.decoder2, model.fusion2(model.up2(d3), e2)[0])
        d1 = blocks(model.decoder1, model.fusion1(model.up1(d2), e1)[0])
        detail, scale = F.pixel_shuffle(model.head(d1), 2).chunk(2, dim=1)
        image = exposed + fine(exposed * scale + detail)
        return first_of(first_of(image, 2, height), 3, width).clamp(0, 1)


def reflected(x: Tensor, axis: int) -> Tensor:
    """An axis of at least `SIDE_SCALE` pixels filled up to a multiple of it, as `F.pad(mode="reflect")` does."""
    length = x.shape[axis]
    place = torch.arange((length + SIDE_SCALE - 1) // SIDE_SCALE * SIDE_SCALE, device=x.device)
    return x.index_select(axis, torch.minimum(place, 2 * (length - 1) - place))


def histogram(values: Tensor, bins: int) -> Tensor:
    """Values [..., p] in [0, 1] -> how much of each is in each bin [..., p, bins]; rows sum to one.

    A value between two bins counts for both, by nearness: the hat function around each bin.
    """
    away = values[..., None] * (bins - 1) - torch.arange(bins, device=values.device)
    return (1 - away.abs()).clamp_min(0)


def tone_figures(curve: ToneCurve, x: Tensor) -> Tensor:
    """`ToneCurve.figures` of `tone_statistics` of frames [n, 3, h, w], sides multiples of 8: [n, FIGURES, 1, 1].

    Where a quantile falls exactly between two tones with none between them, rounding says which of both it is: the one
    case in which results differ by more than rounding. It takes few tones, as in tiny or drawn frames.
    """
    tones = histogram(light.lift(F.avg_pool2d(x, SAMPLE_STRIDE)).flatten(2), light.TONES).mean(2)

    squares = F.avg_pool2d(x, light.LIGHT_SQUARE)
    looks = [shares(*look(squares), light.LOOK_TONES, light.LOOKS) for look in (light.colours, light.contrasts)]
    grey = x.mean(1, keepdim=True)
    value = grey[:, :, 1::SAMPLE_STRIDE, 1::SAMPLE_STRIDE]
    deviation = 255 * (value - F.avg_pool2d(grey, 3, SAMPLE_STRIDE)).abs()
    scaled = (torch.log1p(deviation) / math.log1p(light.LARGEST_DEVIATION)).clamp_max(1)
    noise = shares(light.lift(value).flatten(1), scaled.flatten(1), light.NOISE_TONES, light.DEVIATIONS)
    told = torch.cat([quantiles(tones).flatten(1), *looks, noise], 1)[:, :, None, None]
    return curve.scale(told)  # type: ignore[no-any-return]


def shares(tone: Tensor, strength: Tensor, tones: int, strengths: int) -> Tensor:
    """Values in [0, 1], [n, p] each, paired -> the share of each strength within its tone, [n, tones * strengths]."""
    joint = (histogram(tone, tones)[:, :, :, None] * histogram(strength, strengths)[:, :, None, :]).mean(1)
    return light.within_tones(joint, tones)


def quantiles(tones: Tensor) -> Tensor:
    """`lednet.light.quantiles`: how many bins lie below is counted, where it searches among them."""
    below = tones.cumsum(2) - tones / 2
    wanted = torch.tensor(light.QUANTILES, device=tones.device)[None, None].expand(*tones.shape[:2], -1)
    upper = (below[:, :, None, :] < wanted[:, :, :, None]).sum(3).clamp(1, light.TONES - 1)
    left, right = below.gather(2, upper - 1), below.gather(2, upper)
    between = ((wanted - left) / (right - left).clamp_min(1e-6)).clamp(0, 1)
    return ((upper - 1 + between) / (light.TONES - 1)) ** light.LIFT_GAMMA


def blocks(stage: nn.Module, x: Tensor) -> Tensor:
    """The axial blocks of a stage, one after the other, over [b, c, h, w]."""
    for block in stage.children():
        for part in block.children():
            if isinstance(part, AxisAttention):
                x = x + attention(part, x)
            elif isinstance(part, GatedFeedForward):
                x = part(x)
            else:
                raise TypeError(f"no form to export {type(part).__name__} in")
    return x


def attention(part: AxisAttention, x_BCHW: Tensor) -> Tensor:
    """`AxisAttention` without its residual."""
    x_BHWC = part.place(part.norm(x_BCHW)).permute(0, 2, 3, 1)
    if part.axis == "height":
        x_BHWC = x_BHWC.transpose(1, 2)
    q, k, v = torch.unflatten(part.qkv(x_BHWC), 3, (3, -1, HEAD_CHANNELS)).unbind(3)
    y: Tensor = part.out(windowed(q, k, v, part.window).flatten(3))
    if part.axis == "height":
        y = y.transpose(1, 2)
    return y.permute(0, 3, 1, 2)


def windowed(q_BRLGD: Tensor, k_BRLGD: Tensor, v_BRLGD: Tensor, window: int) -> Tensor:
    """`axis_attention` over the third axis, whatever its length. Letters as in `lednet.attention`; N blocks.

    A last block that is too long asks for its last query again, which is cut off; a window that is longer than its axis
    looks at the last key again, which is unseen. Windows of longer axes are shifted inwards at the end.
    """
    length, block = q_BRLGD.shape[2], window // 2
    count = (length + block - 1) // block
    queries = torch.arange(count * block, device=q_BRLGD.device)
    first = (torch.arange(count, device=q_BRLGD.device) * block - window // 4).clamp_max(length - window).clamp_min(0)
    keys_NK = first[:, None] + torch.arange(window, device=q_BRLGD.device)
    bias_NLK = distance_bias(torch.unflatten(queries, 0, (count, block)), keys_NK, window)
    bias_NLK = bias_NLK + UNSEEN * (keys_NK >= length)[:, None]

    q_BRNGLD = torch.unflatten(taken(q_BRLGD, 2, queries), 2, (count, block)).transpose(3, 4)
    k, v = (torch.unflatten(taken(t, 2, keys_NK.flatten()), 2, (count, window)) for t in (k_BRLGD, v_BRLGD))
    logits = q_BRNGLD @ k.permute(0, 1, 2, 4, 5, 3) / math.sqrt(HEAD_CHANNELS) + bias_NLK[:, None]
    y_BRNGLD: Tensor = logits.softmax(-1) @ v.transpose(3, 4)
    return first_of(y_BRNGLD.transpose(3, 4).flatten(2, 3), 2, length)


def taken(x: Tensor, axis: int, place: Tensor) -> Tensor:
    """The given places along an axis; those beyond its end are the last one."""
    return x.index_select(axis, place.clamp_max(x.shape[axis] - 1))


def first_of(x: Tensor, axis: int, count: int) -> Tensor:
    """The first `count` places along an axis.

    A gather: the exporter knows its size to be `count`, where that of a slice would be the least of two expressions,
    which it carries through the network and takes minutes to compare.
    """
    return x.index_select(axis, torch.arange(count, device=x.device))


def fine(x: Tensor) -> Tensor:
    """`lednet.model.fine` of [n, c, h, w], sides multiples of 8: a last half square is filled up with its own mean."""
    halves = F.avg_pool2d(x, SIDE_SCALE)
    for axis in (2, 3):
        count = halves.shape[axis]
        halves = taken(halves, axis, torch.arange((count + 1) // 2 * 2, device=x.device))
    squares = F.avg_pool2d(halves, SMOOTH_SCALE // SIDE_SCALE)
    smooth = F.interpolate(squares, scale_factor=float(SMOOTH_SCALE), mode="bilinear", align_corners=False)
    return x - first_of(first_of(smooth, 2, x.shape[2]), 3, x.shape[3])
