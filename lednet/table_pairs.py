"""The frames that the comparison is made on: degraded inputs with their references, the same for every method.

Covers held-out clips of a training folder and real blurred pairs, the scene that each belongs to, and the training
frames that the fixed gamma is fitted on. Frames are whole, shrunk in linear light, and 8-bit sRGB. Not covered:
methods and figures (`lednet.evaluate_table`).
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lednet.clips import Clip, find_clips, is_high_speed, read_clip, split_clips
from lednet.degrade import (
    Recipe,
    average_burst,
    degrade,
    linear_to_srgb,
    make_night,
    srgb_to_linear,
)
from lednet.degrade import uniform as draw
from lednet.validate import read_pairs

SCENES = ("indoor", "outdoor")
UNNAMED = "unnamed scene"

BURST = 11
"""Frames averaged of a high-speed clip: 46 ms at 240 frames/s."""

HELD_OUT_SHARE = 0.2
"""As in training (`lednet.train_settings.TrainSettings`), so that no clip on the held-out side was trained on."""


@dataclass(frozen=True)
class Example:
    """One degraded frame and its reference."""

    source: str
    """ "held-out clips", or "real pairs"."""
    scene: str
    group: str
    """Clip or pair: what examples of one group share, they are not independent of."""
    name: str
    degraded: Tensor
    """[1, 3, h, w], sRGB in [0, 1], in steps of 1/255."""
    reference: Tensor
    """As `degraded`."""


def read_scenes(path: Path | None) -> dict[str, str]:
    """`[scenes]` of a TOML file: beginning of a clip's or pair's name -> "indoor" or "outdoor".

    Raises ValueError if it can't be read, or names another scene.
    """
    if path is None:
        return {}
    try:
        scenes = tomllib.loads(path.read_text(encoding="utf-8"))["scenes"]
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: no readable [scenes] table ({error}); write lines like people_ = 'indoor'"
        ) from error
    wrong = sorted(name for name, scene in scenes.items() if scene not in SCENES)
    if wrong:
        raise ValueError(f"{path}: {wrong[0]}: a scene is one of {', '.join(SCENES)}, not {scenes[wrong[0]]!r}")
    return dict(scenes)


def scene_of(name: str, scenes: Mapping[str, str]) -> str:
    """The scene of the longest beginning that matches; else one that the name itself holds; else `UNNAMED`."""
    beginnings = [beginning for beginning in scenes if name.startswith(beginning)]
    if beginnings:
        return scenes[max(beginnings, key=len)]
    return next((scene for scene in SCENES if scene in name.lower()), UNNAMED)


def _seeded(*parts: object) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32("/".join(map(str, parts)).encode()))


def shrink_factor(height: int, most_height: int) -> int:
    """By how much a frame is shrunk so that it is no higher than `most_height`."""
    return max(1, -(-height // most_height))


def _shrunk(linear: Tensor, factor: int) -> Tensor:
    return F.avg_pool2d(linear, factor) if factor > 1 else linear


def _in_8_bits(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255


def _from_clip(
    clip: Clip, i: int, recipe: Recipe, generator: torch.Generator, most_height: int
) -> tuple[Tensor, Tensor]:
    """(degraded, reference) of one still of a clip, or of its i-th burst."""
    factor = shrink_factor(clip.frames.shape[2], most_height)
    if not clip.high_speed:
        sharp = clip.frames[i : i + 1].float() / 255
        reference = _in_8_bits(linear_to_srgb(_shrunk(srgb_to_linear(sharp), factor)))
        return degrade(reference, recipe, generator), reference
    burst = clip.frames[i * BURST : (i + 1) * BURST].float() / 255
    boost = draw(recipe.highlight_boost, (1, 1, 1), generator)
    blurred = _shrunk(average_burst(burst, boost)[None], factor)
    middle = burst[len(burst) // 2][None]
    return make_night(blurred, recipe, generator), _in_8_bits(linear_to_srgb(_shrunk(srgb_to_linear(middle), factor)))


def _examples_of(
    paths: Sequence[Path], recipe: Recipe, scenes: Mapping[str, str], frames: int, most_height: int, seed: int
) -> Iterator[Example]:
    for path in paths:
        fast = is_high_speed(path)
        clip = read_clip(path, frames * BURST if fast else frames, fast, torch.device("cpu"))
        for i in range(max(1, len(clip.frames) // BURST) if fast else len(clip.frames)):
            degraded, reference = _from_clip(clip, i, recipe, _seeded(seed, recipe.name, path.stem, i), most_height)
            scene = scene_of(path.stem, scenes)
            yield Example("held-out clips", scene, path.stem, f"{path.stem} {i}", degraded, reference)


def examples_of_clips(
    folder: Path, recipe: Recipe, scenes: Mapping[str, str], frames: int, most_height: int, seed: int
) -> list[Example]:
    """`frames` frames of each held-out clip of a training folder, spread evenly; of a high-speed one its first bursts.

    Raises:
        ClipError: if there is no clip to read.
    """
    _, held_out = split_clips(find_clips(folder), HELD_OUT_SHARE)
    return list(_examples_of(held_out, recipe, scenes, frames, most_height, seed))


def training_pairs(folder: Path, recipe: Recipe, most_height: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """(degraded, reference) of two frames of each training clip, every second pixel of every second row."""
    training, _ = split_clips(find_clips(folder), HELD_OUT_SHARE)
    examples = _examples_of(training, recipe, {}, 2, most_height, seed)
    return [(e.degraded[:, :, ::2, ::2], e.reference[:, :, ::2, ::2]) for e in examples]


def examples_of_pairs(
    folder: Path, recipe: Recipe, scenes: Mapping[str, str], nights: int, most_height: int, seed: int
) -> list[Example]:
    """Really blurred pictures with their sharp ones, each darkened `nights` times. Raises ValueError."""
    examples = []
    for name, blurred, sharp in read_pairs(folder):
        factor = shrink_factor(blurred.shape[2], most_height)
        linear = _shrunk(srgb_to_linear(blurred), factor)
        reference = _in_8_bits(linear_to_srgb(_shrunk(srgb_to_linear(sharp), factor)))
        for i in range(nights):
            degraded = make_night(linear, recipe, _seeded(seed, recipe.name, name, i))
            examples.append(Example("real pairs", scene_of(name, scenes), name, f"{name} {i}", degraded, reference))
    return examples
