"""LEDNet's pass over one frame on the CPU: the network and the weights of `lednet.model`, laid out for speed.

Covers frame to restored frame, without gradients and without the side image. The arithmetic is that of
`LEDNet.restore`; only its order and its place in memory differ, and results agree within rounding
(tests/lednet/test_inference.py). In the order of what they save (docs/performance.md has the profile):

- features stand as [h, w, c] throughout; the keys of a window are a view of them, where the model gathers copies;
- residuals are added in place, and 1x1 convolutions go to oneDNN, which adds their bias while the result is at hand;
- where the CPU multiplies bf16, the blocks do so: half the traffic, two to three times the rate. What they are added
  to, norms, light and statistics stay fp32, and stem and head, whose rounding is two thirds of all that would show.

Not covered: training and GPUs, which take `LEDNet.restore`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.attention import HEAD_CHANNELS, AxisAttention, ChannelNorm, GatedFeedForward, attend, distance_bias
from lednet.light import tone_statistics
from lednet.model import (
    SIDE_SCALE,
    SMALLEST,
    STATISTICS,
    Core,
    LEDNet,
    SelectiveFusion,
    Upsample,
    fine,
    frame_average,
    part_of,
)

CONVOLUTION_LANES = 16
"""Output channels of a 3x3 convolution are padded to a multiple of this; oneDNN is half as fast on a remainder."""


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for products of bf16 (AVX512_BF16, AMX); without, they are far slower.

    False where torch can't tell.
    """
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def _one_dnn_takes(products: torch.dtype) -> bool:
    """Whether oneDNN is there and multiplies in this type: it refuses bf16 on a CPU without AVX-512 (or the like)."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return products != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Restored(NamedTuple):
    """What one pass yields."""

    image: Tensor
    """[1, 3, h, w], nominally in [0, 1], not clamped."""
    pooled: list[Tensor]
    """As `lednet.model.Restoration.pooled`."""


def restore_frame(
    model: LEDNet,
    x: Tensor,
    pooled: Sequence[Tensor] = (),
    core: Core | None = None,
    products: torch.dtype = torch.float32,
) -> Restored:
    """`LEDNet.restore` of one image [1, 3, h, w] in [0, 1], for a model in fp32 on the CPU.

    Args:
        pooled, core: as for `LEDNet.restore`.
        products: what the blocks multiply in, fp32 or bf16; all else is fp32 either way.

    Raises:
        ValueError: if it is not one RGB image, or a side is below 16 px.
    """
    with torch.inference_mode():
        *statistics, image = _stages(model, x, pooled, core, products)
    return Restored(image, statistics)


def frame_statistic(
    model: LEDNet,
    x: Tensor,
    pooled: Sequence[Tensor],
    core: Core | None = None,
    products: torch.dtype = torch.float32,
) -> Tensor:
    """`LEDNet.statistic` of one image, as `restore_frame` would come to it."""
    with torch.inference_mode():
        return next(islice(_stages(model, x, pooled, core, products), len(pooled), None))


def _stages(
    model: LEDNet, x: Tensor, pooled: Sequence[Tensor], core: Core | None, products: torch.dtype
) -> Iterator[Tensor]:
    """The pass: the statistics, each as soon as it is known, then the image."""
    if x.shape[:2] != (1, 3) or min(x.shape[2:]) < SMALLEST:
        raise ValueError(f"LEDNet needs [1, 3, h, w] with h and w of at least {SMALLEST} px, got {list(x.shape)}")
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % SIDE_SCALE, 0, -height % SIDE_SCALE), mode="reflect")
    given: list[Tensor | None] = [*pooled, *[None] * (STATISTICS - len(pooled))]
    p4 = tone_statistics(part_of(x, 1, core)) if given[0] is None else given[0]
    yield p4
    exposed = model.expose(x, p4)
    shown = torch.cat([_unshuffle(_as_features(x)), _unshuffle(_as_features(exposed))], 2)
    told = model.told(model.noise(p4)).flatten()
    stem = _convolve(model.stem, shown, _reordered(model.stem.weight, 1)).add_(told)
    e1 = _blocks(model.encoder1, stem, products)
    e2 = _blocks(model.encoder2, _shrink(model.down1, e1), products)
    e3 = _blocks(model.encoder3, _shrink(model.down2, e2), products)

    d3, p3 = _fuse(model.fusion3, _blocks(model.middle, e3.clone(), products), e3, given[1], core)
    yield p3
    d2, p2 = _fuse(model.fusion2, _enlarge(model.up2, d3), e2, given[2], core)
    yield p2
    d2 = _blocks(model.decoder2, d2, products)
    d1, p1 = _fuse(model.fusion1, _enlarge(model.up1, d2), e1, given[3], core)
    yield p1
    d1 = _blocks(model.decoder1, d1, products)

    assert model.head.bias is not None
    residual = _convolve(model.head, d1, _reordered(model.head.weight, 0), _reordered(model.head.bias, 0))
    detail, scale = residual[..., :12], residual[..., 12:]
    image = exposed + fine(_as_image(_shuffle(torch.addcmul(detail, shown[..., 12:], scale))))
    yield image[:, :, :height, :width]


def _unshuffle(x_HWC: Tensor) -> Tensor:
    """[h, w, 3] -> [h/2, w/2, (dy, dx, c) = 12]."""
    height, width = x_HWC.shape[:2]
    return x_HWC.reshape(height // 2, 2, width // 2, 6).transpose(1, 2).reshape(height // 2, width // 2, 12)


def _reordered(weight: Tensor, axis: int) -> Tensor:
    """Reorder the 24 unshuffled channels along an axis from the model's (image, c, dy, dx) to (image, dy, dx, c)."""
    parts = weight.reshape(*weight.shape[:axis], 2, 3, 2, 2, *weight.shape[axis + 1 :])
    return parts.movedim(axis + 1, axis + 3).flatten(axis, axis + 3)


