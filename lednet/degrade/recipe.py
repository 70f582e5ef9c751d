"""Recipes: which degradations a pair goes through, how strongly and in which order; built in or from a TOML file.

Physical order, each step drawn once an image: lamps above white -> motion, vibration, defocus -> infrared -> lit dust,
dust, fog -> the sensor's few pixels -> clipping and camera response -> darkness -> noise -> infrared's one channel ->
compression -> 8 bits. A probability or a range of zeros switches a step off, and then it draws nothing; shake alone
always draws.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lednet.degrade.air import add_dust, add_fog, light_dust
from lednet.degrade.blur import (
    KERNEL_SIDES,
    blur,
    blur_in_depth,
    defocus_kernels,
    draw_nearness,
    kernel_side,
    restore_highlights,
    shake_kernels,
    shake_paths,
    vibration_kernels,
)
from lednet.degrade.compression import jpeg, transform_coding
from lednet.degrade.draw import Range, uniform
from lednet.degrade.night import darken, darken_locally
from lednet.degrade.response import SRGB, Response
from lednet.degrade.sensor import add_row_noise, add_sensor_noise, lower_resolution, to_infrared

NONE: Range = (0.0, 0.0)

BOUNDS: dict[str, Range] = {
    # Above them all is white or black, and in the end no number; below gamma 0.5 `darken` would turn black grey.
    "gain": (0, 10),
    "gamma": (0.5, 10),
    # What kernels hold: they would cut what reaches further, and shift the picture against its label.
    "shake_px": (0, KERNEL_SIDES[-1] - 1),
    "parallax": (0, 2),
    "vibration_px": (0, 12),
    "defocus_px": (0, 12),
    **dict.fromkeys(("dust", "fog", "lit_dust", "lamp_depth"), (0, 1)),
    **dict.fromkeys(("shot_noise", "read_noise", "row_noise"), (0, 1)),
    "highlight_boost": (1, 1000),
    "low_resolution": (1, 100),
    "jpeg_quality": (1, 100),
    "video_qp": (0, 51),
}
"""Between which the range of a field must lie."""

HOW_OFTEN = {
    "dust": "dust_probability",
    "fog": "fog_probability",
    "lamp_depth": "lamp_probability",
    "jpeg_quality": "jpeg_probability",
    "video_qp": "video_probability",
}
"""Ranges that do nothing without their probability, nor it without them: a file states both."""


@dataclass(frozen=True)
class Recipe:
    """One way to degrade. A pair of numbers is a range drawn from uniformly, once an image."""

    name: str
    gain: Range
    """c of eq. 2."""
    gamma: Range
    """gamma of eq. 2."""
    response: Response = SRGB
    """g of eq. 1: how the camera stores light. In a file: "srgb", a gamma, or a list of stored values."""
    shake_px: Range = NONE
    """Length of the camera-shake path of a frame that brings no burst of its own, in pixels."""
    parallax: Range = NONE
    """How much less than the nearest things in that frame the farthest move, as a share; beyond 1 the other way."""
    vibration_px: Range = NONE
    """Amplitude of a camera that swings to and fro, in pixels."""
    defocus_px: Range = NONE
    """Radius of the disc that a point becomes, in pixels."""
    highlight_boost: Range = (1.0, 1.0)
    """How many times white a clipped lamp really was."""
    infrared_probability: float = 0.0
    """How often a frame, and its label, has no colour."""
    dust: Range = NONE
    """Share of the light that the thickest dust takes away."""
    dust_probability: float = 0.0
    fog: Range = NONE
    """Share of the light that fog takes away at the top of the frame."""
    fog_probability: float = 0.0
    lit_dust: Range = NONE
    """Share of a lamp's light above white that dust scatters around it."""
    low_resolution: Range = (1.0, 1.0)
    """How many times fewer pixels a side the sensor has; drawn once a batch."""
    lamp_depth: Range = NONE
    """How much darker it is away from a lamp in the frame, 0 to 1."""
    lamp_probability: float = 0.0
    shot_noise: Range = NONE
    """a in var = a * x + b**2, linear light."""
    read_noise: Range = NONE
    """b in var = a * x + b**2, linear light."""
    row_noise: Range = NONE
    """Deviation of one offset a row, linear light."""
    jpeg_quality: Range = (100.0, 100.0)
    jpeg_probability: float = 0.0
    video_qp: Range = NONE
    """H.264 quantisation parameter, for the frames that are not compressed as JPEG."""
    video_probability: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, for a card."""
        return asdict(self)


RECIPES: dict[str, Recipe] = {
    # Eqs. 1 and 2 with constants, no noise: what the paper's text describes.
    "paper": Recipe("paper", gain=(0.6, 0.6), gamma=(2.2, 2.2), shake_px=(3.0, 18.0), highlight_boost=(1.0, 6.0)),
    # What a real camera does at night.
    "night": Recipe(
        "night",
        gain=(0.4, 1.0),
        gamma=(1.6, 3.2),
        shake_px=(0.0, 16.0),
        highlight_boost=(1.0, 8.0),
        dust=(0.05, 0.4),
        dust_probability=0.4,
        shot_noise=(0.0002, 0.008),
        read_noise=(0.0002, 0.005),
        jpeg_quality=(40.0, 95.0),
        jpeg_probability=0.7,
    ),
    # What a mine adds: explosion-proof cameras on poles that shake, lamps in dust, infrared.
    "mine": Recipe(
        "mine",
        gain=(0.4, 1.0),
        gamma=(1.6, 3.2),
        shake_px=(0.0, 10.0),
        vibration_px=(0.0, 4.0),
        defocus_px=(0.0, 1.5),
        highlight_boost=(1.0, 8.0),
        infrared_probability=0.2,
        dust=(0.1, 0.6),
        dust_probability=0.5,
        fog=(0.1, 0.7),
        fog_probability=0.3,
        lit_dust=(0.0, 0.8),
        low_resolution=(1.0, 1.5),
        lamp_depth=(0.2, 0.8),
        lamp_probability=0.4,
        shot_noise=(0.0005, 0.012),
        read_noise=(0.0005, 0.008),
        row_noise=(0.0, 0.003),
        jpeg_quality=(30.0, 90.0),
        jpeg_probability=0.3,
        video_qp=(20.0, 34.0),
        video_probability=0.6,
    ),
    # What the paper's one blur for all of a frame leaves out: near things move further than far ones. For training.
    "drive": Recipe(
        "drive",
        gain=(0.6, 0.6),
        gamma=(2.2, 2.2),
        shake_px=(3.0, 44.0),
        parallax=(0.0, 1.5),
        highlight_boost=(1.0, 6.0),
    ),
    # What a camera sees that is left with hardly any light: its sensor's gain at its end. For training.
    "faint": Recipe(
        "faint",
        gain=(0.4, 1.0),
        gamma=(1.6, 3.2),
        shake_px=(0.0, 24.0),
        highlight_boost=(1.0, 8.0),
        dust=(0.05, 0.4),
        dust_probability=0.4,
        shot_noise=(0.004, 0.03),
        read_noise=(0.003, 0.02),
        row_noise=(0.0, 0.004),
        jpeg_quality=(40.0, 95.0),
        jpeg_probability=0.7,
    ),
}


class RecipeError(ValueError):
    """A recipe file can't be used; the message names the file, the cause and what to do."""


