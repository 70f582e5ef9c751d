"""Training: `python -m lednet.train --data FOLDER --out FOLDER`, with torch, numpy and OpenCV alone.

Covers the command line; the run itself is `lednet.trainer`, a peer's (`--model`) `lednet.peer_trainer`. With
`--minutes` a rehearsal says how many steps there are time for; the plan is kept in the run folder, `plan.json`.

The run folder holds `state.pt` (everything to go on from), `metrics.jsonl` (one line a log interval and a validation),
`curves.png`, which draws them, and `<name>.safetensors` + `.json` (the moving average of the weights, what a Restorer
loads).
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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from lednet import checkpoint
from lednet.baselines.peers import PEERS
from lednet.clips import Clip, find_clips, frame_bytes, is_high_speed, read_bursts, read_clip, split_clips
from lednet.footage_split import FIXED, SPLITS, split_leaky
from lednet.losses import VGG19Features
from lednet.memory import keep_freed_memory
from lednet.model import SIZES
from lednet.peer_trainer import LEDNET, ComparisonSettings, make_trainer
from lednet.photos import read_photos
from lednet.ranks import Ranks, join, leave
from lednet.rehearsal import STEPS, affordable_steps, check_times, read_plan, rehearse
from lednet.restorer import choose_device
from lednet.train_settings import TrainSettings
from lednet.trainer import Trainer

log = logging.getLogger("lednet.train")

CLIPS_MB = 8192
"""Most memory of decoded frames, of the training clips, the held-out ones and the photographs each."""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line of `python -m lednet.train` and `lednet train`."""
    defaults = TrainSettings()
    parser = argparse.ArgumentParser(
        prog="lednet train", description="Train LEDNet, or a peer, on pairs made from clips."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp clips")
    parser.add_argument("--photos", type=Path, help="folder of sharp photographs to train on as well, with its folders")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run that it holds is resumed")
    parser.add_argument("--model", default=LEDNET, choices=(LEDNET, *PEERS), help="LEDNet, or a peer of it")
    parser.add_argument(
        "--photo-share", type=float, default=defaults.photo_share, help="of all draws, where photographs are enough"
    )
    parser.add_argument(
        "--size", choices=sorted(SIZES), help=f"LEDNet's; that of --init, or {defaults.size}, by default"
    )
    parser.add_argument("--split", default="clip", choices=SPLITS, help=f"frame, camera: of fixed cameras ({FIXED}...)")
    parser.add_argument(
        "--init",
        default="",
        help="checkpoint to start from, also of a size below --size: a shipped one's name, or a path",
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
    parser.add_argument(
        "--save-every", type=int, help=f"{defaults.save_every} by default; with --minutes half of the steps"
    )
    parser.add_argument(
        "--minutes", type=float, help="of the whole run, in place of --steps: as many as a rehearsal finds time for"
    )
    parser.add_argument(
        "--session", type=float, default=math.inf, help="minutes after which this command stops; run it again to go on"
    )
    parser.add_argument("--perceptual", choices=("vgg19", "off"), default="vgg19")
    parser.add_argument("--vgg", type=Path, default=Path("vgg19.npz"), help="VGG19, as .npz or torchvision's .pth")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace, origin: checkpoint.Card | None = None) -> TrainSettings:
    """The settings that the command line asks for, with `origin` the card of what --init names.

    Raises ValueError on an unknown recipe, numbers out of range, or an origin of no known size where none is named.
    """
    check_times(options.minutes, options.session)
    settings = TrainSettings()
    light_steps = options.light_steps
    if light_steps is None:
        light_steps = 0 if options.init else settings.light.steps
    own_rate = PEERS[options.model].learning_rate if options.model in PEERS else settings.learning_rate
    settings = replace(
        settings,
        size=options.size or (checkpoint.size_of(origin) if origin else settings.size),
        init=origin.sha256 if origin else settings.init,
        recipes=tuple(options.recipes.split(",")),
        light=replace(settings.light, steps=light_steps),
        steps=options.steps,
        warmup_steps=settings.warmup_of(options.steps),
        seed=options.seed,
        learning_rate=own_rate if options.learning_rate is None else options.learning_rate,
        batch_scale=options.batch_scale,
        crop_scale=options.crop_scale,
        photo_share=options.photo_share,
        compile=options.compile,
        save_every=settings.save_every if options.save_every is None else options.save_every,
        loss=replace(settings.loss, perceptual=settings.loss.perceptual if options.perceptual == "vgg19" else 0.0),
    )
    return ComparisonSettings.of(settings, options.model, options.split)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 trained, 1 failed, 2 stopped by `--session`: run it again."""
    started = time.monotonic()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    options = parse_arguments(arguments)
    try:
        if options.threads < 0:
            raise ValueError(f"--threads must be 0 or more, not {options.threads}")
        if options.threads:
            torch.set_num_threads(options.threads)
        origin = checkpoint.load(options.init) if options.init else None
        settings = settings_of(options, origin[1] if origin else None)
        ranks, device = join(choose_device(options.device))
        if not ranks.first:
            logging.disable(logging.INFO)
        features = VGG19Features(options.vgg) if options.perceptual == "vgg19" else None
        clips, held = read_split(options.data, options.split, settings, device)
        if options.photos is not None:
            clips += read_photos(options.photos, device, CLIPS_MB * 2**20)
        options.out.mkdir(parents=True, exist_ok=True)

        def made(settings: TrainSettings, out: Path) -> Trainer:
            return make_trainer(settings, clips, held, device, features, out, origin, ranks)

        if options.minutes is not None:
            settings = planned(settings, options, made, ranks)
        trainer = made(settings, options.out)
        trainer.resume()
        command = "lednet train " + shlex.join(arguments if arguments is not None else sys.argv[1:])
        trainer.run(command, started + 60 * options.session)
        return 0 if trainer.step >= settings.all_steps else 2
    except (ValueError, OSError, FloatingPointError) as error:  # OSError: a full disk
        log.error("%s", error)
        return 1
    finally:
        leave()


def planned(
    settings: TrainSettings, options: argparse.Namespace, made: Callable[[TrainSettings, Path], Trainer], ranks: Ranks
) -> TrainSettings:
    """The settings with the steps of OUT/plan.json, or with as many as a rehearsal finds time for.

    Raises:
        ValueError: if the plan is damaged or for other minutes, or several processes would have to agree on one.
    """
    if ranks.count > 1:
        raise ValueError("--minutes is for one process; pass --steps to several")
    path = options.out / "plan.json"
    if path.exists():
        plan = read_plan(path)
        if plan.get("minutes") != options.minutes:
            raise ValueError(f"{path} is for {plan.get('minutes')} minutes; pass those again, or another --out")
    else:
        with tempfile.TemporaryDirectory() as folder:
            light, later = rehearse(made(replace(settings, steps=STEPS), Path(folder)))
        steps = affordable_steps(later, options.minutes, light * settings.light.steps)
        plan = {"minutes": options.minutes, "steps": steps, "seconds_a_step": round(later, 5)}
        checkpoint.write_atomically(path, (json.dumps(plan) + "\n").encode())
    steps = plan["steps"]
    log.info("%g minutes: %d steps", options.minutes, steps)
    return replace(
        settings, steps=steps, warmup_steps=settings.warmup_of(steps),
        save_every=options.save_every or max(1, (settings.light.steps + steps) // 2),
    )  # fmt: skip


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
    """Decode clips as the settings say: stills and bursts of each, high-speed ones whole.

    As many side by side as there are threads: one after the other they take minutes, also where the rest has a GPU.
    Where all would take more memory than `CLIPS_MB`, as a few clips in 4K do, fewer frames of each.
    """
    settings = _fitting(paths, settings)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return [clip for clips in pool.map(partial(_read_one, settings=settings, device=device), paths)
                for clip in clips]  # fmt: skip


def _fitting(paths: Sequence[Path], settings: TrainSettings) -> TrainSettings:
    """The settings by which clips are decoded: with fewer frames where so many would not fit into `CLIPS_MB`."""
    slow = settings.frames_per_clip + settings.bursts_per_clip * (2 * settings.between + 1)
    wanted = sum(frame_bytes(path) * (settings.high_speed_frames if is_high_speed(path) else slow) for path in paths)
    share = CLIPS_MB * 2**20 / max(1, wanted)
    if share >= 1:
        return settings
    log.warning("%d clips would take %.0f GB of memory: %.0f %% of the frames are taken; smaller clips keep more",
                len(paths), wanted / 1e9, 100 * share)  # fmt: skip
    return replace(
        settings,
        high_speed_frames=max(1, int(share * settings.high_speed_frames)),
        frames_per_clip=max(1, int(share * settings.frames_per_clip)),
        bursts_per_clip=int(share * settings.bursts_per_clip),
    )


def _read_one(path: Path, settings: TrainSettings, device: torch.device) -> list[Clip]:
    if is_high_speed(path):
        return [read_clip(path, settings.high_speed_frames, True, device)]
    stills = read_clip(path, settings.frames_per_clip, False, device)
    bursts = read_bursts(path, settings.bursts_per_clip, settings.between, device) if settings.bursts_per_clip else None
    return [stills] if bursts is None else [stills, bursts]


if __name__ == "__main__":
    sys.exit(main())
