"""The CPU's own layout of the pass gives what the model gives: every size, every shape of network, tiles and cores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lednet import inference
from lednet import restorer as restorer_module
from lednet.inference import frame_statistic, restore_frame
from lednet.model import SIZES, LEDNet, LEDNetConfig
from lednet.restorer import Restorer

CLOSE = {"rtol": 1e-4, "atol": 2e-5}
"""A level of 255 is 4e-3."""


def dark(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A dark uint8 [h, w, 3] frame with texture, and some light in it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    scene = 30 + 20 * np.sin(x / 7) * np.cos(y / 9) + 150 * (rng.random((height, width)) > 0.995)
    return (scene[..., None] + rng.normal(0, 6, (height, width, 3))).clip(0, 255).astype(np.uint8)


def as_input(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255


def both(model: LEDNet, frame: np.ndarray, *more: object) -> tuple[list[Tensor], list[Tensor]]:
    with torch.inference_mode():
        told = model.restore(as_input(frame), *more)  # type: ignore[arg-type]
    fast = restore_frame(model, as_input(frame), *more)  # type: ignore[arg-type]
    return [told.image, *told.pooled], [fast.image, *fast.pooled]


@pytest.fixture(scope="module")
def woken(with_heads: Callable[[LEDNet], LEDNet]) -> Callable[[LEDNetConfig | str], LEDNet]:
    def make(size: LEDNetConfig | str) -> LEDNet:
        torch.manual_seed(1)
        model = with_heads(LEDNet(size)).eval()
        # Biases are zero and norms one at first: wrong ones would hide.
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                nn.init.normal_(parameter, 1.0 if "norm.weight" in name else 0.0, 0.1)
        return model

    return make


@given(height=st.integers(16, 90), width=st.integers(16, 90), seed=st.integers(0, 9))
def test_any_frame_is_restored_as_by_the_model(
    tiny: LEDNetConfig, woken: Callable[[LEDNetConfig | str], LEDNet], height: int, width: int, seed: int
) -> None:
    for expected, got in zip(*both(woken(tiny), dark(height, width, seed)), strict=True):
        torch.testing.assert_close(got, expected, **CLOSE)


@pytest.mark.parametrize("size", list(SIZES))
def test_every_size_is_restored_as_by_the_model(woken: Callable[[LEDNetConfig | str], LEDNet], size: str) -> None:
    for expected, got in zip(*both(woken(size), dark(72, 168)), strict=True):  # axes longer and shorter than a window
        torch.testing.assert_close(got, expected, **CLOSE)


def test_a_tile_takes_the_given_statistics_and_gives_those_of_its_core(
    tiny: LEDNetConfig, woken: Callable[[LEDNetConfig | str], LEDNet]
) -> None:
    model = woken(tiny)
    with torch.inference_mode():
        known = model.restore(as_input(dark(64, 64, 5))).pooled[:2]
    for expected, got in zip(*both(model, dark(64, 96), known, (slice(0, 40), slice(24, 96))), strict=True):
        torch.testing.assert_close(got, expected, **CLOSE)


@pytest.mark.parametrize("count", range(4))
def test_the_next_statistic_is_that_of_the_whole_pass(
    tiny: LEDNetConfig, woken: Callable[[LEDNetConfig | str], LEDNet], count: int
) -> None:
    model, x, core = woken(tiny), as_input(dark(64, 96)), (slice(0, 40), slice(24, 96))
    with torch.inference_mode():
        known = model.restore(as_input(dark(64, 64, 5))).pooled[:count]
        assert torch.equal(model.statistic(x, known, core), model.restore(x, known, core).pooled[count])
    assert torch.equal(frame_statistic(model, x, known, core), restore_frame(model, x, known, core).pooled[count])


def test_a_statistic_takes_no_more_of_the_pass_than_what_comes_before_it(
    tiny: LEDNetConfig, woken: Callable[[LEDNetConfig | str], LEDNet]
) -> None:
    model, x = woken(tiny), as_input(dark(64, 96))
    known = restore_frame(model, x).pooled[:3]
    model.decoder1 = nn.Sequential(nn.Sequential(nn.GELU()))  # comes after the last of them, and has no CPU pass
    assert frame_statistic(model, x, known).shape == (1, tiny.channels[0], 1, 1)
    with pytest.raises(TypeError, match="GELU"):
        restore_frame(model, x)


def test_the_shipped_weights_restore_a_frame_within_a_hundredth_of_a_level() -> None:
    model = Restorer("small", device="cpu").model
    (expected, *_), (got, *_) = both(model, dark(180, 320))
    assert 255 * (got - expected).abs().mean() < 0.01


@pytest.mark.parametrize("name", ["small", "base"])
def test_in_bf16_the_shipped_weights_restore_a_frame_within_a_fifth_of_a_level(name: str) -> None:
    model, frame = Restorer(name, device="cpu").model, as_input(dark(180, 320))
    exact, short = (restore_frame(model, frame, products=kind) for kind in (torch.float32, torch.bfloat16))
    assert short.image.dtype == torch.float32
    assert 0 < 255 * (short.image - exact.image).abs().mean() < 0.2
    assert torch.equal(short.pooled[0], exact.pooled[0])  # the light is told in fp32


def test_in_bf16_a_cpu_whose_onednn_refuses_it_restores_the_same_nearly(monkeypatch: pytest.MonkeyPatch) -> None:
    model, frame = Restorer("small", device="cpu").model, as_input(dark(72, 104))
    expected = restore_frame(model, frame, products=torch.bfloat16).image
    monkeypatch.setattr(inference, "_one_dnn_takes", lambda products: products != torch.bfloat16)
    assert 255 * (restore_frame(model, frame, products=torch.bfloat16).image - expected).abs().mean() < 0.1


def test_in_bf16_a_tile_is_restored_as_a_part_of_its_frame(woken: Callable[[LEDNetConfig | str], LEDNet]) -> None:
    frames = dark(64, 420)[None]  # without the instructions for it, bf16 is slow
    whole, tiled = (
        Restorer(woken("small"), device="cpu", precision="bf16", memory_mb=megabytes) for megabytes in (3072, 12)
    )
    assert tiled.frames_at_once(64, 420) == whole.frames_at_once(3000, 4200) == 1
    assert tiled.pixels_at_once < 64 * 420
    assert np.abs(tiled.restore(frames).astype(int) - whole.restore(frames)).mean() < 0.5


@pytest.mark.parametrize("able", [False, True])
def test_a_cpu_that_multiplies_bf16_does_so_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, able: bool) -> None:
    monkeypatch.setattr(restorer_module, "multiplies_bf16", lambda: able)
    assert Restorer("small", device="cpu").products == (torch.bfloat16 if able else torch.float32)
    assert Restorer("small", device="cpu", precision="fp32").products == torch.float32
    told = Restorer("small", device="cpu", precision="bf16")
    assert told.products == torch.bfloat16
    assert {p.dtype for p in told.model.parameters()} == {torch.float32}


def test_a_batch_gives_what_its_frames_give_alone(woken: Callable[[LEDNetConfig | str], LEDNet]) -> None:
    restorer = Restorer(woken("small"), device="cpu")
    frames = np.stack([dark(32, 48, seed) for seed in range(3)])
    assert restorer.frame_by_frame
    assert np.array_equal(restorer.restore(frames), np.concatenate([restorer.restore(f[None]) for f in frames]))


def test_without_onednn_the_result_is_the_same(
    tiny: LEDNetConfig, woken: Callable[[LEDNetConfig | str], LEDNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, frame = woken(tiny), as_input(dark(40, 56))
    expected = restore_frame(model, frame).image
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    torch.testing.assert_close(restore_frame(model, frame).image, expected, **CLOSE)


def test_weights_and_frame_stay_as_they_are(tiny: LEDNetConfig, woken: Callable[[LEDNetConfig | str], LEDNet]) -> None:
    model, frame = woken(tiny), as_input(dark(48, 40))
    before, kept = {k: v.clone() for k, v in model.state_dict().items()}, frame.clone()
    restore_frame(model, frame)
    assert torch.equal(frame, kept)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_frame_below_16_px_is_refused_with_its_size(tiny: LEDNetConfig) -> None:
    with pytest.raises(ValueError, match="12, 40"):
        restore_frame(LEDNet(tiny), as_input(dark(12, 40)))


def test_a_part_that_has_no_cpu_pass_is_refused_by_name(tiny: LEDNetConfig) -> None:
    model = LEDNet(tiny)
    model.middle = nn.Sequential(nn.Sequential(nn.GELU()))
    with pytest.raises(TypeError, match="GELU"):
        restore_frame(model, as_input(dark(16, 16)))


def test_features_pass_between_layouts_without_a_copy() -> None:
    x = torch.randn(6, 8, 32)
    image = inference._as_image(x)
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert inference._as_features(image).data_ptr() == x.data_ptr()
