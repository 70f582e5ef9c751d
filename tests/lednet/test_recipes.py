"""Recipes: every built-in one makes pairs, a file of one's own is read whole or refused by name."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lednet.degrade import (
    RECIPES,
    Recipe,
    RecipeError,
    Response,
    defocus_kernels,
    degrade,
    find_recipe,
    read_recipe,
    shake_kernels,
    vibration_kernels,
)
from lednet.degrade.blur import kernel_side
from lednet.degrade.recipe import BOUNDS, HOW_OFTEN
from lednet.degrade.response import GAMMAS

OWN = """
gain = [0.5, 0.9]
gamma = [1.8, 3.0]
response = [0.0, 0.4, 1.0]
vibration_px = [0, 3]
fog = [0.2, 0.6]
fog_probability = 0.5
video_qp = [24, 36]
video_probability = 1
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pit.toml"
    path.write_text(text)
    return path


def test_a_recipe_of_ones_own_is_read_and_named_after_its_file(tmp_path: Path) -> None:
    recipe = find_recipe(str(written(tmp_path, OWN)))
    assert recipe.name == "pit"
    assert recipe.gain == (0.5, 0.9)
    assert recipe.response == Response((0.0, 0.4, 1.0))
    assert recipe.fog_probability == 0.5
    dark = degrade(torch.rand(2, 3, 32, 40), recipe, torch.Generator().manual_seed(1))
    assert dark.shape == (2, 3, 32, 40)
    assert torch.isfinite(dark).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gain = [0.5, 0.9]", "gamma is missing"),
        ("gain = [0.9, 0.5]\ngamma = [2, 2]", "gain must be a range"),
        ("gain = [0.5]\ngamma = [2, 2]", "gain must be a range"),
        ("gain = [-1, 1]\ngamma = [2, 2]", "numbers from 0 up"),
        ("gain = [0.5, inf]\ngamma = [2, 2]", "numbers from 0 up"),
        ("gain = [1, 1]\ngamma = [2, 2]\nfrog = [0, 1]", "unknown field frog"),
        ("gain = [1, 1]\ngamma = [2, 2]\nfog_probability = 2", "one number from 0 to 1"),
        ("gain = [1, 1]\ngamma = [2, 2]\nresponse = 'film'", "response"),
        ("gain = [1, 1]\ngamma = [2, 2]\njpeg_probability = 0.7\nvideo_probability = 0.7", "come to more than 1"),
        ("gain = [1, 1]\ngamma = [2, 2]\nshake_px = [0, 60]", "shake_px must lie between 0 and 48, not"),
        ("gain = [1, 1]\ngamma = [2, 2]\nlamp_depth = [0.5, 1.5]", "lamp_depth must lie between 0 and 1"),
        ("gain = [1, 1]\ngamma = [2, 2]\njpeg_quality = [0, 90]", "jpeg_quality must lie between 1 and 100"),
        ("gain = [1, 1]\ngamma = [2, 2]\nlow_resolution = [0, 2]", "low_resolution must lie between 1"),
        ("gain = [1, 11]\ngamma = [2, 2]", "gain must lie between 0 and 10, not"),
        (f"gain = [1, 1{400 * '0'}]\ngamma = [2, 2]", "gain must lie between 0 and 10, not"),
        ("gain = [1, 1]\ngamma = [0, 2]", "gamma must lie between 0.5 and 10, not"),
        ("gain = [1, 1]\ngamma = [2, 2]\nread_noise = [0, 9]", "read_noise must lie between 0 and 1, not"),
        ("gain = [1, 1]\ngamma = [2, 2]\nresponse = inf", "response inf: must be"),
        ("gain = [1, 1]\ngamma = [2, 2]\nresponse = true", "response True: must be"),
        ("gain = [1, 1]\ngamma = [2, 2]\nresponse = {gamma = 2}", "response {'gamma': 2}: must be"),
        ("gain = [1, 1]\ngamma = [2, 2]\nresponse = [0, [0.5], 1]", "must be .* stored values rising from 0 to 1"),
        ("gain = [1, 1]\ngamma = [2, 2]\nfog = [0.2, 0.6]", "fog does nothing without fog_probability; write"),
        ("gain = [1, 1]\ngamma = [2, 2]\nvideo_probability = 0.5", "does nothing without video_qp; write video_qp = "),
        ("gain = [", "not a readable TOML"),
        ("gain = " + 5000 * "[", "not a readable TOML"),
        ("gain = [1, " + 5000 * "1" + "]", "not a readable TOML"),
    ],
)
def test_a_bad_recipe_is_refused_with_the_file_and_the_cause(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        read_recipe(written(tmp_path, text))
    assert "pit.toml" in str(caught.value)


def test_a_file_with_the_mark_that_some_editors_put_before_a_text_is_read(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, "\ufeff" + OWN)).gain == (0.5, 0.9)


