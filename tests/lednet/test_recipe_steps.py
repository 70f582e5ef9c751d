"""What a recipe states is what its pictures show: every field at work, in its place, for each picture by itself.

Not covered: what a file may state (`test_recipes`), each step's own physics (`test_degrade`, `test_degrade_camera`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lednet.degrade import (
    RECIPES,
    Recipe,
    Response,
    blur,
    defocus_kernels,
    degrade,
    jpeg,
    linear_to_srgb,
    make_night,
    srgb_to_linear,
    transform_coding,
)

PLAIN = Recipe("plain", gain=(1.0, 1.0), gamma=(1.0, 1.0))
"""Changes nothing."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_lamp(height: int = 48, width: int = 64) -> Tensor:
    """A textured picture, [1, 3, height, width], with a clipped lamp in it."""
    sharp = 0.2 + 0.5 * torch.rand((1, 3, height, width), generator=seeded(7))
    sharp[..., 20:28, 30:38] = 1.0
    return sharp


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", RECIPES)
def test_pictures_of_any_floating_point_kind_are_degraded_alike(name: str, kind: torch.dtype) -> None:
    sharp = (with_lamp() * 255).round() / 255
    plain, other = (degrade(x, RECIPES[name], seeded()) for x in (sharp, sharp.to(kind)))
    assert (plain - other.float()).abs().mean() < 2 / 255


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_single_steps_take_pictures_of_any_floating_point_kind(kind: torch.dtype) -> None:
    sharp, quality, qp, disc = (
        with_lamp(),
        torch.full((1,), 50.0),
        torch.full((1,), 20.0),
        defocus_kernels(torch.ones(1)),
    )
    steps = lambda x: jpeg(x, quality), lambda x: transform_coding(x, qp), lambda x: blur(x, disc)
    for step in steps:
        assert (step(sharp) - step(sharp.to(kind)).float()).abs().mean() < 2 / 255


BLURRED = replace(PLAIN, defocus_px=(3.0, 3.0))
LAMPS = replace(BLURRED, highlight_boost=(8.0, 8.0))
SHAKEN = replace(PLAIN, shake_px=(12.0, 12.0))