def read_recipe(path: Path) -> Recipe:
    """A recipe of one's own: a TOML file with the fields of `Recipe`, ranges as two numbers.

    Raises:
        RecipeError: if it is no TOML, a field is missing, unknown or of the wrong kind, or a range runs backwards or
            beyond its `BOUNDS`, or one of `HOW_OFTEN` stands without the other.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a mark before the text
    except (OSError, ValueError, RecursionError) as error:  # of endless numbers and nested lists too
        raise RecipeError(f"{path}: not a readable TOML file ({error}); write a recipe's fields") from error
    known = {f.name: f for f in fields(Recipe)}
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise RecipeError(f"{path}: unknown field {unknown[0]}; known are {', '.join(known)}")
    table.setdefault("name", path.stem)
    values = {key: _checked(path, key, known[key].type, value) for key, value in table.items()}
    missing = [key for key in ("gain", "gamma") if key not in values]
    if missing:
        raise RecipeError(f"{path}: {missing[0]} is missing; write {missing[0]} = [low, high]")
    if values.get("jpeg_probability", 0) + values.get("video_probability", 0) > 1:
        raise RecipeError(f"{path}: jpeg_probability and video_probability come to more than 1; lower one")
    for strength, probability in HOW_OFTEN.items():
        if strength in values and probability not in values:
            raise RecipeError(f"{path}: {strength} does nothing without {probability}; write a number from 0 to 1")
        if values.get(probability, 0) > 0 and strength not in values:
            raise RecipeError(f"{path}: {probability} does nothing without {strength}; write {strength} = [low, high]")
    return Recipe(**values)


def _checked(path: Path, key: str, kind: object, value: Any) -> Any:
    """One field's value, ranges as tuples; RecipeError if it is not what the field holds."""
    if kind == "str":
        if isinstance(value, str):
            return value
        raise RecipeError(f"{path}: {key} must be a text")
    if kind == "Response":
        try:
            return Response(tuple(value) if isinstance(value, list) else value)
        except ValueError as error:
            raise RecipeError(f"{path}: {error}") from error
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n < float("inf") for n in numbers):
        raise RecipeError(f"{path}: {key} must be made of numbers from 0 up, not {value!r}")
    if kind == "float":
        if len(numbers) == 1 and not isinstance(value, list) and numbers[0] <= 1:
            return float(numbers[0])
        raise RecipeError(f"{path}: {key} must be one number from 0 to 1, not {value!r}")
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise RecipeError(f"{path}: {key} must be a range [low, high], not {value!r}")
    least, most = BOUNDS[key]
    if not least <= numbers[0] <= numbers[1] <= most:
        raise RecipeError(f"{path}: {key} must lie between {least} and {most}, not {value!r}")
    return float(numbers[0]), float(numbers[1])


