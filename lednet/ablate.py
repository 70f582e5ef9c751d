"""What each part is worth: `python -m lednet.ablate --data CLIPS --out OUT --vgg vgg19.npz`.

Trains LEDNet again and again from the same random weights with the same pairs, steps and seed, each time without one of
its parts, or with an idea of others; prints a table of the held-out figures, and writes it to OUT/ablations.md. One row
is the whole network from another seed: what two rows may differ by chance. The tone curve is the shipped one in every
row. Run again, the same command goes on where it was stopped. With torch, numpy and OpenCV alone; LPIPS, which needs
the lpips package as well, if its weights are named. Not covered: the networks themselves (`lednet.ablated_networks`),
training as such (`lednet.trainer`).
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lednet import checkpoint
from lednet.ablated_networks import OwnLight, add, amplify, convolve, dilate
from lednet.clips import PairSampler
from lednet.curves import read_metrics
from lednet.light import as_bright_as
from lednet.losses import VGG19Features
from lednet.lpips_metric import LPIPS
from lednet.memory import keep_freed_memory
from lednet.model import LEDNet
from lednet.photos import read_photos
from lednet.restorer import choose_device
from lednet.train import CLIPS_MB, read_split
from lednet.train_settings import TrainSettings
from lednet.trainer import Trainer

log = logging.getLogger("lednet.train")

RECIPES = "night,drive"
"""One that is noise above all, and one that is blur above all: what a part is worth differs between them."""

VALIDATION_PAIRS = 96
"""Held-out crops a recipe; more than a training looks at, as rows are told apart by hundredths."""


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
    "again": Row("LEDNet, another seed", settings=lambda s: replace(s, seed=s.seed + 1)),
    "convolutions": Row("convolutions for axial attention", lambda size: convolve(LEDNet(size))),
    "at_half": Row("axial attention at 1/2 as well", lambda size: LEDNet(f"{size}-v2")),
    "addition": Row("addition for selective fusion", lambda size: add(LEDNet(size))),
    "no_side": Row("no side image in the loss", settings=lambda s: replace(s, loss=replace(s.loss, side=0.0))),
    "no_vgg": Row("no VGG19 in the loss", settings=lambda s: replace(s, loss=replace(s.loss, perceptual=0.0))),
    "clipped": Row("lamps left clipped in synthesis", clipped=True),
    "own_light": Row("trained in its own light, not the label's", OwnLight),
    "dilated": Row("with dilated depthwise convolutions beside", lambda size: dilate(LEDNet(size))),
    "amplitude": Row("with amplitude branches in the encoder", lambda size: amplify(LEDNet(size))),
}


class AblationTrainer(Trainer):
    """One row's run. It writes no checkpoint: no card describes such a network."""

    def __init__(self, row: Row, lpips: LPIPS | None, settings: TrainSettings, *rest: Any) -> None:
        self.row, self.lpips = row, lpips
        super().__init__(row.settings(settings), *rest)
        if row.clipped:
            recipes = [replace(recipe, highlight_boost=(1.0, 1.0)) for recipe in self.sampler.recipes]
            self.sampler = PairSampler(self.sampler.clips, recipes, self.generator)

    def _network(self) -> LEDNet:
        network = self.row.network(self.settings.size)
        network.light.load_state_dict(checkpoint.load(self.settings.size)[0].light.state_dict())
        return network

    def _figures(self, degraded: Tensor, label: Tensor) -> dict[str, Tensor]:
        """As every training's; and squared errors in the label's light, where the tone curve's do not count."""
        figures = super()._figures(degraded, label)
        with torch.inference_mode():
            restored = self.average.restore(degraded, light=label).image.clamp(0, 1)
            exposed = as_bright_as(self.average.expose(degraded), label).clamp(0, 1)
            figures |= {
                "error_restored": squared_error(restored, label),
                "error_exposed": squared_error(exposed, label),
            }
            if self.lpips is not None:
                figures["lpips"] = self.lpips(self.average(degraded).clamp(0, 1), label)
        return figures

    def export(self, command: str) -> None:
        """Figures on held-out clips, and how large the network is and how long a step takes."""
        figures = self.validate()
        size = sum(p.numel() for p in self.model.parameters())
        self.record({"step": self.step, "validation": figures, "parameters": size, "seconds": self.seconds})
        log.info("%s, step %d: %s", self.row.title, self.step, json.dumps(figures))


