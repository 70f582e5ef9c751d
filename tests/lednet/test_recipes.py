"""Recipes: every built-in one makes pairs, a file of one's own is read whole or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lednet.degrade import RecipeError, Response, degrade, find_recipe, read_recipe

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
        ("gain = [", "not a readable TOML"),
    ],
)
def test_a_bad_recipe_is_refused_with_the_file_and_the_cause(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        read_recipe(written(tmp_path, text))
    assert "pit.toml" in str(caught.value)


@given(text=st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("recipes") / "any.toml"
    path.write_text(text, errors="replace")
    with pytest.raises(RecipeError):
        read_recipe(path)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"paper, night, mine, drive, or a \.toml file"):
        find_recipe("moon")