def test_a_step_can_be_switched_off_by_its_probability(tmp_path: Path) -> None:
    off = read_recipe(written(tmp_path, OWN.replace("fog_probability = 0.5", "fog_probability = 0")))
    assert (off.fog, off.fog_probability) == ((0.2, 0.6), 0)


def test_every_range_has_bounds() -> None:
    assert {field.name for field in fields(Recipe) if field.type == "Range"} == set(BOUNDS)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_built_in_recipes_keep_to_the_bounds(name: str) -> None:
    for field, (least, most) in BOUNDS.items():
        low, high = getattr(RECIPES[name], field)
        assert least <= low <= high <= most


@st.composite
def own_recipes(draw: st.DrawFn) -> dict[str, object]:
    """Any fields that a file may state, anywhere between their bounds."""

    def span(least: float, most: float) -> list[float]:
        return sorted(draw(st.tuples(*[st.floats(least, most)] * 2)))

    share = draw(st.floats(0, 1))
    values: dict[str, object] = {"response": draw(st.floats(*GAMMAS))}
    values |= {name: span(least, min(most, 16 * least + 60)) for name, (least, most) in BOUNDS.items()}
    values |= {f"{name}_probability": draw(st.floats(0, 1)) for name in ("infrared", "dust", "fog", "lamp")}
    values |= {"jpeg_probability": share, "video_probability": 1 - share}
    stated = {name for name in values if name in ("gain", "gamma") or draw(st.booleans())}
    stated |= {other for pair in HOW_OFTEN.items() if stated & {*pair} for other in pair}
    return {name: value for name, value in values.items() if name in stated}


@settings(max_examples=25)
@example(values={"gain": [3, 3], "gamma": [1, 1]}, seed=0)
@given(values=own_recipes(), seed=st.integers(0, 99))
def test_whatever_a_file_may_state_gives_8_bit_pictures(
    values: dict[str, object], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("recipes") / "own.toml"
    path.write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
    sharp = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(seed))
    sharp[0, :, 4:9, 6:9] = 1
    levels = degrade(sharp, read_recipe(path), torch.Generator().manual_seed(seed)) * 255
    assert torch.equal(levels, levels.round().clamp(0, 255))


@pytest.mark.parametrize("name", ["shake_px", "vibration_px", "defocus_px"])
@given(seed=st.integers(0, 10**6))
def test_the_longest_blur_that_a_file_may_state_leaves_everything_in_its_place(name: str, seed: int) -> None:
    generator, longest = torch.Generator().manual_seed(seed), torch.full((4,), BOUNDS[name][1])
    if name == "shake_px":
        kernels = shake_kernels(longest, generator, kernel_side(BOUNDS[name][1]))
    else:
        kernels = vibration_kernels(longest, generator) if name == "vibration_px" else defocus_kernels(longest)
    place = torch.arange(kernels.shape[-1]) - kernels.shape[-1] / 2 + 0.5
    assert (kernels.sum(1) @ place).abs().max() < 1e-2
    assert (kernels.sum(2) @ place).abs().max() < 1e-2


@given(text=st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("recipes") / "any.toml"
    path.write_text(text, errors="replace")
    with pytest.raises(RecipeError):
        read_recipe(path)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"paper, night, mine, drive, faint, or a \.toml file"):
        find_recipe("moon")
