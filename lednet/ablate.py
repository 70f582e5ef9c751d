"""What each part is worth: `python -m lednet.ablate --data CLIPS --out OUT --vgg vgg19.npz`.

Trains LEDNet again and again from the same random weights with the same pairs, steps and seed, each time without one of
its parts, or with an idea of others; prints a table of the held-out figures, and writes it to OUT/ablations.md.
The tone curve is the shipped one in every row. Run again, the same command goes on where it was stopped. With torch,
numpy and OpenCV alone. Not covered: training as such (`lednet.trainer`).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lednet import checkpoint
from lednet.attention import AxialBlock, AxisAttention, ChannelNorm, GatedFeedForward
from lednet.clips import ClipError, PairSampler
from lednet.curves import read_metrics
from lednet.losses import VGG19Features, WeightsMissingError
from lednet.memory import keep_freed_memory
from lednet.model import Core, LEDNet, SelectiveFusion, frame_average
from lednet.restorer import choose_device
from lednet.train import read_split
from lednet.train_settings import Stage, TrainSettings
from lednet.trainer import Trainer

log = logging.getLogger("lednet.train")

STAGES = (Stage(0.5, 96, 160, 4), Stage(1.0, 128, 224, 2))
REACH = 11
"""Taps of the convolution along an axis that stands in for attention. At its ends, 5 tokens away, attention's weights
are down by a factor of e ** -1.25 for their distance alone."""


class AxisConvolution(nn.Module):
    """In place of `AxisAttention`: a depthwise convolution along the same axis, with as many weights around it."""

    def __init__(self, channels: int, axis: str) -> None:
        super().__init__()
        size, padding = ((REACH, 1), (REACH // 2, 0)) if axis == "height" else ((1, REACH), (0, REACH // 2))
        self.norm = ChannelNorm(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.along = nn.Conv2d(2 * channels, 2 * channels, size, padding=padding, groups=2 * channels)
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same shape, the residual included."""
        y: Tensor = self.project(functional.gelu(self.along(self.expand(self.norm(x)))))
        return x + y


class Addition(SelectiveFusion):
    """In place of `SelectiveFusion`: both, projected, are added."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__(channels, scale)
        del self.reduce, self.expand  # nothing is selected, and the table counts parameters

    def forward(
        self, decoder: Tensor, encoder: Tensor, pooled: Tensor | None = None, core: Core | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `SelectiveFusion.forward`."""
        both = self.from_decoder(decoder) + self.from_encoder(encoder)
        return both / 2, frame_average(both, self.scale, core) if pooled is None else pooled


