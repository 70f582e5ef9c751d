"""Training a new model on a site's own footage, and comparing it with the one in production.

The run's folder lies in this machine's cache, named by everything that decides the result, and its state in the store
as well (`tasks.kept_training`): an interrupted training goes on when the same retraining is started again. Not covered:
the training loop (`lednet.trainer`), the comparison's statistics (`tasks.promotion`), when all of this happens
(`flows.retrain`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lednet import checkpoint
from lednet.checkpoint import Card
from lednet.clips import Clip, ClipError
from lednet.degrade import find_recipe
from lednet.losses import VGG19Features
from lednet.memory import keep_freed_memory
from lednet.restorer import choose_device
from lednet.train_settings import TrainSettings
from tasks import models
from tasks.cache import cache_folder
from tasks.decode import VideoError
from tasks.footage import FootageClip, read_clip, split_footage
from tasks.kept_training import KeptTrainer
from tasks.promotion import ClipFigures, judge
from tasks.settings import LearnSettings
from tasks.types import Problem

log = logging.getLogger(__name__)

LINES = 20
"""Of progress in a training, or more."""

COMMAND = "lednet retrain"
"""What a card says that a model was trained by."""


@dataclass(frozen=True)
class Footage:
    """What a retraining learns from and is judged by."""

    training: tuple[FootageClip, ...]
    held_out: tuple[FootageClip, ...]
    new_cameras: frozenset[str]
    """Cameras of which the old model knows no clip."""


def divide(clips: Sequence[FootageClip], old: Card, settings: LearnSettings) -> Footage:
    """Training and held-out footage. A clip that the old model was trained on is never judged by: it knows it by heart.

    Raises:
        ClipError: if nothing is left to train on.
    """
    training, held_out = split_footage(clips, settings.held_out_share)
    trained, judged = old.trained_clips(), set(old.validation.get("clips", ()))
    if not training:
        raise ClipError(f"{len(clips)} clips, all of them held out: nothing to train on; film more")
    known = {c.camera for c in clips if c.names & (trained | judged)}
    cameras = frozenset(c.camera for c in clips) - known
    return Footage(tuple(training), tuple(c for c in held_out if not c.names & trained), cameras)


def nothing_new(old: Card, clips: Sequence[FootageClip], settings: LearnSettings) -> str:
    """Why a model has nothing to learn from these clips; empty if it has: one that can be read and is none that it was
    trained on. One that was filmed anew under an old name is another clip, as far as the card says what the old one
    was. Empty as well where all are new and none can be read: the training says so. Names of files alone, as `lednet
    train` gives them, make no clip an old one here: another camera's may bear them too, and would never be learnt."""
    trained, keys = old.trained_clips(), old.clip_keys()
    new = [c for c in clips if c.name not in trained or keys.get(c.name, c.key) != c.key]
    problems: list[Problem] = []
    if not new:
        return f"knows all {len(clips)} clips to train on; film more"
    if len(new) == len(clips) or next(read_all(new, settings, problems), None) is not None:
        return ""
    broken = "; ".join(f"{p.url}: {p.reason}" for p in problems)
    return f"knows all clips that can be read; mend or remove the others ({broken}), or film more"


def held_out_of(clips: Sequence[FootageClip], cards: Sequence[Card], settings: LearnSettings) -> Footage:
    """The held-out footage that none of some models was trained on."""
    _, held_out = split_footage(clips, settings.held_out_share)
    trained = set().union(*(card.trained_clips() for card in cards))
    return Footage((), tuple(c for c in held_out if not c.names & trained), frozenset())