def _shuffle(x_HWC: Tensor) -> Tensor:
    """Inverse of `_unshuffle`."""
    height, width = x_HWC.shape[:2]
    return x_HWC.reshape(height, width, 2, 6).transpose(1, 2).reshape(2 * height, 2 * width, 3)


def _as_image(x_HWC: Tensor) -> Tensor:
    """[h, w, c] -> the same memory as [1, c, h, w], channels last."""
    return x_HWC[None].permute(0, 3, 1, 2)


def _as_features(x_BCHW: Tensor) -> Tensor:
    """Inverse of `_as_image`."""
    return x_BCHW.permute(0, 2, 3, 1)[0].contiguous()


def _convolve(layer: nn.Conv2d, x_HWC: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A layer's 3x3 convolution with its weight reordered: [h, w, c] -> [h, w, its output channels]."""
    bias = layer.bias if bias is None else bias
    assert bias is not None
    wanted = weight.shape[0]
    lacking = -wanted % CONVOLUTION_LANES
    weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, lacking)).contiguous(memory_format=torch.channels_last)
    return _as_features(F.conv2d(_as_image(x_HWC), weight, F.pad(bias, (0, lacking)), padding=1))[..., :wanted]


def _shrink(layer: nn.Conv2d, x_HWC: Tensor) -> Tensor:
    return _as_features(layer(_as_image(x_HWC)))


def _enlarge(layer: Upsample, x_HWC: Tensor) -> Tensor:
    convolution, enlarge = layer
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    return _as_features(enlarge(_as_image(_dense(x_HWC, convolution.weight, convolution.bias))))


