"""Whether a network can take real blur away at all: `python -m tests.bench.fit_one_burst CLIP [--init small]`.

Fits it to one burst of a high-speed clip, averaged in linear light and darkened by `paper`, and prints what it gains
over its tone curve on that very frame, in the label's light. That is no measure of a restorer: the frame is the one it
learns from. It tells a network that could learn from one that never will, in minutes. Not covered: unknown motion,
which is what training is for (`lednet.validate`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from lednet import checkpoint
from lednet.clips import read_clip
from lednet.degrade import average_burst, find_recipe, make_night
from lednet.light import as_bright_as
from lednet.memory import keep_freed_memory
from lednet.metrics import psnr
from lednet.model import SIZES, LEDNet

CROP, BATCH, REPORTS = 128, 4, 4
LIGHT_OF = "small"
"""The shipped checkpoint whose tone curve a network from scratch is given."""


def read_burst(clip: Path, frame: int, reach: int) -> tuple[Tensor, Tensor]:
    """(degraded, label), each [1, 3, h, w] sRGB in [0, 1], h and w multiples of 8.

    Raises:
        SystemExit: if the clip has no such burst.
    """
    frames = read_clip(clip, frame + reach + 1, True, torch.device("cpu")).frames
    if not reach <= frame < len(frames) - reach:
        raise SystemExit(f"{clip}: no {reach} frames on either side of frame {frame}; name another with --frame")
    frames = frames[frame - reach :]
    height, width = (n // 8 * 8 for n in frames.shape[2:])
    frames, paper = frames[..., :height, :width], find_recipe("paper")
    blurred = average_burst(frames, torch.ones(1, 1, 1), paper.response)[None]
    return make_night(blurred, paper, torch.Generator().manual_seed(0)), frames[reach][None].float() / 255


def gain(network: LEDNet, degraded: Tensor, label: Tensor) -> float:
    """PSNR (dB) over the exposed frame, both in the label's light."""
    network.eval()
    with torch.inference_mode():
        exposed = as_bright_as(network.expose(degraded), label)
        restored = network.restore(degraded, light=label).image
    _train(network)
    return float(psnr(restored.clamp(0, 1), label) - psnr(exposed.clamp(0, 1), label))


def _train(network: LEDNet) -> None:
    """Into training mode, but for the tone curve, which stands still."""
    network.train()
    network.light.eval()


def main() -> None:
    """Print a line a quarter of the time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frame", type=int, default=280, help="the burst's middle")
    parser.add_argument("--reach", type=int, default=5, help="frames on either side of it")
    parser.add_argument("--init", default="", help="checkpoint to start from; random weights of --size by default")
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    shipped, _ = checkpoint.load(options.init or LIGHT_OF)
    network = shipped if options.init else LEDNet(options.size)
    network.light.load_state_dict(shipped.light.state_dict())
    network.light.requires_grad_(False)
    degraded, label = read_burst(options.clip, options.frame, options.reach)
    print(f"begins with {gain(network, degraded, label):+.2f} dB over the exposed frame", flush=True)
    learnt = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=options.learning_rate)
    started, step, told = time.monotonic(), 0, 0
    while told < REPORTS:
        places = [(int(torch.randint(n - CROP + 1, (1,))) for n in label.shape[2:]) for _ in range(BATCH)]
        crops = [(slice(None), slice(None), slice(y, y + CROP), slice(x, x + CROP)) for y, x in places]
        x, y = (torch.cat([image[crop] for crop in crops]) for image in (degraded, label))
        optimizer.zero_grad()
        functional.l1_loss(network.restore(x, light=y).image, y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        if time.monotonic() - started > options.minutes * 60 * (told + 1) / REPORTS:
            told += 1
            print(f"step {step}: {gain(network, degraded, label):+.2f} dB", flush=True)


if __name__ == "__main__":
    main()
