"""The figures on blurred pairs."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from lednet.degrade import RECIPES
from lednet.validate import SEEDS, compare, main, nights, read_pairs


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """One small pair, its picture smooth enough for a network to know."""
    y, x = np.mgrid[:96, :128]
    sharp = np.stack([120 + 60 * np.sin(x / 9), 110 + 50 * np.cos(y / 11), 100 + 0 * x], -1).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a_sharp.png"), sharp)
    cv2.imwrite(str(tmp_path / "a_blur.png"), cv2.GaussianBlur(sharp, (0, 0), 2))
    return tmp_path


def test_the_network_stands_beside_both_floors(pairs: Path) -> None:
    figures = compare(pairs, "small", "night", "cpu")
    assert [name.split()[0] for name in figures] == ["identity", "fixed", "small"]
    assert figures["small"]["psnr"] > figures["identity"]["psnr"]


def test_figures_are_the_same_every_time(pairs: Path) -> None:
    assert compare(pairs, "small", "night", "cpu") == compare(pairs, "small", "night", "cpu")


def test_a_folder_without_pairs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pairs", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_a_blurred_picture_without_its_sharp_one_is_named(pairs: Path) -> None:
    (pairs / "a_sharp.png").unlink()
    with pytest.raises(ValueError, match=r"a_sharp\.png"):
        list(read_pairs(pairs))


def test_a_picture_that_states_more_pixels_than_can_be_read_is_named(
    pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (pairs / "a_blur.png").write_bytes(bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    assert main(["--pairs", str(pairs)]) == 1
    assert "a_blur.png: not a picture that OpenCV reads" in capsys.readouterr().err


def test_a_picture_whose_name_is_not_utf8_is_named(pairs: Path) -> None:
    (pairs / "a_blur.png").rename(pairs / os.fsdecode(b"m\xe4ll_blur.png"))
    with pytest.raises(ValueError, match=r"\\xe4ll_blur\.png: its name is not UTF-8.*rename it"):
        list(read_pairs(pairs))


@pytest.mark.parametrize(("recipe", "drawn"), [("night", SEEDS), ("paper", 1)])
def test_a_recipe_without_chance_is_restored_once(pairs: Path, recipe: str, drawn: int) -> None:
    [(_, blurred, _)] = read_pairs(pairs)
    assert len(nights(blurred, RECIPES[recipe])) == drawn


def test_a_recipe_of_ones_own_has_no_fixed_gamma_beside_it(pairs: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text("gain = [0.5, 0.5]\ngamma = [2.0, 2.0]\n")
    assert list(compare(pairs, "small", str(recipe), "cpu")) == ["identity", "small"]


def test_an_unknown_recipe_is_named(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pairs", str(pairs), "--recipe", "fog"]) == 1
    assert "'fog'" in capsys.readouterr().err
