"""Attention along one axis is full attention under a mask and a fading, whatever the window and the chunking."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lednet import attention
from lednet.attention import (
    DECAY,
    HEAD_CHANNELS,
    AxialBlock,
    AxisAttention,
    ChannelNorm,
    GatedFeedForward,
    attend,
    axis_attention,
    distance_bias,
    window_keys,
)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor, distance: Tensor, window: int) -> Tensor:
    """softmax(Q K^T / sqrt(d) + fading) V by hand in float64.

    q, k, v [..., tokens, d]; allowed and distance (along the attended axis) [tokens, tokens].
    """
    q, k, v = q.double(), k.double(), v.double()
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) - DECAY * distance.double() / (window // 4)
    weights = scores.masked_fill(~allowed, -math.inf).exp()
    return weights / weights.sum(-1, keepdim=True) @ v


def full_attention_of(module: AxisAttention, x: Tensor, allowed: Tensor, distance: Tensor) -> Tensor:
    """What the module should give, from attention over all H*W tokens at once."""
    batch, channels, height, width = x.shape
    tokens = module.place(module.norm(x)).flatten(2).transpose(1, 2)
    qkv = module.qkv(tokens).reshape(batch, height * width, 3, channels // HEAD_CHANNELS, HEAD_CHANNELS)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    y = masked_attention(q, k, v, allowed, distance, module.window).float()
    y = module.out(y.transpose(1, 2).reshape(batch, height * width, channels))
    return x + y.transpose(1, 2).reshape(x.shape)


def lines(height: int, width: int, axis: str) -> tuple[Tensor, Tensor]:
    """Which tokens share a column (axis "height") or a row ("width"), [H*W, H*W]; where each stands on it, [H*W]."""
    place = torch.arange(height * width)
    line, along = (place % width, place // width) if axis == "height" else (place // width, place % width)
    return line[:, None] == line[None], along


def apart(along: Tensor) -> Tensor:
    return (along[:, None] - along[None]).abs()


@pytest.mark.parametrize("axis", ["height", "width"])
@given(height=st.integers(2, 9), width=st.integers(2, 9), channels=st.sampled_from([32, 64]))
def test_attention_along_an_axis_is_full_attention_masked_to_that_line(
    axis: str, height: int, width: int, channels: int
) -> None:
    module = AxisAttention(channels, axis, window=16)
    x = torch.randn(2, channels, height, width)
    with torch.no_grad():
        same_line, along = lines(height, width, axis)
        expected = full_attention_of(module, x, same_line, apart(along))
        torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", ["height", "width"])
def test_attention_along_a_long_axis_is_full_attention_masked_to_the_window(axis: str) -> None:
    height, width, window = (21, 5, 8) if axis == "height" else (5, 21, 8)
    module = AxisAttention(32, axis, window)
    x = torch.randn(1, 32, height, width)
    seen = seen_keys(21, window)
    same_line, along = lines(height, width, axis)
    allowed = same_line & seen[along[:, None], along[None]]
    with torch.no_grad():
        expected = full_attention_of(module, x, allowed, apart(along))
        torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def seen_keys(length: int, window: int) -> Tensor:
    """[length, length]: which keys each query may see, written down from the rule: blocks of half a window, a quarter
    window on either side, shifted inwards at the ends."""
    seen = torch.zeros(length, length, dtype=torch.bool)
    for query in range(length):
        block = query // (window // 2)
        first = min(max(block * (window // 2) - window // 4, 0), length - window)
        seen[query, first : first + window] = True
    return seen


windows = st.integers(4, 20)


@given(window=windows, extra=st.integers(0, 50))
def test_each_query_sees_exactly_window_different_keys_its_own_among_them(window: int, extra: int) -> None:
    length = window + extra
    keys = window_keys(length, window, torch.device("cpu"))
    assert keys.shape == (math.ceil(length / (window // 2)), window)
    assert keys.min() >= 0
    assert keys.max() < length
    for query in range(length):
        row = keys[query // (window // 2)]
        assert len(set(row.tolist())) == window
        assert query in row


@given(window=windows, extra=st.integers(1, 40), heads=st.integers(1, 3))
def test_windowed_attention_equals_a_masked_reference(window: int, extra: int, heads: int) -> None:
    length = window + extra
    q, k, v = torch.randn(3, 2, length, heads, 8)
    y = axis_attention(q, k, v, window)
    distance = apart(torch.arange(length))
    q_, k_, v_ = (t.transpose(1, 2) for t in (q, k, v))
    expected = masked_attention(q_, k_, v_, seen_keys(length, window), distance, window).transpose(1, 2)
    assert y.shape == q.shape
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5)


@given(length=st.integers(1, 20), extra=st.integers(0, 20))
def test_an_axis_no_longer_than_the_window_gets_full_attention(length: int, extra: int) -> None:
    window = max(4, length + extra)
    q, k, v = torch.randn(3, 2, length, 2, 8)
    everything, distance = torch.ones(length, length, dtype=torch.bool), apart(torch.arange(length))
    q_, k_, v_ = (t.transpose(1, 2) for t in (q, k, v))
    expected = masked_attention(q_, k_, v_, everything, distance, window).transpose(1, 2)
    torch.testing.assert_close(axis_attention(q, k, v, window).double(), expected, rtol=1e-4, atol=1e-5)


@given(window=windows, length=st.integers(2, 60))
def test_attention_fades_with_distance_alone_and_to_e_to_the_minus_decay_at_a_quarter_window(
    window: int, length: int
) -> None:
    here = torch.arange(length)
    weight = distance_bias(here, here, window).exp()
    assert torch.equal(weight, weight.T)
    assert (weight.diagonal() == 1).all()
    assert (weight[0].diff() < 0).all() or weight[0, -1] == 0
    if length > window // 4:
        assert weight[0, window // 4].item() == pytest.approx(math.exp(-DECAY))


def test_a_token_sees_the_same_in_a_frame_and_in_a_tile_of_it_nearly() -> None:
    q, k, v = torch.randn(3, 1, 96, 1, 32)
    whole = axis_attention(q, k, v, 64)
    tile = axis_attention(q[:, 32:], k[:, 32:], v[:, 32:], 64)
    assert (whole[:, 64:] - tile[:, 32:]).abs().mean() < 0.01


def test_queries_far_from_a_token_do_not_notice_it_changing() -> None:
    q, k, v = torch.randn(3, 1, 64, 1, 8)
    before = axis_attention(q, k, v, 8)
    k[:, 0], v[:, 0] = 9.0, 9.0
    after = axis_attention(q, k, v, 8)
    assert not torch.equal(before[:, :8], after[:, :8])
    assert torch.equal(before[:, 8:], after[:, 8:])


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows times heads of every call of the fused kernel."""
    calls: list[int] = []
    real = F.scaled_dot_product_attention

    def counted(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor) -> Tensor:
        calls.append(q.shape[0] * q.shape[1])
        return real(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", counted)
    return calls


@pytest.mark.parametrize(("rows", "heads", "limit"), [(10, 3, 7), (8, 2, 4), (9, 1, 1), (6, 2, 12), (7, 2, 13)])
def test_attention_in_chunks_equals_attention_at_once(
    rows: int, heads: int, limit: int, monkeypatch: pytest.MonkeyPatch, kernel_calls: list[int]
) -> None:
    q, k, v = torch.randn(3, rows, heads, 4, 8)
    bias = torch.randn(heads, 4, 4)
    whole = attend(q, k, v, bias)
    kernel_calls.clear()
    monkeypatch.setattr(attention, "MAX_FOLDED_ROWS", limit)
    torch.testing.assert_close(attend(q, k, v, bias), whole)
    assert max(kernel_calls) <= limit
    assert sum(kernel_calls) == rows * heads


def test_more_than_65536_rows_never_reach_one_kernel_call(kernel_calls: list[int]) -> None:
    rows = 65_537
    q, k, v = torch.randn(3, rows, 2, 1, 8)
    y = attend(q, k, v, torch.zeros(1, 1, 1))
    assert rows * 2 > 65_535 >= max(kernel_calls)
    torch.testing.assert_close(y, v)  # one key alone: attention returns its value


def test_a_windowed_axis_that_folds_into_more_than_65536_rows_is_chunked_too(kernel_calls: list[int]) -> None:
    q = torch.randn(3_300, 40, 1, 4)  # 20 blocks a row: 66,000 rows for the kernel
    y = axis_attention(q, q, q, 4)
    assert max(kernel_calls) <= 65_535
    torch.testing.assert_close(y[-1:], axis_attention(q[-1:], q[-1:], q[-1:], 4))


def test_the_gradients_of_attention_in_bf16_are_those_of_fp32_rounded() -> None:
    q, k, v = (torch.randn(3, 2, 16, HEAD_CHANNELS).bfloat16().requires_grad_() for _ in range(3))
    bias = distance_bias(torch.arange(16), torch.arange(16), 64)[None]
    weights = torch.randn(3, 2, 16, HEAD_CHANNELS)
    with torch.autocast("cpu", torch.bfloat16):
        y = attend(q, k, v, bias.bfloat16())
    exact = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=bias.bfloat16().float()[None])
    assert y.dtype == torch.bfloat16
    for got, wanted in zip(
        torch.autograd.grad((y * weights).sum(), (q, k, v)),
        torch.autograd.grad((exact * weights).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(got.float(), wanted.float(), rtol=0.02, atol=0.01)


def test_attention_in_bf16_is_learnt_in_fp32_on_a_cpu_and_used_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, types = F.scaled_dot_product_attention, []

    def listed(q: Tensor, *rest: Tensor, attn_mask: Tensor) -> Tensor:
        types.append(q.dtype)
        return kernel(q, *rest, attn_mask=attn_mask)

    monkeypatch.setattr(F, "scaled_dot_product_attention", listed)
    x = torch.randn(2, 1, 8, HEAD_CHANNELS).bfloat16()
    bias = torch.zeros(1, 8, 8, dtype=torch.bfloat16)
    attend(x, x, x, bias)
    attend(x.clone().requires_grad_(), x, x, bias)
    assert types == [torch.bfloat16, torch.float32]


def test_channels_that_do_not_make_whole_heads_are_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"multiple of 32, got 48"):
        AxisAttention(48, "height", 8)


def test_an_unknown_axis_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'height' or 'width', got 'depth'"):
        AxisAttention(32, "depth", 8)


def test_a_block_attends_along_the_height_and_then_along_the_width() -> None:
    first, second, third = AxialBlock(32, 8)
    assert (first.axis, second.axis) == ("height", "width")
    assert isinstance(third, GatedFeedForward)


@given(height=st.integers(2, 12), width=st.integers(2, 12), window=st.integers(4, 8))
def test_a_block_keeps_the_shape(height: int, width: int, window: int) -> None:
    x = torch.randn(2, 32, height, width)
    assert AxialBlock(32, window)(x).shape == x.shape


def test_channel_norm_leaves_every_pixel_with_mean_zero_and_variance_one() -> None:
    y = ChannelNorm(64)(torch.randn(2, 64, 3, 5) * 7 + 3)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 5), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 3, 5), rtol=0, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 1.0, 200.0])
def test_channel_norm_of_bf16_features_is_that_of_fp32_rounded(level: float) -> None:
    norm = ChannelNorm(32)
    x = (torch.randn(1, 32, 20, 20) + level).bfloat16()  # squares of 200 leave bf16 no digits for the variance
    expected = norm(x.float()).bfloat16()
    y = norm.bfloat16()(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, expected, rtol=2**-7, atol=1e-4)  # one rounding apart at most ...
    assert ((y - expected).abs() > 1e-4).float().mean() < 0.001  # ... and seldom


def test_what_an_axis_is_laid_out_by_is_made_once_for_frames_and_for_training_after_them() -> None:
    module = AxisAttention(32, "width", window=8)
    x = torch.randn(1, 32, 3, 21)
    with torch.inference_mode():
        before = module(x)
    made = attention._kept_layout.cache_info().misses
    y = module(x)
    y.sum().backward()  # a tensor made in inference mode can't be kept for this
    assert torch.equal(y, before)
    assert attention._kept_layout.cache_info().misses == made
