"""The network keeps sizes, types, independence of batch entries and the promises of its fusion."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lednet.attention import AxisAttention, GatedFeedForward
from lednet.light import lift
from lednet.model import SIZES, SMOOTH_SCALE, LEDNet, LEDNetConfig, SelectiveFusion, fine

Wake = Callable[[LEDNet], LEDNet]
TINY = LEDNetConfig((32, 32, 32), (1, 1, 1), 1, (1, 1), axis_window=8)
ONE_LEVEL = 1 / 255


@pytest.fixture(scope="module")
def small(with_heads: Wake) -> LEDNet:
    """A small LEDNet with random heads, in evaluation mode."""
    torch.manual_seed(3)
    return with_heads(LEDNet("small")).eval()


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("small", 1_061_255),
        ("base", 4_015_967),
        ("large", 9_047_007),
        ("small-v1", 1_079_687),
        ("base-v1", 4_085_599),
        ("small-v2", 1_066_599),
        ("base-v2", 4_036_895),
    ],
)
def test_every_size_builds_with_its_known_number_of_parameters(size: str, count: int) -> None:
    assert sum(p.numel() for p in LEDNet(size).parameters()) == count


@pytest.mark.parametrize(
    ("size", "attends"), [("small", False), ("base", False), ("large", False), ("small-v2", True), ("small-v1", True)]
)
def test_only_former_sizes_attend_at_half_the_frames_size(size: str, attends: bool) -> None:
    model = LEDNet(size)
    at_half = [*model.encoder1.modules(), *model.decoder1.modules()]
    assert any(isinstance(part, AxisAttention) for part in at_half) == attends
    assert sum(isinstance(part, GatedFeedForward) for part in at_half) > 0


@pytest.mark.parametrize("size", sorted(SIZES))
def test_every_size_restores_an_odd_frame(size: str) -> None:
    with torch.no_grad():
        assert LEDNet(size).eval()(torch.rand(1, 3, 19, 33)).shape == (1, 3, 19, 33)


def test_an_unknown_size_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="'huge'; choose one of small, base, large, small-v1, base-v1, small-v2, base-v2"
    ):
        LEDNet("huge")


@given(height=st.integers(16, 70), width=st.integers(16, 70))
def test_any_size_of_frame_keeps_its_size_and_has_a_side_image_an_eighth_of_it(height: int, width: int) -> None:
    with torch.no_grad():
        image, side = LEDNet(TINY).train()(torch.rand(2, 3, height, width))
    assert image.shape == (2, 3, height, width)
    assert side.shape == (2, 3, math.ceil(height / 8), math.ceil(width / 8))


def test_training_gives_image_and_side_and_evaluation_the_image_alone(tiny: LEDNetConfig) -> None:
    model, x = LEDNet(tiny), torch.rand(1, 3, 16, 16)
    image, side = model.train()(x)
    alone = model.eval()(x)
    assert isinstance(alone, Tensor)
    assert side.shape == (1, 3, 2, 2)
    torch.testing.assert_close(alone, image)


@pytest.mark.parametrize(
    "shape", [(1, 3, 15, 64), (1, 3, 64, 15), (1, 4, 64, 64), (1, 1, 64, 64), (3, 64, 64), (1, 1, 3, 64, 64)]
)
def test_a_wrong_shape_is_refused_with_its_numbers(shape: tuple[int, ...], tiny: LEDNetConfig) -> None:
    with pytest.raises(ValueError, match=r"at least 16 px, got " + re.escape(str(shape))):
        LEDNet(tiny)(torch.rand(shape))


def test_an_untrained_network_starts_from_the_lifted_frame(tiny: LEDNetConfig) -> None:
    x = torch.rand(1, 3, 24, 32)
    restoration = LEDNet(tiny).restore(x)
    torch.testing.assert_close(restoration.image, lift(x))
    torch.testing.assert_close(restoration.side, F.avg_pool2d(lift(x), 8))


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_gradients_reach_every_parameter(size: str, tiny: LEDNetConfig, with_heads: Wake) -> None:
    model = with_heads(LEDNet(tiny if size == "tiny" else size)).train()
    # Of one frame alone all figures are the mean of what was seen.
    image, side = model(torch.rand(2, 3, 32, 32) * torch.tensor([1, 0.1]).reshape(2, 1, 1, 1))
    (image.square().mean() + side.square().mean()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_black_and_a_white_frame_have_finite_gradients(tiny: LEDNetConfig, with_heads: Wake) -> None:
    model = with_heads(LEDNet(tiny)).train()
    x = torch.stack([torch.zeros(3, 16, 16), torch.ones(3, 16, 16)]).requires_grad_()
    image, side = model(x)
    (image.mean() + side.mean()).backward()
    assert torch.isfinite(image).all()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@given(channels=st.sampled_from([32, 64, 96]), scale=st.sampled_from([0.1, 1.0, 50.0]))
def test_fusion_weights_are_not_negative_and_sum_to_one(channels: int, scale: float) -> None:
    weights = SelectiveFusion(channels).weights(torch.randn(3, channels, 1, 1) * scale)
    assert weights.shape == (2, 3, channels, 1, 1)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(0), torch.ones(3, channels, 1, 1))


def test_fusion_steers_by_its_own_average_unless_one_is_given() -> None:
    fusion = SelectiveFusion(32)
    decoder, encoder = torch.randn(2, 1, 32, 6, 10)
    whole, pooled = fusion(decoder, encoder)
    crop, passed_on = fusion(decoder[..., 2:5], encoder[..., 2:5], pooled)
    torch.testing.assert_close(crop, whole[..., 2:5])
    assert passed_on is pooled
    alone, _ = fusion(decoder[..., 2:5], encoder[..., 2:5])
    assert (alone - crop).abs().max() > 1e-4


def test_a_frame_given_its_own_statistics_is_restored_as_without(small: LEDNet) -> None:
    x = torch.rand(1, 3, 24, 40)
    with torch.no_grad():
        own = small.restore(x)
        torch.testing.assert_close(small.restore(x, own.pooled).image, own.image)


@pytest.mark.parametrize("which", range(4))
def test_each_of_the_given_statistics_steers_the_frame(which: int, small: LEDNet) -> None:
    x = torch.rand(1, 3, 24, 40)
    with torch.no_grad():
        own = small.restore(x)
        given = [p + 3 * (i == which) for i, p in enumerate(own.pooled)]
        other = small.restore(x, given)
    assert (other.image - own.image).abs().max() > 1e-4
    torch.testing.assert_close(other.pooled[which], given[which])


def test_batch_entries_do_not_influence_each_other(small: LEDNet) -> None:
    x = torch.rand(3, 3, 24, 32)
    with torch.no_grad():
        together = small(x)
        x[0], x[2] = 0, 1
        neighbours_changed = small(x)
        alone = small(x[1:2])
    torch.testing.assert_close(together[1], neighbours_changed[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)


def test_a_network_in_bf16_restores_as_in_fp32_within_one_level(small: LEDNet, textured: Callable[..., Tensor]) -> None:
    x = textured(40, 48) * 0.2
    half = LEDNet("small")
    half.load_state_dict(small.state_dict())
    with torch.no_grad():
        wanted, got = small(x), half.bfloat16().eval()(x.bfloat16())
    assert got.dtype == torch.bfloat16
    assert (got.float() - wanted).abs().mean() < ONE_LEVEL


def test_autocast_to_bf16_restores_as_fp32_within_one_level(small: LEDNet, textured: Callable[..., Tensor]) -> None:
    x = textured(40, 48) * 0.2
    with torch.no_grad():
        wanted = small(x)
        with torch.autocast("cpu", torch.bfloat16):
            got = small(x)
    assert (got.float() - wanted).abs().mean() < ONE_LEVEL


class SeenTypes(TorchFunctionMode):
    """Records the types of the tensors that a torch function is called with, by its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.types = name, set()

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if getattr(function, "__name__", "") == self.name:
            self.types |= {a.dtype for a in args if isinstance(a, Tensor)}
        return function(*args, **(kwargs or {}))


