"""All networks of the comparison in one go: `python -m lednet.train_peers --data CLIPS --out OUT --minutes 25`.

LEDNet and its peers, one after the other, with the same steps, crops, pairs and seed, within a time that is given for
all together. First a rehearsal times a few steps of each; from that follows how many steps all of them can have, and
the plan is written to OUT/plan.json. Run again, the same command goes on where it was stopped: by a crash, or by the
clock (`--session`, for machines that end a command after some minutes). With torch, numpy and OpenCV alone. What comes
out, OUT/NAME/NAME.safetensors, is what `lednet evaluate --table --trained OUT` reads. Not covered: a single network
(`lednet.train`), the table.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lednet import checkpoint
from lednet.baselines.peers import PEERS
from lednet.clips import Clip
from lednet.losses import VGG19Features
from lednet.memory import keep_freed_memory
from lednet.peer_trainer import LEDNET, ComparisonSettings, make_trainer
from lednet.rehearsal import STEPS, affordable_steps, check_times, read_plan, rehearse
from lednet.restorer import choose_device
from lednet.train import read_split
from lednet.train_settings import TrainSettings
from lednet.trainer import Trainer

log = logging.getLogger("lednet.train")

MODELS = (LEDNET, *PEERS)


@dataclass(frozen=True)
class Task:
    """What all runs share."""

    settings: TrainSettings
    clips: Sequence[Clip]
    held_out: Sequence[Clip]
    device: torch.device
    features: VGG19Features | None
    out: Path
    fixed_rate: bool
    """The learning rate of the settings is meant for all; else each peer has its own."""

    def trainer(self, model: str, out: Path, steps: int) -> Trainer:
        """A model's run of so many steps, LEDNet's for its light included."""
        plain = self.settings
        light = round(steps * plain.light.steps / plain.all_steps)
        rate = plain.learning_rate if self.fixed_rate or model == LEDNET else PEERS[model].learning_rate
        warmup = plain.warmup_of(steps)
        settings = replace(
            plain, light=replace(plain.light, steps=light), steps=steps - light, save_every=max(1, steps // 2),
            learning_rate=rate, warmup_steps=warmup,
        )  # fmt: skip
        chosen = ComparisonSettings.of(settings, model, "clip")
        out.mkdir(parents=True, exist_ok=True)
        return make_trainer(chosen, self.clips, self.held_out, self.device, self.features, out)


def seconds_a_step(task: Task, model: str) -> float:
    """Seconds that one step of a model takes, averaged over a run, its light included."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = task.trainer(model, Path(folder), STEPS)
        light, later = rehearse(trainer)
        return (light * trainer.settings.light.steps + later * trainer.settings.steps) / trainer.settings.all_steps


def plan(task: Task, models: Sequence[str], minutes: float, steps: int) -> int:
    """The steps of every model: those of OUT/plan.json, or asked for, or what a rehearsal says is affordable.

    Raises:
        ValueError: if OUT holds a plan for other models or minutes, or a damaged one.
    """
    path = task.out / "plan.json"
    asked = {"models": list(models), "minutes": minutes, "asked_steps": steps}
    if path.exists():
        found = read_plan(path)
        if {k: found.get(k) for k in asked} != asked:
            raise ValueError(f"{path} is the plan of another run; pass what it says, or another --out")
        return int(found["steps"])
    seconds: dict[str, float] = {}
    for model in models if not steps else ():
        seconds[model] = seconds_a_step(task, model)
        log.info("%s: %.1f ms a step", model, 1000 * seconds[model])
    steps = steps or affordable_steps(sum(seconds.values()), minutes)
    told = asked | {"steps": steps, "seconds_a_step": {k: round(v, 5) for k, v in seconds.items()}}
    checkpoint.write_atomically(path, (json.dumps(told, indent=2) + "\n").encode())
    return steps


def train_all(task: Task, models: Sequence[str], steps: int, until: float, command: str) -> list[str]:
    """Train one model after the other; returns those that are not done when the clock says stop, or that diverged."""
    unfinished = []
    for model in models:
        trainer = task.trainer(model, task.out / model, steps)
        trainer.resume()
        if trainer.step < steps:
            log.info("%s: steps %d to %d", model, trainer.step, steps)
            try:
                trainer.run(command, until)
            except FloatingPointError as error:
                log.error("%s: %s", model, error)
        if trainer.step < steps:
            unfinished.append(model)
    return unfinished


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lednet.train_peers", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of sharp clips")
    add("--out", type=Path, required=True, help="a run folder for each model in it; runs that it holds are resumed")
    add("--minutes", type=float, default=25.0, help="for all of them together")
    add("--session", type=float, default=math.inf, help="minutes after which this command stops; run it again to go on")
    add("--models", default=",".join(MODELS), help="comma-separated; default: all")
    add("--steps", type=int, default=0, help="of each model; default: what the minutes allow")
    add("--seed", type=int, default=TrainSettings().seed)
    add("--learning-rate", type=float, help="for all; default: each model's own")
    add("--batch-scale", type=int, default=1, help="multiplies the batch; 4 on a GPU")
    add("--crop-scale", type=float, default=1.0, help="multiplies the sides of the crops; 0.5 makes do with a CPU")
    add("--vgg", type=Path, default=Path("vgg19.npz"), help="VGG19, as .npz or torchvision's .pth")
    add("--perceptual", choices=("vgg19", "off"), default="vgg19")
    add("--device", default="auto")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.models.split(",") if name not in MODELS]
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}; name some of {', '.join(MODELS)}")
    return options


def prepare(options: argparse.Namespace) -> Task:
    """Decode the clips, once for all models. Raises ClipError, WeightsMissingError or ValueError."""
    check_times(None if options.steps else options.minutes, options.session)
    plain = TrainSettings()
    settings = replace(
        plain, seed=options.seed, batch_scale=options.batch_scale, crop_scale=options.crop_scale,
        learning_rate=plain.learning_rate if options.learning_rate is None else options.learning_rate,
        loss=replace(plain.loss, perceptual=plain.loss.perceptual if options.perceptual == "vgg19" else 0.0),
    )  # fmt: skip
    device = choose_device(options.device)
    features = VGG19Features(options.vgg) if options.perceptual == "vgg19" else None
    clips, held_out = read_split(options.data, "clip", settings, device)
    options.out.mkdir(parents=True, exist_ok=True)
    fixed_rate = options.learning_rate is not None
    return Task(settings, clips, held_out, device, features, options.out, fixed_rate)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 all trained, 1 failed, 2 not all are done: run it again."""
    started = time.monotonic()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    options = parse_arguments(arguments)
    models = options.models.split(",")
    command = "python -m lednet.train_peers " + shlex.join(arguments if arguments is not None else sys.argv[1:])
    try:
        task = prepare(options)
        steps = plan(task, models, options.minutes, options.steps)
        unfinished = train_all(task, models, steps, started + 60 * options.session, command)
    except (ValueError, OSError) as error:  # OSError: a full disk
        log.error("%s", error)
        return 1
    print(f"{len(models) - len(unfinished)} of {len(models)} models trained, {steps} steps each, in {options.out}")
    if unfinished:
        print(f"not done: {', '.join(unfinished)}; run the same command again")
    return 2 if unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
