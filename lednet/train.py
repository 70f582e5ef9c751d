"""Training: `python -m lednet.train --data FOLDER --out FOLDER`, with torch, numpy and OpenCV alone.

Covers the settings, the loop, exact resume, validation and the exported checkpoint. Pairs are synthesised on the fly
on the training device, so the disk never limits it. Not covered: several GPUs in one run.

The run folder holds `state.pt` (everything to go on from), `metrics.jsonl` (one line a log interval and a validation)
and `<name>.safetensors` + `.json` (the moving average of the weights, what a Restorer loads).
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import pickle
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lednet import checkpoint
from lednet.baselines.gamma import fit_gamma, restore_gamma
from lednet.clips import Clip, ClipError, PairSampler, find_clips, is_high_speed, read_clip, split_clips
from lednet.degrade import RECIPES
from lednet.losses import LEDNetLoss, LossWeights, VGG19Features, WeightsMissingError
from lednet.memory import keep_freed_memory
from lednet.metrics import psnr, ssim
from lednet.model import SIZES, LEDNet
from lednet.restorer import choose_device

log = logging.getLogger("lednet.train")


@dataclass(frozen=True)
class Stage:
    """One leg of the growing crops."""

    until: float
    """Share of all steps at which the next stage begins."""
    height: int
    width: int
    batch: int


@dataclass(frozen=True)
class TrainSettings:
    """Everything that steers a training run; stored in the card."""

    size: str = "small"
    init: str = ""
    """sha256 of the weights that the run starts from; random ones by default."""
    recipe: str = "night"
    steps: int = 4_000
    seed: int = 1
    learning_rate: float = 8e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    clip_norm: float = 1.0
    ema: float = 0.998
    loss: LossWeights = field(default_factory=LossWeights)
    stages: tuple[Stage, ...] = (
        Stage(0.20, 128, 128, 8),
        Stage(0.60, 128, 224, 4),
        Stage(1.00, 176, 320, 2),
    )
    """Crops grow and get wide, so that the network meets long axes and whole-frame statistics in training; shrunk to a
    quarter, the last ones hold a whole 720p frame."""
    batch_scale: int = 1
    """Multiplies every stage's batch; for a GPU, whose memory holds far more."""
    frames_per_clip: int = 60
    high_speed_frames: int = 300
    high_speed_weight: int = 3
    """How many times likelier a high-speed clip is drawn than another: it alone shows how things really move."""
    held_out_share: float = 0.2
    """Share of the clips kept for validation; by clip, never by frame."""
    validation_pairs: int = 24
    validation_crop: int = 256
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.size not in SIZES or self.recipe not in RECIPES:
            raise ValueError(
                f"unknown size {self.size!r} or recipe {self.recipe!r}: "
                f"sizes {', '.join(SIZES)}; recipes {', '.join(RECIPES)}"
            )


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then cosine to a hundredth."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))


def stage_at(step: int, settings: TrainSettings) -> Stage:
    """The crop stage that a step belongs to."""
    return next((s for s in settings.stages if step < s.until * settings.steps), settings.stages[-1])


