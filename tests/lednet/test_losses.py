"""The loss is the paper's formula, and pretrained features are the real ones or an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.losses import (
    VGG19_LAYERS,
    VGG19_MEAN_BGR,
    VGG19_POOL_BEFORE,
    VGG19_UNIT,
    LEDNetLoss,
    LossWeights,
    VGG19Features,
    WeightsMissingError,
)

REAL_WEIGHTS = Path(__file__).resolve().parents[2].parent / "shared/data/weights/vgg19_conv1_1-conv3_4.npz"


def write_weights(path: Path, channels: int = 4, leave_out: str = "") -> Path:
    """A VGG19 of few channels with random weights, in the converted array's layout."""
    rng, arrays, fan_in = np.random.default_rng(0), {}, 3
    for layer in VGG19_LAYERS:
        name = f"block{layer[4]}_conv{layer[6]}"
        arrays[f"{name}__kernel"] = (rng.standard_normal((3, 3, fan_in, channels)) / 5).astype(np.float32)
        arrays[f"{name}__bias"] = rng.standard_normal(channels).astype(np.float32)
        fan_in = channels
    arrays.pop(leave_out, None)
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> VGG19Features:
    return VGG19Features(write_weights(tmp_path_factory.mktemp("vgg") / "vgg.npz"))


@pytest.fixture(scope="module")
def real_features() -> VGG19Features:
    if not REAL_WEIGHTS.is_file():
        pytest.skip(f"no {REAL_WEIGHTS}")
    return VGG19Features(REAL_WEIGHTS)