def test_fusion_computes_its_softmax_in_fp32_under_bf16() -> None:
    with SeenTypes("softmax") as seen:
        weights = SelectiveFusion(32).bfloat16().weights(torch.rand(1, 32, 1, 1).bfloat16())
    assert seen.types == {torch.float32}
    assert weights.dtype == torch.bfloat16


@pytest.mark.parametrize("size", sorted(SIZES))
def test_a_config_survives_json(size: str) -> None:
    config = SIZES[size]
    assert LEDNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_config_with_an_unknown_or_a_missing_field_is_refused() -> None:
    fields = TINY.to_dict()
    with pytest.raises(TypeError):
        LEDNetConfig.from_dict(fields | {"heads": 4})
    with pytest.raises(TypeError):
        LEDNetConfig.from_dict({k: v for k, v in fields.items() if k != "channels"})


@pytest.mark.parametrize("height", [64, 72, 120, 136])
def test_a_slope_is_smooth_wherever_the_frame_ends(height: int) -> None:
    slope = torch.arange(height).float().reshape(1, 1, height, 1).expand(1, 1, height, 24)
    inside = fine(slope)[:, :, SMOOTH_SCALE : height - SMOOTH_SCALE - SMOOTH_SCALE // 2]
    assert inside.abs().max() < 1e-3


def test_frames_much_longer_than_the_window_are_restored(tiny: LEDNetConfig, with_heads: Wake) -> None:
    with torch.no_grad():
        image = with_heads(LEDNet(tiny)).eval()(torch.rand(1, 3, 16, 520))
    assert image.shape == (1, 3, 16, 520)
    assert torch.isfinite(image).all()
