"""Synthesis of degraded footage: each physical step one function on batches of torch tensors, composed by recipes.

    response.py     camera response g and its inverse          eq. 1
    blur.py         bursts, shake, vibration, defocus, lamps   eq. 1
    air.py          dust, fog, lit dust
    night.py        darkness, lamps in the frame               eq. 2
    sensor.py       noise, infrared, low resolution
    compression.py  JPEG, H.264's transform
    subframes.py    frames between frames, for slow footage
    recipe.py       which of them, how strongly, in which order

Images are float tensors [n, 3, h, w] in [0, 1], sRGB unless a name says linear. Every random draw comes from the
`generator` that is passed in, which lives on the images' device: equal seeds give equal pairs. Not covered: where
sharp frames come from (`lednet.clips`) and how pairs reach the network (`lednet.trainer`).

Source: Guo et al. 2024, section Data. The constants that the paper leaves open are the fields of `Recipe`.
"""

from lednet.degrade.air import add_dust, add_fog, light_dust
from lednet.degrade.blur import (
    SATURATED,
    average_burst,
    blur,
    blur_in_depth,
    defocus_kernels,
    draw_nearness,
    restore_highlights,
    shake_kernels,
    shake_paths,
    vibration_kernels,
)
from lednet.degrade.compression import jpeg, transform_coding
from lednet.degrade.draw import Range, uniform
from lednet.degrade.night import darken, darken_locally
from lednet.degrade.recipe import (
    RECIPES,
    Recipe,
    RecipeError,
    degrade,
    find_recipe,
    lose_colour,
    make_blur,
    make_night,
    read_recipe,
)
from lednet.degrade.response import SRGB, Response, linear_to_srgb, srgb_to_linear
from lednet.degrade.sensor import add_row_noise, add_sensor_noise, lower_resolution, to_infrared
from lednet.degrade.subframes import interpolate

__all__ = [
    "RECIPES", "SATURATED", "SRGB", "Range", "Recipe", "RecipeError", "Response", "add_dust", "add_fog",
    "add_row_noise", "add_sensor_noise", "average_burst", "blur", "blur_in_depth", "darken", "darken_locally",
    "defocus_kernels", "degrade", "draw_nearness", "find_recipe", "interpolate", "jpeg", "light_dust",
    "linear_to_srgb", "lose_colour", "lower_resolution", "make_blur", "make_night", "read_recipe",
    "restore_highlights", "shake_kernels", "shake_paths", "srgb_to_linear", "to_infrared", "transform_coding",
    "uniform", "vibration_kernels",
]  # fmt: skip