def find_recipe(name: str) -> Recipe:
    """A built-in recipe by its name, or one's own by the path of its TOML file. Raises RecipeError if it is neither."""
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".toml"):
        return read_recipe(Path(name))
    raise RecipeError(f"unknown recipe {name!r}: name one of {', '.join(RECIPES)}, or a .toml file")


def make_blur(linear: Tensor, recipe: Recipe, still: Tensor, generator: torch.Generator) -> Tensor:
    """Motion of `still` images ([n], bool: those that bring no burst), vibration and defocus, in linear light."""
    n = linear.shape[0]
    length, side = uniform(recipe.shake_px, (n,), generator) * still.to(linear.device), kernel_side(recipe.shake_px[1])
    if recipe.parallax[1] > 0:
        parallax, path = uniform(recipe.parallax, (n,), generator), shake_paths(length, generator)
        linear = blur_in_depth(linear, draw_nearness(linear, generator), path, parallax, side)
    else:
        linear = blur(linear, shake_kernels(length, generator, side))
    if recipe.vibration_px[1] > 0:
        linear = blur(linear, vibration_kernels(uniform(recipe.vibration_px, (n,), generator), generator))
    if recipe.defocus_px[1] > 0:
        linear = blur(linear, defocus_kernels(uniform(recipe.defocus_px, (n,), generator)))
    return linear


