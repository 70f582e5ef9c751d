"""What the tests of the science room share: small configs, images and weights, and settings that keep them fast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest
import torch
from torch import Tensor

from lednet.model import LEDNet, LEDNetConfig

hypothesis.settings.register_profile("lednet", deadline=None, max_examples=12, derandomize=True, database=None)
hypothesis.settings.load_profile("lednet")


@pytest.fixture(autouse=True)
def _fixed_chance() -> None:
    torch.manual_seed(0)


@pytest.fixture
def two_clips(tmp_path: Path) -> Path:
    """A folder of two small clips, one of which is held out."""
    folder = tmp_path / "clips"
    folder.mkdir()
    y, x = np.mgrid[0:64, 0:64]
    for name in ("pit", "silo"):
        writer = cv2.VideoWriter(str(folder / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
        for i in range(4):
            writer.write(np.stack([(x * 3 + i * 5) % 256, (y * 3) % 256, (x + y) % 256], -1).astype(np.uint8))
        writer.release()
    return folder


@pytest.fixture(scope="session")
def tiny() -> LEDNetConfig:
    """The least LEDNet there is: one head a scale, one block a stage."""
    return LEDNetConfig((32, 32, 32), (1, 1, 1), 1, (1, 1), axis_window=8)


@pytest.fixture(scope="session")
def with_heads() -> Callable[[LEDNet], LEDNet]:
    """Gives the zero-initialised layers small random weights, so that the network's inside shows in its output."""

    def wake(model: LEDNet) -> LEDNet:
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for head in (model.head, model.side_head, model.light.curve):
                head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * 0.02)
        return model

    return wake


@pytest.fixture(scope="session")
def textured() -> Callable[[int, int], Tensor]:
    """A smooth, colourful and textured image [1, 3, h, w] in [0, 1]."""

    def draw(height: int, width: int) -> Tensor:
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        planes = [
            0.5 + 0.2 * np.sin(x / 7 + c) + 0.15 * np.cos(y / 9 - 2 * c) + 0.08 * np.sin((x + y) / 3) for c in range(3)
        ]
        return torch.from_numpy(np.stack(planes).astype(np.float32))[None].clamp(0, 1)

    return draw
