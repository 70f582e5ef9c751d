"""Axial attention: self-attention along one image axis at a time.

Covers the attention of one axis (height or width), its windowed form for long axes, the axial Transformer block made
of both, and what such a block is without them. The network that stacks the blocks is in `lednet.model`.

Tensors are named with their shape: B batch, C channels, H height, W width, R rows (every line along the attended
axis), L length of that axis, K keys each query sees, G heads, D channels of a head.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_CHANNELS = 32
"""Channels of one attention head. Narrower heads leave the fast kernels (13 times slower on the CPU)."""

DECAY = 4.0
"""How far, in powers of e, attention weights are down at a quarter window from the query."""

MAX_FOLDED_ROWS = 65_535
"""Fused attention kernels launch one block per (row, head) in a grid dimension of 16 bits; more must be chunked."""


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of a [B, C, H, W] tensor, computed in fp32 whatever the input's type.

    Torch's kernels do so by themselves. Converting before and after them gives the same and costs a GPU four more
    launches and five times the memory traffic.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape and type."""
        y_BHWC = F.layer_norm(x_BCHW.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return y_BHWC.to(x_BCHW.dtype).permute(0, 3, 1, 2)  # autocast gives fp32


def attend(q_RGLD: Tensor, k_RGKD: Tensor, v_RGKD: Tensor, bias_GLK: Tensor) -> Tensor:
    """Scaled dot-product attention over R independent rows, in chunks that every fused kernel accepts.

    `bias_GLK` is added to the logits of every row; its first axis may be 1.
    """
    if q_RGLD.device.type == "cpu" and q_RGLD.dtype == torch.bfloat16 and q_RGLD.requires_grad:
        # On a CPU the kernel's gradients in bf16 take six times as long as in fp32: more than all else of a step.
        with torch.autocast("cpu", enabled=False):
            y = attend(q_RGLD.float(), k_RGKD.float(), v_RGKD.float(), bias_GLK.float())
        return y.to(q_RGLD.dtype)
    rows, heads = q_RGLD.shape[:2]
    step = max(1, MAX_FOLDED_ROWS // heads)
    bias = bias_GLK[None]
    if rows <= step:
        return F.scaled_dot_product_attention(q_RGLD, k_RGKD, v_RGKD, attn_mask=bias)
    parts = [
        F.scaled_dot_product_attention(q_RGLD[i : i + step], k_RGKD[i : i + step], v_RGKD[i : i + step], attn_mask=bias)
        for i in range(0, rows, step)
    ]
    return torch.cat(parts)


def window_keys(length: int, window: int, device: torch.device) -> Tensor:
    """Which keys each block of queries sees: indices [blocks, window] into an axis of `length` >= `window` tokens.

    A block is half a window of neighbouring queries; its keys are the block and a quarter window on either side,
    shifted inwards at the ends of the axis, so that every query sees `window` real keys and none is padding.
    """
    block = window // 2
    blocks = -(-length // block)
    first = (torch.arange(blocks, device=device) * block - window // 4).clamp(0, length - window)
    return first[:, None] + torch.arange(window, device=device)


def distance_bias(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Attention bias that falls linearly with distance (ALiBi, Press et al., ICLR 2022): [..., L, K] for positions.

    The slope is such that at a quarter window, the least reach that every query has, the weight is down by a factor of
    e ** -`DECAY`: where a window ends does not show, and a frame and its tiles agree.
    """
    distance = (queries[..., :, None] - keys[..., None, :]).abs()
    return distance.float() * (-DECAY / (window // 4))


def window_layout(
    length: int, window: int, heads: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """What the attention of an axis of `length` tokens is laid out by; the same for every frame of a size.

    Returns:
        The keys of each block of queries, as `window_keys` has them; the bias, [blocks * G, L, K]. Where one window
        holds the whole axis, no keys, and the bias of all queries, [1, L, L].
    """
    if length <= window:
        here = torch.arange(length, device=device)
        return here.new_empty(0), distance_bias(here, here, window).to(dtype)[None]
    index = window_keys(length, window, device)
    queries = torch.arange(len(index) * (window // 2), device=device).reshape(len(index), -1)
    return index, distance_bias(queries, index, window).to(dtype).repeat_interleave(heads, 0)


@lru_cache(maxsize=64)
def _kept_layout(*wanted: Any) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # training may be the next to use it
        return window_layout(*wanted)


def _layout(*wanted: Any) -> tuple[Tensor, Tensor]:
    """`window_layout`, made once: its dozen small kernels would be half of what a GPU launches for a pass.

    torch.compile puts them into its own kernels; tensors from outside would only be guarded.
    """
    return window_layout(*wanted) if torch.compiler.is_compiling() else _kept_layout(*wanted)


def axis_attention(q_RLGD: Tensor, k_RLGD: Tensor, v_RLGD: Tensor, window: int) -> Tensor:
    """Attention along L within each row, fading with distance; a query sees the `window` keys around it at most.

    Windows bound the cost per pixel on long axes, and keep the number of keys at test time what it was in training.
    Returns [R, L, G, D].
    """
    rows, length, heads, depth = q_RLGD.shape
    index, bias = _layout(length, window, heads, q_RLGD.device, q_RLGD.dtype)
    if length <= window:
        y_RGLD = attend(q_RLGD.transpose(1, 2), k_RLGD.transpose(1, 2), v_RLGD.transpose(1, 2), bias)
        return y_RGLD.transpose(1, 2)
    blocks, block = index.shape[0], window // 2
    q_RLGD = F.pad(q_RLGD, (0, 0, 0, 0, 0, blocks * block - length))
    # Blocks stand beside the heads, so that all rows share one bias.
    q = q_RLGD.reshape(rows, blocks, block, heads, depth).transpose(2, 3).flatten(1, 2)
    k = k_RLGD[:, index].transpose(2, 3).flatten(1, 2)
    v = v_RLGD[:, index].transpose(2, 3).flatten(1, 2)
    y = attend(q, k, v, bias).reshape(rows, blocks, heads, block, depth).transpose(2, 3)
    return y.reshape(rows, blocks * block, heads, depth)[:, :length]


class AxisAttention(nn.Module):
    """Multi-head self-attention along one axis of a feature map, with its own projections.

    A depthwise 3x3 convolution before the projections tells a token where it stands among its neighbours, which
    replaces a position code and keeps any size possible.

    Args:
        channels: a multiple of `HEAD_CHANNELS`.
        axis: "height" or "width".
        window: most keys a query sees, in tokens.
    """

    def __init__(self, channels: int, axis: str, window: int) -> None:
        super().__init__()
        if channels % HEAD_CHANNELS:
            raise ValueError(f"channels must be a multiple of {HEAD_CHANNELS}, got {channels}")
        if axis not in ("height", "width"):
            raise ValueError(f"axis must be 'height' or 'width', got {axis!r}")
        self.axis, self.window = axis, window
        self.norm = ChannelNorm(channels)
        self.place = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape, the residual included."""
        batch, channels, height, width = x_BCHW.shape
        x_BHWC: Tensor = self.place(self.norm(x_BCHW)).permute(0, 2, 3, 1)
        if self.axis == "height":
            x_BHWC = x_BHWC.transpose(1, 2)  # the attended axis comes second to last
        rows, length = x_BHWC.shape[0] * x_BHWC.shape[1], x_BHWC.shape[2]
        qkv: Tensor = self.qkv(x_BHWC).reshape(rows, length, 3, channels // HEAD_CHANNELS, HEAD_CHANNELS)
        q, k, v = qkv.unbind(2)
        y: Tensor = self.out(axis_attention(q, k, v, self.window).reshape(rows, length, channels))
        if self.axis == "height":
            y_BCHW = y.reshape(batch, width, height, channels).permute(0, 3, 2, 1)
        else:
            y_BCHW = y.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return x_BCHW + y_BCHW


class GatedFeedForward(nn.Module):
    """Norm, 1x1 expansion, depthwise 3x3, product of the two halves, 1x1: the block's per-pixel part, with residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape, the residual included."""
        a, b = self.depthwise(self.expand(self.norm(x_BCHW))).chunk(2, dim=1)
        y: Tensor = self.project(a * b)
        return x_BCHW + y


class AxialBlock(nn.Sequential):
    """Axial Transformer block: attention along the height, then along the width, then the gated feed-forward.

    Full attention over H*W tokens split into two one-dimensional ones: O(HW(H+W)) instead of O((HW)^2).
    Source: Guo et al. 2024, section Network.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__(
            AxisAttention(channels, "height", window),
            AxisAttention(channels, "width", window),
            GatedFeedForward(channels),
        )


class FeedForwardBlock(nn.Sequential):
    """An `AxialBlock` without its attention: all that is needed where only the finest detail is left to do."""

    def __init__(self, channels: int) -> None:
        super().__init__(GatedFeedForward(channels))