def update_average(average: LEDNet, model: LEDNet, step: int, decay: float) -> None:
    """Exponential moving average of the weights, with a shorter memory in the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for a, b in zip(average.parameters(), model.parameters(), strict=True):
            a.lerp_(b, 1 - decay)


class Trainer:
    """One training run: model, moving average, optimiser, random state and position, all resumable.

    The random state of the pairs is part of the saved state and there is no other source of chance, so that an
    interrupted run goes on exactly where it was (to the bit on the CPU).
    """

    def __init__(
        self,
        settings: TrainSettings,
        clips: Sequence[Clip],
        held_out: Sequence[Clip],
        device: torch.device,
        features: VGG19Features | None,
        out: Path,
        origin: tuple[LEDNet, checkpoint.Card] | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.origin = origin[1] if origin else None
        self.settings, self.device, self.out = settings, device, out
        self.model = LEDNet(settings.size).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if origin is not None:
            self.model.load_state_dict(origin[0].state_dict())
        self.average = LEDNet(settings.size).to(device)
        self.average.load_state_dict(self.model.state_dict())
        self.loss = LEDNetLoss(settings.loss, features).to(device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
        )
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        drawn = [clip for clip in clips for _ in range(settings.high_speed_weight if clip.high_speed else 1)]
        self.sampler = PairSampler(drawn, RECIPES[settings.recipe], self.generator)
        self.clips, self.held_out = clips, held_out
        self.step = 0
        self.seconds = 0.0

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs, loadable with `weights_only=True`."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "seconds": self.seconds,
            "settings": json.dumps(asdict(self.settings)),
        }

    def save_state(self) -> None:
        """Write `state.pt` atomically."""
        buffer = io.BytesIO()
        torch.save(self.state(), buffer)
        checkpoint.write_atomically(self.out / "state.pt", buffer.getvalue())

    def resume(self) -> None:
        """Go on from `state.pt` if there is one. Raises ValueError if it is damaged or was made with other settings."""
        path = self.out / "state.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            made_with = state["settings"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
            cause = str(error).partition("\n")[0]
            raise ValueError(f"{path}: not a whole training state ({cause}); delete it to start anew") from error
        if made_with != json.dumps(asdict(self.settings)):
            raise ValueError(f"{path} belongs to a run with other settings; pass those again, or another --out")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.seconds = state["step"], state["seconds"]
        log.info("resuming at step %d of %d", self.step, self.settings.steps)

    def train_step(self) -> tuple[float, float, float]:
        """One optimiser step; returns loss, PSNR of the batch, seconds spent on making the batch."""
        started = time.perf_counter()
        stage = stage_at(self.step, self.settings)
        degraded, label = self.sampler.sample(self.batch_of(stage), stage.height, stage.width)
        waited = time.perf_counter() - started
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.settings)
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            image, side = self.model(degraded)
        terms = self.loss(image.float(), side.float(), label)
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        # A loss that is not finite has such gradients too, and either would spoil the weights and their average.
        if not torch.isfinite(norm):
            path = self.out / f"not_finite_{self.step}.pt"
            torch.save({"degraded": degraded, "label": label}, path)
            raise FloatingPointError(f"the gradients are not finite at step {self.step}; the batch is in {path}")
        self.optimizer.step()
        update_average(self.average, self.model, self.step, self.settings.ema)
        self.step += 1
        self.seconds += time.perf_counter() - started
        return terms.total.item(), psnr(image.detach().clamp(0, 1), label).mean().item(), waited

    def batch_of(self, stage: Stage) -> int:
        """Images of one step in a stage."""
        return stage.batch * self.settings.batch_scale

    def validate(self) -> dict[str, Any]:
        """PSNR and SSIM on held-out clips under the training recipe, beside a fixed gamma fitted on training pairs."""
        s = self.settings
        if not self.held_out:
            return {}
        fitting = PairSampler(self.clips, RECIPES[s.recipe], torch.Generator(self.device).manual_seed(7))
        gamma = fit_gamma([fitting.sample(4, s.validation_crop, s.validation_crop) for _ in range(6)])
        drawing = PairSampler(self.held_out, RECIPES[s.recipe], torch.Generator(self.device).manual_seed(11))
        rows: dict[str, list[Tensor]] = {"lednet": [], "gamma": [], "identity": []}
        structure: list[Tensor] = []
        self.average.eval()
        for _ in range(s.validation_pairs // 4):
            degraded, label = drawing.sample(4, s.validation_crop, s.validation_crop)
            with torch.inference_mode():
                restored = self.average(degraded).clamp(0, 1)
            rows["lednet"].append(psnr(restored, label))
            structure.append(ssim(restored, label))
            rows["gamma"].append(psnr(restore_gamma(degraded, gamma), label))
            rows["identity"].append(psnr(degraded, label))
        figures: dict[str, Any] = {f"psnr_{k}": round(torch.cat(v).mean().item(), 3) for k, v in rows.items()}
        figures["ssim_lednet"] = round(torch.cat(structure).mean().item(), 4)
        return figures | {"best_fixed_gamma": gamma, "recipe": s.recipe, "clips": [c.name for c in self.held_out]}

    def export(self, command: str) -> None:
        """Validate the moving average and write it as a checkpoint with its card."""
        figures = self.validate()
        training: dict[str, Any] = {"from": self.origin.training} if self.origin else {}
        training |= {
            "command": command,
            "settings": asdict(self.settings),
            "steps_done": self.step,
            "hours": round(self.seconds / 3600, 3),
            "device": device_name(self.device),
            "threads": torch.get_num_threads(),
            "clips": [c.name for c in self.clips],
            "torch": torch.__version__,
        }
        checkpoint.save(
            self.out / f"{self.settings.size}.safetensors",
            self.average,
            half=True,
            training=training,
            validation=figures,
        )
        self.record({"step": self.step, "validation": figures})
        log.info("step %d: %s", self.step, json.dumps(figures))

    def record(self, line: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        with open(self.out / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")

    def run(self, command: str) -> None:
        """Train to the last step, saving and logging on the way."""
        s = self.settings
        losses: list[float] = []
        ratios: list[float] = []
        waited, images, since = 0.0, 0, time.perf_counter()
        while self.step < s.steps:
            images += self.batch_of(stage_at(self.step, s))
            loss, ratio, wait = self.train_step()
            losses.append(loss)
            ratios.append(ratio)
            waited += wait
            if self.step % s.log_every == 0:
                elapsed = time.perf_counter() - since
                line = {
                    "step": self.step,
                    "loss": sum(losses) / len(losses),
                    "psnr": sum(ratios) / len(ratios),
                    "images_per_s": images / elapsed,
                    "wait_share": waited / elapsed,
                }
                self.record(line)
                eta = elapsed / s.log_every * (s.steps - self.step) / 3600
                log.info(
                    "step %d/%d loss %.4f psnr %.2f dB %.1f images/s data wait %.0f %% ETA %.2f h",
                    self.step,
                    s.steps,
                    line["loss"],
                    line["psnr"],
                    line["images_per_s"],
                    100 * line["wait_share"],
                    eta,
                )
                losses, ratios, waited, images, since = [], [], 0.0, 0, time.perf_counter()
            if self.step % s.save_every == 0 or self.step == s.steps:
                self.export(command)
                self.save_state()  # last, so that a run stopped in between exports again
                since = time.perf_counter()


def device_name(device: torch.device) -> str:
    """The device in words, for a card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line of `python -m lednet.train` and `lednet train`."""
    defaults = TrainSettings()
    parser = argparse.ArgumentParser(prog="lednet train", description="Train LEDNet on pairs synthesised from clips.")
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp clips")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run that it holds is resumed")
    parser.add_argument("--size", default=defaults.size, choices=sorted(SIZES))
    parser.add_argument("--init", default="", help="checkpoint to start from: a shipped one's name, or a path")
    parser.add_argument("--recipe", default=defaults.recipe, choices=sorted(RECIPES))
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument(
        "--batch-scale", type=int, default=defaults.batch_scale, help="multiplies the batch; 8 on a GPU"
    )
    parser.add_argument("--save-every", type=int, default=defaults.save_every)
    parser.add_argument("--perceptual", choices=("vgg19", "off"), default="vgg19")
    parser.add_argument("--vgg", type=Path, default=Path("vgg19.npz"), help="converted VGG19 weights (.npz)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    options = parse_arguments(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = replace(
        TrainSettings(),
        size=options.size,
        recipe=options.recipe,
        steps=options.steps,
        seed=options.seed,
        learning_rate=options.learning_rate,
        batch_scale=options.batch_scale,
        save_every=options.save_every,
    )
    if options.perceptual == "off":
        settings = replace(settings, loss=replace(settings.loss, perceptual=0.0))
    try:
        device = choose_device(options.device)
        origin = checkpoint.load(options.init) if options.init else None
        if origin is not None:
            settings = replace(settings, init=origin[1].sha256)
        features = VGG19Features(options.vgg) if options.perceptual == "vgg19" else None
        training, held_out = split_clips(find_clips(options.data), settings.held_out_share)
        log.info("training on %d clips, holding out %s", len(training), ", ".join(p.stem for p in held_out))
        clips, held = ([read(p, settings, device) for p in paths] for paths in (training, held_out))
        options.out.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(settings, clips, held, device, features, options.out, origin)
        trainer.resume()
        trainer.run("lednet train " + shlex.join(arguments if arguments is not None else sys.argv[1:]))
    except (ClipError, WeightsMissingError, ValueError, FloatingPointError) as error:
        log.error("%s", error)
        return 1
    return 0


def read(path: Path, settings: TrainSettings, device: torch.device) -> Clip:
    """Decode a clip as the settings say."""
    fast = is_high_speed(path)
    return read_clip(path, settings.high_speed_frames if fast else settings.frames_per_clip, fast, device)


if __name__ == "__main__":
    sys.exit(main())
