"""What the tests of learning share: the least model there is, and small clips that move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lednet import checkpoint
from lednet.model import LEDNet, LEDNetConfig
from tasks.settings import LearnSettings
from tests.tasks.footage import write_clip

TINY = LEDNetConfig((32, 32, 32), (0, 0, 1), 0, (0, 0), axis_window=8)

LEARN = LearnSettings(
    recipes="night,paper", frames_per_clip=4, high_speed_frames=12, pairs_per_clip=2, pair_height=32, pair_width=40,
    steps=2, judged_pairs=3, judged_crop=32, resamples=300, device="cpu", least_clips=2,
)  # fmt: skip


def save_model(path: Path, seed: int = 0, gain: float = 1.0, clips: tuple[str, ...] = ()) -> Path:
    """A tiny checkpoint at `path`; another seed gives other weights, `gain` a brighter or darker picture."""
    torch.manual_seed(seed)
    model = LEDNet(TINY)
    with torch.no_grad():
        assert model.light.curve.bias is not None
        model.light.curve.bias[:3] += float(np.log(gain))
    training = {"clips": list(clips)} if clips else {}
    checkpoint.save(
        path, model, half=False, training=training, validation={"recipes": {"night": {"psnr_lednet": 20.0}}}
    )
    return path


def filmed(path: Path, frames: int = 6, fps: int = 10, seed: int = 0) -> Path:
    """A textured clip of 96x64 that moves."""
    y, x = np.mgrid[0:64, 0:96].astype(np.float32)
    pictures = []
    for k in range(frames):
        planes = [
            128 + 70 * np.sin((x + 2 * k + 9 * seed) / 6 + c) + 40 * np.cos((y + 5 * seed) / 5 - c) for c in range(3)
        ]
        pictures.append(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))
    return write_clip(path, [k / fps for k in range(frames)], fps=fps, pictures=pictures)
