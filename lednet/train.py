"""Training: `python -m lednet.train --data FOLDER --out FOLDER`, with torch, numpy and OpenCV alone.

Covers the command line; the run itself is `lednet.trainer`, a peer's (`--model`) `lednet.peer_trainer`.

The run folder holds `state.pt` (everything to go on from), `metrics.jsonl` (one line a log interval and a validation),
`curves.png`, which draws them, and `<name>.safetensors` + `.json` (the moving average of the weights, what a Restorer
loads).
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lednet import checkpoint
from lednet.baselines.peers import PEERS
from lednet.clips import Clip, ClipError, find_clips, is_high_speed, read_bursts, read_clip, split_clips
from lednet.footage_split import FIXED, SPLITS, split_leaky
from lednet.losses import VGG19Features, WeightsMissingError
from lednet.memory import keep_freed_memory
from lednet.model import SIZES
from lednet.peer_trainer import LEDNET, ComparisonSettings, make_trainer
from lednet.ranks import join, leave
from lednet.restorer import choose_device
from lednet.train_settings import TrainSettings

log = logging.getLogger("lednet.train")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line of `python -m lednet.train` and `lednet train`."""
    defaults = TrainSettings()
    parser = argparse.ArgumentParser(
        prog="lednet train", description="Train LEDNet, or a peer, on pairs made from clips."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp clips")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run that it holds is resumed")
    parser.add_argument("--model", default=LEDNET, choices=(LEDNET, *PEERS), help="LEDNet, or a peer of it")
    parser.add_argument("--size", default=defaults.size, choices=sorted(SIZES), help="LEDNet's")
    parser.add_argument("--split", default="clip", choices=SPLITS, help=f"frame, camera: of fixed cameras ({FIXED}...)")
    parser.add_argument(
        "--init", default="", help="checkpoint to start from, also of a smaller size: a shipped one's name, or a path"
    )
    parser.add_argument(
        "--recipes",
        default=",".join(defaults.recipes),
        help="names, or .toml files; they share each batch evenly",
    )
    parser.add_argument("--steps", type=int, default=defaults.steps, help="after the light's")
    parser.add_argument(
        "--light-steps", type=int, help=f"of the tone curve; {defaults.light.steps}, or with --init none, by default"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--learning-rate", type=float, help=f"{defaults.learning_rate}, or a peer's own, by default")
    parser.add_argument(
        "--batch-scale", type=int, default=defaults.batch_scale, help="multiplies the batch; 8 on a GPU"
    )
    parser.add_argument("--crop-scale", type=float, default=defaults.crop_scale, help="multiplies the crops' sides")
    parser.add_argument(
        "--compile", action="store_true", help="by torch.compile; LEDNet's network, on a GPU first of all"
    )
    parser.add_argument("--save-every", type=int, default=defaults.save_every)
    parser.add_argument("--perceptual", choices=("vgg19", "off"), default="vgg19")
    parser.add_argument("--vgg", type=Path, default=Path("vgg19.npz"), help="converted VGG19 weights (.npz)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> TrainSettings:
    """The settings that the command line asks for. Raises ValueError on an unknown recipe."""
    settings = TrainSettings()
    light_steps = options.light_steps
    if light_steps is None:
        light_steps = 0 if options.init else settings.light.steps
    own_rate = PEERS[options.model].learning_rate if options.model in PEERS else settings.learning_rate
    settings = replace(
        settings,
        size=options.size,
        recipes=tuple(options.recipes.split(",")),
        light=replace(settings.light, steps=light_steps),
        steps=options.steps,
        seed=options.seed,
        learning_rate=own_rate if options.learning_rate is None else options.learning_rate,
        batch_scale=options.batch_scale,
        crop_scale=options.crop_scale,
        compile=options.compile,
        save_every=options.save_every,
        loss=replace(settings.loss, perceptual=settings.loss.perceptual if options.perceptual == "vgg19" else 0.0),
    )
    return ComparisonSettings.of(settings, options.model, options.split)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    options = parse_arguments(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        settings = settings_of(options)
        ranks, device = join(choose_device(options.device))
        if not ranks.first:
            logging.disable(logging.INFO)
        origin = checkpoint.load(options.init) if options.init else None
        if origin is not None:
            settings = replace(settings, init=origin[1].sha256)
        features = VGG19Features(options.vgg) if options.perceptual == "vgg19" else None
        clips, held = read_split(options.data, options.split, settings, device)
        options.out.mkdir(parents=True, exist_ok=True)
        trainer = make_trainer(settings, clips, held, device, features, options.out, origin, ranks)
        trainer.resume()
        trainer.run("lednet train " + shlex.join(arguments if arguments is not None else sys.argv[1:]))
    except (ClipError, WeightsMissingError, ValueError, FloatingPointError) as error:
        log.error("%s", error)
        return 1
    finally:
        leave()
    return 0


def read_split(
    folder: Path, split: str, settings: TrainSettings, device: torch.device
) -> tuple[list[Clip], list[Clip]]:
    """A folder's clips, decoded: (for training, held out). Raises ClipError."""
    training, held_out = split_clips(find_clips(folder), settings.held_out_share)
    if split == "clip":
        log.info("training on %d clips, holding out %s", len(training), ", ".join(p.stem for p in held_out))
        clips, held = (read(paths, settings, device) for paths in (training, held_out))
        return clips, held
    fixed = [p for p in (*training, *held_out) if p.stem.startswith(FIXED)]
    moving = [p for p in training if p not in fixed]
    log.info("split by %s: %d moving clips, and fixed cameras %s", split, len(moving), ", ".join(p.stem for p in fixed))
    return split_leaky(moving, fixed, split, lambda paths: read(paths, settings, device))


def read(paths: Sequence[Path], settings: TrainSettings, device: torch.device) -> list[Clip]:
    """Decode clips as the settings say: stills and bursts of each, high-speed ones whole."""
    clips: list[Clip] = []
    for path in paths:
        if is_high_speed(path):
            clips.append(read_clip(path, settings.high_speed_frames, True, device))
            continue
        clips.append(read_clip(path, settings.frames_per_clip, False, device))
        bursts = read_bursts(path, settings.bursts_per_clip, settings.between, device)
        if bursts is not None:
            clips.append(bursts)
    return clips


if __name__ == "__main__":
    sys.exit(main())