def lose_colour(
    linear: Tensor, label: Tensor, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Infrared mode, on some pairs: linear light and stored label lose their colour together, as it can't be known.

    Returns:
        Both, and which pairs are infrared, [n, 1, 1, 1] (bool), for `make_night`; None where the recipe has none.
    """
    if recipe.infrared_probability <= 0:
        return linear, label, None
    chosen = _chosen(recipe.infrared_probability, linear.shape[0], generator)
    grey = recipe.response.to_stored(to_infrared(recipe.response.to_linear(label)))
    return torch.where(chosen, to_infrared(linear), linear), torch.where(chosen, grey, label), chosen


def make_night(linear: Tensor, recipe: Recipe, generator: torch.Generator, infrared: Tensor | None = None) -> Tensor:
    """Blurred linear light (highlights may exceed 1) -> degraded sRGB in 8-bit levels: all that comes after blur.

    Images that are `infrared` [n, 1, 1, 1] (bool) get one channel's dust and noise, as such a camera has no other.
    """
    n = linear.shape[0]
    linear = _haze(linear, recipe, generator)
    if recipe.low_resolution[1] > 1:
        linear = lower_resolution(linear, float(uniform(recipe.low_resolution, (1,), generator)))
    x = recipe.response.to_stored(linear.clamp(0, 1))
    x = darken(x, uniform(recipe.gain, (n,), generator), uniform(recipe.gamma, (n,), generator))
    if recipe.lamp_probability > 0:
        depth = uniform(recipe.lamp_depth, (n,), generator)
        x = darken_locally(x, depth * _chosen(recipe.lamp_probability, n, generator).flatten(), generator)
    x = _noise(x, recipe, generator)
    if infrared is not None:
        x = torch.where(infrared, x[:, :1], x)
    x = _compress(x, recipe, generator)
    return (x.clamp(0, 1) * 255).round() / 255


def _chosen(probability: float, n: int, generator: torch.Generator) -> Tensor:
    """Which images a step befalls, [n, 1, 1, 1]."""
    return uniform((0, 1), (n, 1, 1, 1), generator) < probability


def _haze(linear: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    n = linear.shape[0]
    if recipe.lit_dust[1] > 0:
        linear = light_dust(linear, uniform(recipe.lit_dust, (n,), generator))
    if recipe.dust_probability > 0:
        dusty = _chosen(recipe.dust_probability, n, generator).flatten().float()
        linear = add_dust(linear, dusty * uniform(recipe.dust, (n,), generator), generator)
    if recipe.fog_probability > 0:
        foggy = _chosen(recipe.fog_probability, n, generator).flatten().float()
        linear = add_fog(linear, foggy * uniform(recipe.fog, (n,), generator), generator)
    return linear


def _noise(x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    n = x.shape[0]
    if max(recipe.shot_noise[1], recipe.read_noise[1]) > 0:
        shot = uniform(recipe.shot_noise, (n,), generator, log=True)
        read = uniform(recipe.read_noise, (n,), generator, log=True)
        x = add_sensor_noise(x, shot, read, generator, recipe.response)
    if recipe.row_noise[1] > 0:
        x = add_row_noise(x, uniform(recipe.row_noise, (n,), generator), generator, recipe.response)
    return x


def _compress(x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    n = x.shape[0]
    if max(recipe.jpeg_probability, recipe.video_probability) <= 0:
        return x
    quality, qp = uniform(recipe.jpeg_quality, (n,), generator), torch.zeros(())
    if recipe.video_probability > 0:
        qp = uniform(recipe.video_qp, (n,), generator)
    draw = uniform((0, 1), (n, 1, 1, 1), generator)
    x = x.clamp(0, 1)  # a gain above 1 is clipped by the sensor, and a coder sees no more than white
    if recipe.jpeg_probability > 0:
        x = torch.where(draw < recipe.jpeg_probability, jpeg(x, quality), x)
    if recipe.video_probability > 0:  # of the others
        x = torch.where(draw >= 1 - recipe.video_probability, transform_coding(x, qp), x)
    return x


def degrade(sharp: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Sharp sRGB stills -> degraded sRGB of the same shape: highlights restored, blurred, then `make_night`.

    Infrared mode is for pairs (`lose_colour`) and left out here.
    """
    n = sharp.shape[0]
    boost = uniform(recipe.highlight_boost, (n, 1, 1, 1), generator)
    linear = restore_highlights(recipe.response.to_linear(sharp), boost)
    return make_night(make_blur(linear, recipe, torch.ones(n, dtype=torch.bool), generator), recipe, generator)
