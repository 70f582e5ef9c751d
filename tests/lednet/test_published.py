"""The adapters of published weights: their parameter counts, what they restore, and what a missing file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lednet.baselines.flol import signal_to_noise
from lednet.baselines.published import Published
from lednet.baselines.registry import METHODS, Needs
from lednet.baselines.zero_dce import apply_curves
from lednet.losses import WeightsMissingError

WEIGHTS = Path(__file__).resolve().parents[2].parent / "shared/data/weights"
PUBLISHED = {
    "zero_dce": 79_416,
    "zero_dce_pp": 10_561,
    "sci_easy": 258,
    "sci_medium": 258,
    "sci_difficult": 258,
    "iat": 91_154,
    "flol": 94_518,
}
"""Trained numbers, as the papers and the files state them (SCI: 0.0003 M, IAT: 90 K)."""


@pytest.fixture(scope="module")
def needs() -> Needs:
    for folder in (WEIGHTS, WEIGHTS.parents[3] / "shared/data/weights"):
        if (folder / "zerodce.pth").is_file():
            return Needs(2.2, folder, "cpu")
    pytest.skip("no published weights at ../shared/data/weights")


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_a_published_network_has_its_published_size_and_brightens(
    name: str, count: int, needs: Needs, textured: Callable[[int, int], Tensor]
) -> None:
    ready = METHODS[name].make(needs)
    assert ready.parameters == count
    dark = textured(96, 133) ** 2.2 * 0.4
    restored = ready.restore(dark)
    assert restored.shape == dark.shape
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert restored.mean() > 1.3 * dark.mean()


def test_scis_repeated_layer_is_the_same_layer(needs: Needs) -> None:
    assert needs.weights is not None
    weights = Published(needs.weights, "sci_easy.pt", torch.device("cpu"), "enhance.")
    for part in ("0.weight", "0.bias", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(weights[f"conv.{part}"], weights[f"blocks.0.{part}"])


def test_every_tensor_is_free_of_denormal_numbers(needs: Needs) -> None:
    assert needs.weights is not None
    for tensor in Published(needs.weights, "zerodce.pth", torch.device("cpu")).tensors.values():
        assert not ((tensor != 0) & (tensor.abs() < torch.finfo(torch.float32).tiny)).any()


def test_a_curve_of_zero_leaves_the_picture_and_a_negative_one_brightens(
    textured: Callable[[int, int], Tensor],
) -> None:
    x = textured(16, 16)
    torch.testing.assert_close(apply_curves(x, [torch.zeros_like(x)] * 8), x)
    assert (apply_curves(x, [torch.full_like(x, -0.5)]) >= x).all()


def test_the_signal_to_noise_map_is_lower_where_there_is_noise() -> None:
    x = torch.full((1, 3, 40, 40), 0.5)
    x[:, :, :, 20:] += 0.1 * torch.randn(1, 3, 40, 20)
    ratio = signal_to_noise(x)
    assert ratio[..., :17].mean() > 5 * ratio[..., 23:].mean()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"no weights at .*zerodce\.pth"):
        METHODS["zero_dce"].make(Needs(2.2, tmp_path, "cpu"))
    with pytest.raises(WeightsMissingError, match="--weights"):
        METHODS["iat"].make(Needs(2.2, None, "cpu"))


@pytest.mark.parametrize("content", [b"", b"no network", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "zerodce.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"zerodce\.pth: not a PyTorch state dict"):
        METHODS["zero_dce"].make(Needs(2.2, tmp_path, "cpu"))


def test_another_networks_weights_are_named(tmp_path: Path) -> None:
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "zerodce.pth")
    ready = METHODS["zero_dce"].make(Needs(2.2, tmp_path, "cpu"))
    with pytest.raises(ValueError, match=r"holds no e_conv1\.weight"):
        ready.restore(torch.zeros(1, 3, 16, 16))


def test_a_file_can_not_run_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "exploded",)  # type: ignore[return-value]

    torch.save({"e_conv1.weight": Bomb()}, tmp_path / "zerodce.pth")
    with pytest.raises(ValueError, match="not a PyTorch state dict"):
        METHODS["zero_dce"].make(Needs(2.2, tmp_path, "cpu"))
    assert not (tmp_path / "exploded").exists()