def squared_error(image: Tensor, label: Tensor) -> Tensor:
    """Mean of each picture [n, 3, h, w] in [0, 1], in squares of 8-bit levels: [n]."""
    return ((image - label) * 255).square().mean((1, 2, 3))


def gain(figures: dict[str, float]) -> float:
    """What the network takes away of the exposed frames' error in the label's light, in dB.

    Of the errors' means and not the mean of decibels: those of a crop that is sharp to begin with, where there is
    nothing to gain, would outweigh all that is gained where there is blur.
    """
    return 10 * math.log10(figures["error_exposed"] / figures["error_restored"])


def table(out: Path, rows: Sequence[str]) -> str:
    """The finished rows in Markdown: held-out figures under each recipe."""
    found = {}
    for name in rows:
        metrics = out / name / "metrics.jsonl"
        lines = [line for line in read_metrics(metrics) if "parameters" in line] if metrics.exists() else []
        if lines:
            found[name] = lines[-1]
    recipes = next(iter(found.values()))["validation"]["recipes"] if found else {}
    heads = [f"{recipe}: {title}" for recipe, figures in recipes.items() for title in _cells(figures)]
    text = _line("", *heads, "parameters, M", "s a step") + _line(*["---"] * (len(heads) + 3))
    for name, line in found.items():
        cells = [cell for figures in line["validation"]["recipes"].values() for cell in _cells(figures).values()]
        size, time = line["parameters"] / 1e6, line["seconds"] / line["step"]
        text += _line(ROWS[name].title, *cells, f"{size:.2f}", f"{time:.2f}")
    return text


def _cells(figures: dict[str, float]) -> dict[str, str]:
    """By their columns' titles."""
    cells = {
        "PSNR, dB": f"{figures['psnr_lednet']:.2f}",
        "gain in the label's light, dB": f"{gain(figures):+.2f}",
        "SSIM": f"{figures['ssim_lednet']:.3f}",
    }
    return cells | ({"LPIPS": f"{figures['lpips']:.3f}"} if "lpips" in figures else {})


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lednet.ablate", description=(__doc__ or "").split("\n")[0])
    add_option = parser.add_argument
    add_option("--data", type=Path, required=True, help="folder of sharp clips")
    add_option("--photos", type=Path, help="folder of sharp photographs to train on as well, with its folders")
    add_option("--out", type=Path, required=True, help="a run folder for each row in it; runs that it holds go on")
    add_option("--steps", type=int, default=1500, help="of each row")
    add_option("--rows", default=",".join(ROWS), help="comma-separated; default: all")
    add_option("--recipes", default=RECIPES, help="what pairs are degraded by, as in training (default: %(default)s)")
    add_option("--seed", type=int, default=TrainSettings().seed)
    add_option("--batch-scale", type=int, default=1, help="multiplies the batch; 8 on a GPU")
    add_option("--vgg", type=Path, default=Path("vgg19.npz"), help="VGG19, as .npz or torchvision's .pth")
    add_option("--alexnet", type=Path, help="AlexNet's weights, for a column of LPIPS")
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
        plain, light=replace(plain.light, steps=0), recipes=tuple(options.recipes.split(",")), steps=options.steps,
        seed=options.seed, batch_scale=options.batch_scale, save_every=options.steps,
        warmup_steps=plain.warmup_of(options.steps), validation_pairs=VALIDATION_PAIRS,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    options = parse_arguments(arguments)
    rows = options.rows.split(",")
    try:
        if options.threads < 0:
            raise ValueError(f"--threads must be 0 or more, not {options.threads}")
        if options.threads:
            torch.set_num_threads(options.threads)
        settings, device = settings_of(options), choose_device(options.device)
        features = VGG19Features(options.vgg)
        lpips = LPIPS(options.alexnet) if options.alexnet else None
        clips, held_out = read_split(options.data, "clip", settings, device)
        if options.photos is not None:
            clips += read_photos(options.photos, device, CLIPS_MB * 2**20)
        for name in rows:
            out = options.out / name
            out.mkdir(parents=True, exist_ok=True)
            trainer = AblationTrainer(ROWS[name], lpips, settings, clips, held_out, device, features, out)
            trainer.resume()
            trainer.run("")
            checkpoint.write_atomically(options.out / "ablations.md", table(options.out, rows).encode())
    except (ValueError, OSError, FloatingPointError) as error:  # OSError: a full disk
        log.error("%s", error)
        return 1
    print(table(options.out, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
