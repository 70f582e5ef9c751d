"""One command gives every figure of a picture, and says which it could not compute and why."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from lednet.measure import main

DATA = Path(__file__).resolve().parents[3] / "shared/data"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pictures")
    sharp = cv2.imread(str(Path(skimage.data.__file__).with_name("chelsea.png")))
    assert sharp is not None
    made = {"sharp": sharp, "after": cv2.GaussianBlur(sharp, (0, 0), 1.0), "before": sharp // 8}
    for name, image in made.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.asarray(image))
    (folder / "text.png").write_text("no picture")
    return {name: str(folder / f"{name}.png") for name in [*made, "text"]}


@pytest.fixture(autouse=True)
def _no_cached_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))


def test_all_figures_of_a_pair_with_its_original(pictures: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([pictures["before"], pictures["after"], "--reference", pictures["sharp"], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["after"]["psnr"] > told["before"]["psnr"] + 10
    assert told["after"]["niqe"] > 0
    assert told["before"]["brightness"] < told["after"]["brightness"]
    assert told["after"]["lightness_order_error"] > 0
    assert told["after"]["lpips"] is None
    assert any("LPIPS not computed: no AlexNet weights at" in reason for reason in told["not_computed"])
    assert "detections not computed: no detector given" in told["not_computed"]


def test_without_an_original_there_are_no_figures_against_one(
    pictures: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([pictures["before"], pictures["after"], "--json"]) == 0
    assert "psnr" not in json.loads(capsys.readouterr().out)["after"]


def test_what_is_printed_for_people_names_figures_and_reasons(
    pictures: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([pictures["sharp"], pictures["sharp"], "--reference", pictures["sharp"]]) == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if line.startswith("psnr")] == [["psnr", "inf", "inf"]]
    assert "LPIPS not computed" in out


def test_equal_pictures_give_valid_json(pictures: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([pictures["sharp"], pictures["sharp"], "--reference", pictures["sharp"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["after"]["psnr"] is None


def test_a_picture_that_is_too_small_for_a_figure_has_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = str(tmp_path / "small.png")
    cv2.imwrite(small, np.full((8, 8, 3), 90, np.uint8))
    assert main([small, small, "--reference", small, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["after"]["ssim"], told["after"]["mae"]) == (None, 0)
    assert "SSIM needs sides of at least 11 px, not 8x8" in told["not_computed"]


def test_a_file_that_is_no_picture_is_an_error_that_names_it(
    pictures: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([pictures["text"], pictures["after"]]) == 1
    assert "text.png: not a picture" in capsys.readouterr().err


def test_real_weights_complete_the_figures(pictures: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    alexnet, detector = DATA / "weights/alexnet_features.npz", DATA / "weights/yolox_nano.onnx"
    if not (alexnet.is_file() and detector.is_file()):
        pytest.skip(f"no {alexnet} or {detector}")
    files = ["--alexnet", str(alexnet), "--detector", str(detector)]
    assert main([pictures["before"], pictures["after"], "--reference", pictures["sharp"], "--json", *files]) == 0
    told = json.loads(capsys.readouterr().out)
    assert 0 < told["after"]["lpips"] < told["before"]["lpips"]
    assert told["after"]["found_cat"] == 1
    assert told["after"]["detection_f1"] == 1