def fine_tune(
    old: Path, footage: Footage, settings: LearnSettings, train_settings: TrainSettings, store: str
) -> tuple[Path, list[Problem]]:
    """Train on from a checkpoint; returns the new one's path and the clips that could not be read.

    Nothing is trained where the store has the version that the same run made, whatever was decided of it.

    Args:
        store: keeps the training's state while it lasts, and the versions.

    Raises:
        ClipError: if no clip can be read.
        FloatingPointError: if the training diverges.
    """
    keep_freed_memory()
    device = choose_device(settings.device)
    origin = checkpoint.load(old)
    plan = replace(train_settings, init=origin[1].sha256)
    count = len(footage.training) + len(footage.held_out)
    share = settings.all_clips_mb // count
    if not share:
        raise ClipError(f"{count} clips, and all_clips_mb = {settings.all_clips_mb}: raise it to {count} at least")
    bounded = replace(settings, clip_mb=min(settings.clip_mb, share))
    problems: list[Problem] = []
    clips, held = (
        [replace(c, frames=c.frames.to(device)) for c in read_all(part, bounded, problems)]
        for part in (footage.training, footage.held_out)
    )
    if not clips:
        causes = "; ".join(f"{p.url}: {p.reason}" for p in problems)
        raise ClipError(f"none of {len(footage.training)} clips can be read ({causes}); look at the files")
    run = _run_key(_read_of(footage, [*clips, *held]), settings, plan)
    made = models.made_by(store, run)
    if made is not None:
        log.info("%s was trained on this footage with these settings: it is judged again, not trained", made.name)
        return Path(models.fetch(made.url)), problems
    features = None if settings.vgg == "off" else VGG19Features(Path(settings.vgg))
    out = cache_folder("retrain", run)
    path = out / f"{plan.size}.safetensors"
    keys = {clip.name: clip.key for clip in footage.training}
    trainer = KeptTrainer(store, keys, plan, clips, held, device, features, out, origin)
    trainer.resume()
    trainer.run(COMMAND)
    if not path.exists():  # its last state came from another machine, where the checkpoint stayed
        trainer.export(COMMAND)
    return path, problems


def train_settings(settings: LearnSettings, card: Card) -> TrainSettings:
    """The trainer's settings for going on from a checkpoint: its size, and its tone curve as it is."""
    plain = TrainSettings()
    return replace(
        plain,
        size=checkpoint.size_of(card),
        recipes=settings.recipe_names,
        light=replace(plain.light, steps=0),
        steps=settings.steps,
        warmup_steps=plain.warmup_of(settings.steps),
        seed=settings.seed,
        learning_rate=settings.learning_rate,
        batch_scale=settings.batch_scale,
        loss=replace(plain.loss, perceptual=0.0 if settings.vgg == "off" else plain.loss.perceptual),
        log_every=max(1, min(plain.log_every, settings.steps // LINES)),
    )


def _read_of(footage: Footage, clips: Sequence[Clip]) -> Footage:
    """The footage that could be read: a clip that is mended before a training goes on makes it another one."""
    names = {clip.name for clip in clips}
    training, held_out = (
        tuple(clip for clip in part if clip.name in names) for part in (footage.training, footage.held_out)
    )
    return replace(footage, training=training, held_out=held_out)


def _run_key(footage: Footage, settings: LearnSettings, plan: TrainSettings) -> str:
    told = [asdict(plan), settings.clip_mb, settings.all_clips_mb, settings.frames_per_clip]
    told += [settings.high_speed_frames, settings.vgg, [find_recipe(name).to_dict() for name in plan.recipes]]
    keys = [clip.key for clip in (*footage.training, *footage.held_out)]
    return hashlib.sha256(json.dumps([told, keys], sort_keys=True).encode()).hexdigest()[:16]


def read_all(clips: Sequence[FootageClip], settings: LearnSettings, problems: list[Problem]) -> Iterator[Clip]:
    """Decode clips, one at a time; those that can't be are appended to `problems`."""
    for clip in clips:
        try:
            yield read_clip(clip, settings)
        except VideoError as error:
            log.warning("%s", error)
            problems.append(Problem(error.url, error.cause))


def compare(old: Path, new: Path, footage: Footage, settings: LearnSettings) -> tuple[list[ClipFigures], list[Problem]]:
    """Figures of two checkpoints on the held-out clips, and the clips that could not be read."""
    device = choose_device(settings.device)
    before, after = (checkpoint.load(path)[0].to(device) for path in (old, new))
    problems: list[Problem] = []
    cameras = {clip.name: clip.camera for clip in footage.held_out}
    held = (
        (clip, cameras[clip.name], cameras[clip.name] in footage.new_cameras)
        for clip in read_all(footage.held_out, settings, problems)
    )
    return judge(before, after, held, settings), problems