def some_batch(n: int = 4, height: int = 32, width: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    return torch.rand(n, 3, height, width), torch.rand(n, 3, height // 8, width // 8), torch.rand(n, 3, height, width)


def test_missing_weights_are_an_error_that_names_the_path_and_the_flags(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError) as caught:
        VGG19Features(tmp_path / "none.npz")
    for word in (str(tmp_path / "none.npz"), "--vgg", "--perceptual off"):
        assert word in str(caught.value)


def torchvisions(channels: int = 4) -> nn.Sequential:
    """The layers up to conv3_4 as torchvision's VGG19 has them, of few channels, with random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    fan_in = 3
    for layer in VGG19_LAYERS:
        if layer in VGG19_POOL_BEFORE:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Conv2d(fan_in, channels, 3, padding=1), nn.ReLU()]
        fan_in = channels
    return nn.Sequential(*layers)


@pytest.mark.parametrize("zipped", [True, False])
def test_torchvisions_own_file_gives_the_features_of_its_network(zipped: bool, tmp_path: Path) -> None:
    network, path = torchvisions(), tmp_path / "vgg19-dcbb9e9d.pth"
    state = {f"features.{k}": v for k, v in network.state_dict().items()} | {"classifier.0.bias": torch.zeros(4)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)  # its file is of the older kind
    x = torch.rand(2, 3, 16, 24)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = (x - mean) / std
    wanted = []
    for k, layer in enumerate(network):
        expected = layer(expected)
        if k in (3, 8, 17):  # the ReLUs of conv1_2, conv2_2 and conv3_4
            wanted.append(expected)
    for found, feature in zip(VGG19Features(path)(x), wanted, strict=True):
        torch.testing.assert_close(found / VGG19_UNIT, feature, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("damage", ["garbage", "truncated", "of another network"])
def test_a_file_that_is_not_torchvisions_is_an_error_that_names_it(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "vgg19.pth"
    torch.save({"features.0.weight": torch.zeros(4, 3, 3, 3), "features.0.bias": torch.zeros(4)}, path)
    data = path.read_bytes()
    path.write_bytes({"garbage": b"no file of torch", "truncated": data[:99]}.get(damage, data))
    with pytest.raises(ValueError, match=r"vgg19\.pth: not torchvision's VGG19 .*pass its vgg19-\*\.pth whole"):
        VGG19Features(path)


def test_weights_without_a_layer_are_an_error_that_names_file_and_layer(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "vgg.npz", leave_out="block3_conv2__bias")
    with pytest.raises(ValueError, match=r"vgg\.npz.*block3_conv2"):
        VGG19Features(path)


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty"])
def test_a_damaged_weights_file_is_an_error_that_names_it(damage: str, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "vgg.npz")
    data = path.read_bytes()
    path.write_bytes({"garbage": b"not an archive" * 50, "truncated": data[: len(data) // 2], "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"vgg\.npz"):
        VGG19Features(path)


@pytest.mark.parametrize(
    "weights", [LossWeights(), LossWeights(side=0.3, full=2.0, perceptual=0.5, perceptual_share=1.0)]
)
def test_the_total_is_the_papers_formula(weights: LossWeights, features: VGG19Features) -> None:
    image, side, label = some_batch()
    small = label.reshape(4, 3, 4, 8, 6, 8).mean((3, 5))
    some = max(1, round(4 * weights.perceptual_share))
    perceptual, side_perceptual = (
        torch.stack([(a - b).abs().mean() for a, b in zip(features(x[:some]), features(y[:some]), strict=True)]).mean()
        / VGG19_UNIT
        for x, y in ((image, label), (side, small))
    )
    expected = weights.side * ((side - small).abs().mean() + weights.perceptual * side_perceptual)
    expected = expected + weights.full * ((image - label).abs().mean() + weights.perceptual * perceptual)
    terms = LEDNetLoss(weights, features)(image, side, label)
    torch.testing.assert_close(terms.total, expected)
    torch.testing.assert_close(terms.l1, (image - label).abs().mean())
    torch.testing.assert_close(terms.side_l1, (side - small).abs().mean())
    torch.testing.assert_close(terms.perceptual, perceptual)


def test_without_features_the_total_is_the_two_l1_terms() -> None:
    image, side, label = some_batch()
    terms = LEDNetLoss(LossWeights(side=0.8, full=1.0), None)(image, side, label)
    torch.testing.assert_close(terms.total, 0.8 * terms.side_l1 + terms.l1)
    assert terms.perceptual == 0


def test_the_side_image_is_compared_with_the_label_averaged_over_8_by_8_pixels() -> None:
    _, _, label = some_batch()
    averaged = label.reshape(4, 3, 4, 8, 6, 8).mean((3, 5))
    assert LEDNetLoss(LossWeights(), None)(label, averaged, label).total.item() == pytest.approx(0, abs=1e-7)


def test_equal_images_have_no_perceptual_distance(features: VGG19Features) -> None:
    x = torch.rand(2, 3, 16, 16)
    assert features.distance(x, x) == 0


def test_perceptual_distance_is_positive_and_symmetric(features: VGG19Features) -> None:
    x, y = torch.rand(2, 2, 3, 16, 16)
    assert features.distance(x, y) > 0
    torch.testing.assert_close(features.distance(x, y), features.distance(y, x))


def test_gradients_reach_the_restored_image_and_not_the_frozen_weights(features: VGG19Features) -> None:
    image, side, label = (t.requires_grad_() for t in some_batch())
    LEDNetLoss(LossWeights(perceptual_share=1.0), features)(image, side, label).total.backward()
    assert image.grad is not None
    assert (image.grad.abs().sum((1, 2, 3)) > 0).all()
    assert side.grad is not None
    assert (side.grad.abs().sum((1, 2, 3)) > 0).all()
    assert list(features.parameters()) == []


def first_two_convolutions(path: Path, x: Tensor, y: int, column: int) -> np.ndarray:
    """conv1_2 after its ReLU at one inner pixel of x [1, 3, h, w], from the file's arrays, written out in float64."""
    with np.load(path) as arrays:
        k1, b1 = arrays["block1_conv1__kernel"].astype(np.float64), arrays["block1_conv1__bias"]
        k2, b2 = arrays["block1_conv2__kernel"].astype(np.float64), arrays["block1_conv2__bias"]
    bgr = x[0].double().permute(1, 2, 0).numpy()[:, :, ::-1] * 255 - np.array(VGG19_MEAN_BGR)

    def convolve(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, row: int, col: int) -> np.ndarray:
        return np.maximum(np.einsum("hwi,hwio->o", image[row - 1 : row + 2, col - 1 : col + 2], kernel) + bias, 0)

    around = np.array([[convolve(bgr, k1, b1, y + i, column + j) for j in (-1, 0, 1)] for i in (-1, 0, 1)])
    return convolve(around, k2, b2, 1, 1)


def test_features_begin_with_the_files_convolutions_written_out_by_hand(tmp_path: Path) -> None:
    path, x = write_weights(tmp_path / "vgg.npz"), torch.rand(1, 3, 12, 12)
    expected = first_two_convolutions(path, x, 6, 5)
    np.testing.assert_allclose(VGG19Features(path)(x)[0][0, :, 6, 5].numpy(), expected, rtol=1e-4, atol=1e-2)


def test_real_features_begin_with_the_convolutions_written_out_by_hand(real_features: VGG19Features) -> None:
    x = torch.rand(1, 3, 12, 12)
    expected = first_two_convolutions(REAL_WEIGHTS, x, 6, 5)
    np.testing.assert_allclose(real_features(x)[0][0, :, 6, 5].numpy(), expected, rtol=1e-4, atol=1e-2)


def test_real_features_find_a_blurred_image_further_away_the_more_it_is_blurred(real_features: VGG19Features) -> None:
    x = torch.rand(1, 3, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    distances = [real_features.distance(F.avg_pool2d(x, k, 1, k // 2, count_include_pad=False), x) for k in (3, 5, 9)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_the_perceptual_distance_in_bf16_says_what_that_in_fp32_says(real_features: VGG19Features) -> None:
    """Where training multiplies in bf16: the distance to a thousandth, the gradient in its direction."""
    label = F.interpolate(torch.rand(1, 3, 12, 12), scale_factor=8, mode="bilinear")
    image = (label + 0.05 * torch.randn_like(label)).clamp(0, 1).requires_grad_()
    found = []
    for bf16 in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            distance = real_features.distance(image, label)
        (gradient,) = torch.autograd.grad(distance, image)
        found.append((distance.item(), gradient.flatten()))
    (plain, slope), (rough, rough_slope) = found
    assert rough == pytest.approx(plain, rel=1e-3)
    assert torch.cosine_similarity(slope, rough_slope, dim=0) > 0.99


def test_real_features_have_three_scales(real_features: VGG19Features) -> None:
    shapes = [tuple(f.shape) for f in real_features(torch.rand(1, 3, 16, 24))]
    assert shapes == [(1, 64, 16, 24), (1, 128, 8, 12), (1, 256, 4, 6)]