class DilatedDepthwise(nn.Module):
    """A depthwise 3x3 beside one of the same with its taps 4 pixels apart, added (after DarkIR, CVPR 2025)."""

    def __init__(self, near: nn.Conv2d) -> None:
        super().__init__()
        channels = near.in_channels
        self.near = near
        self.far = nn.Conv2d(channels, channels, 3, padding=4, dilation=4, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same shape."""
        y: Tensor = self.near(x) + self.far(x)
        return y


class OwnLight(LEDNet):
    """A LEDNet that learns in the light of its own tone curve and not in the label's."""

    def forward(self, x: Tensor, light: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """As `LEDNet.forward`; `light` is not looked at."""
        return super().forward(x)


def convolve(network: LEDNet) -> LEDNet:
    """Axial attention out, convolutions in."""
    for block in [m for m in network.modules() if isinstance(m, AxialBlock)]:
        for i, layer in enumerate(block):
            if isinstance(layer, AxisAttention):
                block[i] = AxisConvolution(layer.norm.weight.shape[0], layer.axis)
    return network


def add(network: LEDNet) -> LEDNet:
    """Selective fusion out, addition in."""
    for name in ("fusion1", "fusion2", "fusion3"):
        fusion = getattr(network, name)
        setattr(network, name, Addition(fusion.from_decoder.in_channels, fusion.scale))
    return network


def dilate(network: LEDNet) -> LEDNet:
    """Dilated depthwise convolutions beside the feed-forwards' own."""
    for layer in [m for m in network.modules() if isinstance(m, GatedFeedForward)]:
        layer.depthwise = DilatedDepthwise(layer.depthwise)  # type: ignore[assignment]
    return network


@dataclass(frozen=True)
class Row:
    """One network of the table, and what is different about it."""

    title: str
    network: Callable[[str], LEDNet] = LEDNet
    settings: Callable[[TrainSettings], TrainSettings] = lambda settings: settings
    clipped: bool = False
    """Lamps are averaged as bright as they were stored."""


ROWS = {
    "full": Row("LEDNet"),
    "convolutions": Row("convolutions for axial attention", lambda size: convolve(LEDNet(size))),
    "addition": Row("addition for selective fusion", lambda size: add(LEDNet(size))),
    "no_side": Row("no side image in the loss", settings=lambda s: replace(s, loss=replace(s.loss, side=0.0))),
    "no_vgg": Row("no VGG19 in the loss", settings=lambda s: replace(s, loss=replace(s.loss, perceptual=0.0))),
    "clipped": Row("lamps left clipped in synthesis", clipped=True),
    "own_light": Row("trained in its own light, not the label's", OwnLight),
    "dilated": Row("with dilated depthwise convolutions beside", lambda size: dilate(LEDNet(size))),
}


class AblationTrainer(Trainer):
    """One row's run. It writes no checkpoint: no card describes such a network."""

    def __init__(self, row: Row, settings: TrainSettings, *rest: Any) -> None:
        self.row = row
        super().__init__(row.settings(settings), *rest)
        if row.clipped:
            recipes = [replace(recipe, highlight_boost=(1.0, 1.0)) for recipe in self.sampler.recipes]
            self.sampler = PairSampler(self.sampler.clips, recipes, self.generator)

    def _network(self) -> LEDNet:
        network = self.row.network(self.settings.size)
        network.light.load_state_dict(checkpoint.load(self.settings.size)[0].light.state_dict())
        return network

    def export(self, command: str) -> None:
        """Figures on held-out clips, and how large the network is and how long a step takes."""
        figures = self.validate()
        size = sum(p.numel() for p in self.model.parameters())
        self.record({"step": self.step, "validation": figures, "parameters": size, "seconds": self.seconds})
        log.info("%s, step %d: %s", self.row.title, self.step, json.dumps(figures))


def table(out: Path, rows: Sequence[str]) -> str:
    """The finished rows in Markdown: held-out PSNR and SSIM under each recipe, beside the tone curve's."""
    found = {}
    for name in rows:
        metrics = out / name / "metrics.jsonl"
        lines = [line for line in read_metrics(metrics) if "parameters" in line] if metrics.exists() else []
        if lines:
            found[name] = lines[-1]
    recipes = list(next(iter(found.values()))["validation"]["recipes"]) if found else []
    heads = [cell for recipe in recipes for cell in (f"{recipe}: PSNR, dB", "over the curve", "SSIM")]
    text = _line("", *heads, "parameters, M", "s a step") + _line(*["---"] * (len(heads) + 3))
    for name, line in found.items():
        cells = [ROWS[name].title]
        for figures in line["validation"]["recipes"].values():
            reached, curve = figures["psnr_lednet"], figures["psnr_curve"]
            cells += [f"{reached:.2f}", f"{reached - curve:+.2f}", f"{figures['ssim_lednet']:.4f}"]
        text += _line(*cells, f"{line['parameters'] / 1e6:.2f}", f"{line['seconds'] / line['step']:.2f}")
    return text


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lednet.ablate", description=(__doc__ or "").split("\n")[0])
    add_option = parser.add_argument
    add_option("--data", type=Path, required=True, help="folder of sharp clips")
    add_option("--out", type=Path, required=True, help="a run folder for each row in it; runs that it holds go on")
    add_option("--steps", type=int, default=300, help="of each row")
    add_option("--rows", default=",".join(ROWS), help="comma-separated; default: all")
    add_option("--seed", type=int, default=TrainSettings().seed)
    add_option("--batch-scale", type=int, default=1, help="multiplies the batch; 8 on a GPU")
    add_option("--vgg", type=Path, default=Path("vgg19.npz"), help="converted VGG19 weights (.npz)")
    add_option("--device", default="auto")
    add_option("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.rows.split(",") if name not in ROWS]
    if unknown:
        parser.error(f"unknown row {unknown[0]!r}; name some of {', '.join(ROWS)}")
    return options


def settings_of(options: argparse.Namespace) -> TrainSettings:
    """What all rows share."""
    plain = TrainSettings()
    return replace(
        plain, light=replace(plain.light, steps=0), recipes=("night", "paper"), steps=options.steps, stages=STAGES,
        seed=options.seed, batch_scale=options.batch_scale, save_every=options.steps,
        warmup_steps=plain.warmup_of(options.steps),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    options = parse_arguments(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = options.rows.split(",")
    try:
        settings, device = settings_of(options), choose_device(options.device)
        features = VGG19Features(options.vgg)
        clips, held_out = read_split(options.data, "clip", settings, device)
        for name in rows:
            out = options.out / name
            out.mkdir(parents=True, exist_ok=True)
            trainer = AblationTrainer(ROWS[name], settings, clips, held_out, device, features, out)
            trainer.resume()
            trainer.run("")
            checkpoint.write_atomically(options.out / "ablations.md", table(options.out, rows).encode())
    except (ClipError, WeightsMissingError, ValueError, FloatingPointError) as error:
        log.error("%s", error)
        return 1
    print(table(options.out, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