@pytest.mark.parametrize(
    ("before", "stated"),
    [
        (PLAIN, {"gain": (0.5, 0.5)}),
        (PLAIN, {"gamma": (2.0, 2.0)}),
        (BLURRED, {"response": Response(1.0)}),
        (PLAIN, {"shake_px": (12.0, 12.0)}),
        (SHAKEN, {"parallax": (1.0, 1.0)}),
        (PLAIN, {"vibration_px": (4.0, 4.0)}),
        (PLAIN, {"defocus_px": (3.0, 3.0)}),
        (BLURRED, {"highlight_boost": (8.0, 8.0)}),
        (PLAIN, {"dust": (0.5, 0.5), "dust_probability": 1.0}),
        (PLAIN, {"fog": (0.5, 0.5), "fog_probability": 1.0}),
        (LAMPS, {"lit_dust": (0.8, 0.8)}),
        (PLAIN, {"low_resolution": (2.0, 2.0)}),
        (PLAIN, {"lamp_depth": (0.8, 0.8), "lamp_probability": 1.0}),
        (PLAIN, {"shot_noise": (0.01, 0.01)}),
        (PLAIN, {"read_noise": (0.02, 0.02)}),
        (PLAIN, {"row_noise": (0.02, 0.02)}),
        (PLAIN, {"jpeg_quality": (20.0, 20.0), "jpeg_probability": 1.0}),
        (PLAIN, {"video_qp": (40.0, 40.0), "video_probability": 1.0}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_every_field_changes_the_picture(before: Recipe, stated: dict[str, Any]) -> None:
    without, having = (degrade(with_lamp(), recipe, seeded()) for recipe in (before, replace(before, **stated)))
    assert (having - without).abs().mean() > 1 / 255


@pytest.mark.parametrize("step", ["dust", "fog", "lamp_depth"])
def test_a_step_befalls_as_many_pictures_as_its_probability_says(step: str) -> None:
    fields: dict[str, Any] = {step: (0.8, 0.8), f"{step.removesuffix('_depth')}_probability": 0.25}
    even = torch.full((400, 3, 8, 8), 0.1)
    same = (make_night(even, replace(PLAIN, **fields), seeded()) - linear_to_srgb(even)).abs().amax((1, 2, 3)) < 1 / 255
    assert same.float().mean().item() == pytest.approx(0.75, abs=0.07)


@pytest.mark.parametrize("field", ["gain", "gamma"])
def test_every_picture_of_a_batch_has_a_darkness_of_its_own(field: str) -> None:
    bounds = {"gain": (0.2, 1.0), "gamma": (1.0, 3.0)}[field]
    night = make_night(torch.full((6, 3, 8, 8), 0.5), replace(PLAIN, **{field: bounds}), seeded())
    assert len(night[:, 0, 0, 0].unique()) == 6


def test_weak_noise_is_as_likely_as_strong_noise_decade_by_decade() -> None:
    recipe = replace(PLAIN, shot_noise=(1e-4, 1e-2))
    noisy = srgb_to_linear(make_night(torch.full((60, 3, 40, 40), 0.5), recipe, seeded()))
    shot = noisy.var((1, 2, 3)) / 0.5
    assert 0.5 < shot.median().item() / 1e-3 < 2


def test_every_picture_is_coded_once_where_the_probabilities_come_to_one() -> None:
    recipe = replace(PLAIN, jpeg_quality=(5.0, 5.0), jpeg_probability=0.5, video_qp=(48.0, 48.0), video_probability=0.5)
    texture = torch.rand((16, 3, 16, 16), generator=seeded())
    coded = make_night(srgb_to_linear(texture), recipe, seeded())
    assert ((coded - texture).abs().mean((1, 2, 3)) > 0.1).all()


# Order


def test_light_beyond_white_is_clipped_before_it_is_darkened() -> None:
    night = make_night(torch.full((1, 3, 8, 8), 8.0), replace(PLAIN, gain=(0.5, 0.5), gamma=(2.0, 2.0)), seeded())
    torch.testing.assert_close(night, torch.full_like(night, 0.5), rtol=0, atol=0.6 / 255)


def test_a_lamp_smaller_than_a_pixel_is_averaged_before_it_is_clipped() -> None:
    linear = torch.zeros(1, 3, 16, 16)
    linear[..., 8, 8] = 4.0  # a quarter of a pixel of a sensor with half as many a side: just white there
    shown = srgb_to_linear(make_night(linear, replace(PLAIN, low_resolution=(2.0, 2.0)), seeded()))
    assert shown.max().item() == pytest.approx(0.75**2, abs=0.01)  # shown at the old size between black neighbours


def test_noise_is_compressed_with_the_picture() -> None:
    noise = replace(PLAIN, read_noise=(0.03, 0.03))
    grey = torch.full((1, 3, 64, 64), 0.2)
    raw = make_night(grey, noise, seeded())
    coded = make_night(grey, replace(noise, jpeg_quality=(3.0, 3.0), jpeg_probability=1.0), seeded())
    assert coded.std() < raw.std() / 2


def test_a_coder_sees_no_more_than_white() -> None:
    recipe = replace(PLAIN, gain=(2.0, 2.0), jpeg_quality=(50.0, 50.0), jpeg_probability=1.0)
    sharp = torch.rand((1, 3, 32, 32), generator=seeded())
    clipped = jpeg((2 * sharp).clamp(0, 1), torch.tensor([50.0]))
    torch.testing.assert_close(make_night(srgb_to_linear(sharp), recipe, seeded()), clipped, rtol=0, atol=1.1 / 255)


# In the camera's own light


@pytest.mark.parametrize("response", [Response("srgb"), Response(1.0), Response((0.0, 0.6, 1.0))])
def test_noise_is_as_strong_as_stated_in_the_light_of_the_recipes_response(response: Response) -> None:
    level, shot, read, row = 0.3, 0.003, 0.02, 0.03
    flat = torch.full((1, 3, 400, 100), level)
    recipe = replace(PLAIN, response=response, shot_noise=(shot, shot), read_noise=(read, read))
    light = response.to_linear(make_night(flat, recipe, seeded()))
    assert light.var().item() == pytest.approx(shot * level + read**2, rel=0.05)
    rows = response.to_linear(make_night(flat, replace(PLAIN, response=response, row_noise=(row, row)), seeded()))
    assert rows.std().item() == pytest.approx(row, rel=0.1)
