"""The paper's training loss: L1 and VGG19 features, on the restored image and on the side image.

Source: Guo et al. 2024, eqs. 3 and 4 and the total; weights after LEDNet (ECCV 2022). VGG19: Simonyan and Zisserman,
ICLR 2015. Missing VGG weights are an error that says so: random features are never used in their place.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

VGG19_LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4")
VGG19_POOL_BEFORE = ("conv2_1", "conv3_1")
VGG19_FEATURES = ("conv1_2", "conv2_2", "conv3_4")
"""Layers compared, after their ReLU. The ECCV 2022 LEDNet adds conv4_4, which the converted array does not hold."""

VGG19_MEAN_BGR = (103.939, 116.779, 123.68)
TORCHVISION_LAYERS = 0, 2, 5, 7, 10, 12, 14, 16
"""Where torchvision's VGG19 keeps `VGG19_LAYERS`: features.<n>.weight (OIHW) and features.<n>.bias."""

TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the RGB images from 0 to 1 that it was trained on."""

VGG19_UNIT = 57.4
"""255 times ImageNet's standard deviation: dividing features by it gives the scale of networks fed normalised images,
for which the published lambda_per was chosen."""


class WeightsMissingError(FileNotFoundError):
    """Pretrained weights that a loss or metric needs are not there; the message says which and what to do."""


@dataclass(frozen=True)
class LossWeights:
    """alpha, beta and lambda_per of the paper's total loss."""

    side: float = 0.8
    full: float = 1.0
    perceptual: float = 0.01
    perceptual_share: float = 0.125
    """Share of each batch that the perceptual term is computed on: an unbiased estimate at an eighth of its cost, which
    on a CPU is otherwise twice the network's."""


class LossTerms(NamedTuple):
    """The total and its parts before weighting, each a scalar tensor."""

    total: Tensor
    l1: Tensor
    side_l1: Tensor
    perceptual: Tensor


NO_STATE = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError)
"""What files raise that torch did not save, or not whole."""

Layers = list[tuple[Tensor, Tensor]]
"""Weight (OIHW) and bias of each of `VGG19_LAYERS`."""


def _converted_layers(path: Path) -> tuple[Layers, Tensor]:
    """The layers of a converted array, and the mean of BGR images from 0 to 255 that they are made for."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a whole .npz ({error}); pass the converted VGG19 array") from error
    layers = []
    for layer in VGG19_LAYERS:
        name = f"block{layer[4]}_conv{layer[6]}"
        if f"{name}__kernel" not in arrays or f"{name}__bias" not in arrays:
            raise ValueError(f"{path}: no {name}__kernel and __bias; pass the converted VGG19 array")
        kernel, bias = arrays[f"{name}__kernel"], arrays[f"{name}__bias"]
        layers.append((torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()), torch.from_numpy(bias.copy())))
    return layers, torch.tensor(VGG19_MEAN_BGR)


def _torchvision_layers(path: Path) -> tuple[Layers, Tensor]:
    """The same of torchvision's file: its first weights are made to take such images, and its features as large."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        layers = [
            (state[f"features.{n}.weight"].float(), state[f"features.{n}.bias"].float() * VGG19_UNIT)
            for n in TORCHVISION_LAYERS
        ]
    except (*NO_STATE, AttributeError) as error:
        cause = str(error).partition("\n")[0]
        raise ValueError(f"{path}: not torchvision's VGG19 ({cause}); pass its vgg19-*.pth whole") from error
    mean, std = (255 * torch.tensor(values).flip(0) for values in (TORCHVISION_MEAN, TORCHVISION_STD))
    first, bias = layers[0]
    layers[0] = first.flip(1) / std.reshape(1, 3, 1, 1) * VGG19_UNIT, bias
    return layers, mean


class VGG19Features(nn.Module):
    """The first eight convolutions of ImageNet VGG19, frozen; yields the features named in `VGG19_FEATURES`.

    Args:
        path: an .npz with `block<i>_conv<j>__kernel` (HWIO, fp32) and `__bias` for every layer of `VGG19_LAYERS`, made
            for input in BGR, 0 to 255, minus `VGG19_MEAN_BGR`; or torchvision's own file, `vgg19-*.pth`.

    Raises:
        WeightsMissingError: if the file is not there.
        ValueError: if it is neither, or a layer is missing from it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.is_file():
            raise WeightsMissingError(
                f"perceptual loss: no VGG19 weights at {path}; pass --vgg FILE (.npz, or torchvision's .pth) or "
                "--perceptual off"
            )
        layers, mean = _torchvision_layers(path) if path.suffix in (".pth", ".pt") else _converted_layers(path)
        for layer, (weight, bias) in zip(VGG19_LAYERS, layers, strict=True):
            self.register_buffer(f"{layer}_w", weight)
            self.register_buffer(f"{layer}_b", bias)
        self.register_buffer("mean", mean.reshape(1, 3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """sRGB [n, 3, h, w] in [0, 1] -> features, in VGG's own scale (some 0 to 1000)."""
        x = (x.flip(1) * 255 - self.get_buffer("mean")).contiguous(memory_format=torch.channels_last)
        features = []
        for layer in VGG19_LAYERS:
            if layer in VGG19_POOL_BEFORE:
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, self.get_buffer(f"{layer}_w"), self.get_buffer(f"{layer}_b"), padding=1))
            if layer in VGG19_FEATURES:
                features.append(x)
        return features

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """|phi(x) - phi(y)|_1: mean over a layer, mean over the layers, in units of `VGG19_UNIT`."""
        with torch.no_grad():
            wanted = self(y)
        pairs = zip(self(x), wanted, strict=True)
        return torch.stack([F.l1_loss(a.float(), b.float()) for a, b in pairs]).mean() / VGG19_UNIT


class LEDNetLoss(nn.Module):
    """L = alpha * L_en + beta * L_deb (Guo et al. 2024): on the side image (eq. 3) and on the full one (eq. 4)."""

    def __init__(self, weights: LossWeights, features: VGG19Features | None) -> None:
        super().__init__()
        self.weights, self.features = weights, features

    def forward(self, image: Tensor, side: Tensor, label: Tensor) -> LossTerms:
        """`image` and `label` [n, 3, h, w], `side` [n, 3, h/8, w/8], fp32; h and w multiples of 8.

        Under autocast VGG19 multiplies in bf16, and all else is fp32: gradients half as dear on a CPU that does so.
        """
        small = F.avg_pool2d(label, label.shape[-1] // side.shape[-1])
        l1, side_l1 = F.l1_loss(image, label), F.l1_loss(side, small)
        perceptual = image.new_zeros(())
        side_perceptual = image.new_zeros(())
        w = self.weights
        if self.features is not None and w.perceptual:
            some = math.ceil(len(image) * w.perceptual_share)
            perceptual = self.features.distance(image[:some], label[:some])
            side_perceptual = self.features.distance(side[:some], small[:some])
        total = w.side * (side_l1 + w.perceptual * side_perceptual) + w.full * (l1 + w.perceptual * perceptual)
        return LossTerms(total, l1, side_l1, perceptual)