def _dense(x_HWC: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """1x1 convolution: [h, w, c] by weight [o, c] or [o, c, 1, 1] -> [h, w, o], in the features' type.

    On one thread `F.conv2d` and `F.linear` copy the bias into the result before they multiply; oneDNN does not.
    """
    weight, bias = weight.flatten(1).to(x_HWC.dtype), bias.to(x_HWC.dtype)
    if not _one_dnn_takes(x_HWC.dtype):
        return F.linear(x_HWC, weight, bias)
    y = torch.mkldnn_convolution(_as_image(x_HWC), weight[:, :, None, None], bias, (0, 0), (1, 1), (1, 1), 1)
    return _as_features(y)


def _depthwise(layer: nn.Conv2d, x_HWC: Tensor) -> Tensor:
    """A layer's depthwise 3x3 convolution, in the features' type."""
    assert layer.bias is not None
    weight, bias = layer.weight.to(x_HWC.dtype), layer.bias.to(x_HWC.dtype)
    return _as_features(F.conv2d(_as_image(x_HWC), weight, bias, padding=1, groups=x_HWC.shape[2]))


def _blocks(blocks: nn.Module, x_HWC: Tensor, products: torch.dtype) -> Tensor:
    """Axial blocks one after the other; the given features, fp32, are overwritten."""
    for block in blocks.children():
        for part in block.children():
            if isinstance(part, AxisAttention):
                _add_attention(part, x_HWC, products)
            elif isinstance(part, GatedFeedForward):
                _add_feed_forward(part, x_HWC, products)
            else:
                raise TypeError(f"no CPU pass for {type(part).__name__}")
    return x_HWC


def _normed(norm: ChannelNorm, x_HWC: Tensor) -> Tensor:
    return F.layer_norm(x_HWC, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def _add_feed_forward(part: GatedFeedForward, x_HWC: Tensor, products: torch.dtype) -> None:
    assert part.expand.bias is not None
    assert part.project.bias is not None
    wide = _dense(_normed(part.norm, x_HWC).to(products), part.expand.weight, part.expand.bias)
    a, b = _depthwise(part.depthwise, wide).chunk(2, 2)
    x_HWC += _dense(a * b, part.project.weight, part.project.bias)


def _add_attention(part: AxisAttention, x_HWC: Tensor, products: torch.dtype) -> None:
    height, width = x_HWC.shape[:2]
    placed = _depthwise(part.place, _normed(part.norm, x_HWC).to(products))
    qkv = _dense(placed, part.qkv.weight, part.qkv.bias).reshape(height, width, 3, -1, HEAD_CHANNELS)
    y_HWC = torch.empty_like(placed)
    y = y_HWC.reshape(height, width, -1, HEAD_CHANNELS)
    if part.axis == "height":
        qkv, y = qkv.transpose(0, 1), y.transpose(0, 1)
    q, k, v = qkv.unbind(2)
    _attend_along(q, k, v, y, part.window)
    x_HWC += _dense(y_HWC, part.out.weight, part.out.bias)


def _attend_along(q_RLGD: Tensor, k_RLGD: Tensor, v_RLGD: Tensor, out_RLGD: Tensor, window: int) -> None:
    """`lednet.attention.axis_attention`, one block of queries after the other, its keys a view."""
    length = q_RLGD.shape[1]
    q, k, v, out = (t.transpose(1, 2) for t in (q_RLGD, k_RLGD, v_RLGD, out_RLGD))
    keys = min(window, length)
    block = length if length <= window else window // 2
    for start in range(0, length, block):
        stop = min(start + block, length)
        first = min(max(start - window // 4, 0), length - keys)
        seen = slice(first, first + keys)
        bias = _bias(start - first, stop - start, keys, window, q.dtype)
        out[:, :, start:stop] = attend(q[:, :, start:stop], k[:, :, seen], v[:, :, seen], bias)


@lru_cache(maxsize=256)
def _bias(offset: int, queries: int, keys: int, window: int, dtype: torch.dtype) -> Tensor:
    """`distance_bias` of neighbouring queries, the first of which stands `offset` after the first key: [1, L, K]."""
    return distance_bias(torch.arange(offset, offset + queries), torch.arange(keys), window).to(dtype)[None]


def _fuse(
    fusion: SelectiveFusion, decoder: Tensor, encoder: Tensor, pooled: Tensor | None, core: Core | None
) -> tuple[Tensor, Tensor]:
    """`SelectiveFusion` of two [h, w, c] maps: what both are mixed by goes into their weights."""
    d, e = fusion.from_decoder, fusion.from_encoder
    assert d.bias is not None
    assert e.bias is not None
    if pooled is None:  # an average of linear functions is the linear function of the average
        means = (frame_average(_as_image(x), fusion.scale, core) for x in (decoder, encoder))
        pooled = sum((c(m) for c, m in zip((d, e), means, strict=True)), torch.zeros(()))
    keep_d, keep_e = fusion.weights(pooled)[:, 0]
    mixed = _dense(decoder, keep_d[..., None] * d.weight, keep_d.flatten() * d.bias + keep_e.flatten() * e.bias)
    mixed.flatten(0, 1).addmm_(encoder.flatten(0, 1), (keep_e[..., None] * e.weight).flatten(1).t())
    return mixed, pooled
