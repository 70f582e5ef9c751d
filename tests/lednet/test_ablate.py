"""Ablations: each row differs from the full network in what its title says; the command makes the table."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lednet import ablate, checkpoint
from lednet.ablate import ROWS
from lednet.ablated_networks import Addition, AmplitudeBranch, AxisConvolution, DilatedDepthwise
from lednet.attention import AxisAttention
from lednet.clips import Clip, ClipError
from lednet.light import ToneCurve
from lednet.model import SIZES, LEDNet, LEDNetConfig, SelectiveFusion
from lednet.train_settings import Stage, TrainSettings
from tests.lednet.test_losses import write_weights


def kinds(network: LEDNet) -> list[str]:
    return [type(module).__name__ for module in network.modules()]


@pytest.mark.parametrize(
    ("row", "gone", "come"),
    [
        ("convolutions", AxisAttention, AxisConvolution),
        ("addition", SelectiveFusion, Addition),
        ("dilated", None, DilatedDepthwise),
        ("amplitude", None, AmplitudeBranch),
    ],
)
def test_a_part_is_replaced_everywhere(row: str, gone: type | None, come: type) -> None:
    before, after = kinds(LEDNet("small")), kinds(ROWS[row].network("small"))
    if gone is not None:
        assert before.count(gone.__name__) == after.count(come.__name__) > 0
        assert gone.__name__ not in after
    assert come.__name__ in after


@pytest.mark.parametrize("row", ROWS)
def test_every_row_restores_and_learns(row: str) -> None:
    network = ROWS[row].network("small").train()
    frame = torch.rand(1, 3, 32, 40)
    image, side = network(frame, frame)
    (image.square().mean() + side.square().mean()).backward()
    assert image.shape == frame.shape
    assert network.stem.weight.grad is not None


def test_convolutions_have_about_as_many_weights_as_the_attention_that_they_stand_in_for() -> None:
    full, convolved = (sum(p.numel() for p in ROWS[r].network("small").parameters()) for r in ("full", "convolutions"))
    assert convolved == pytest.approx(full, rel=0.1)


def test_rows_without_a_loss_term_have_none_of_it() -> None:
    plain = TrainSettings()
    assert ROWS["no_side"].settings(plain).loss.side == 0
    assert ROWS["no_vgg"].settings(plain).loss.perceptual == 0
    assert ROWS["full"].settings(plain) == plain


def test_the_row_in_its_own_light_looks_at_no_labels() -> None:
    dark, other, label = torch.rand(1, 3, 32, 40) * 0.1, torch.rand(1, 3, 32, 40), torch.rand(1, 3, 32, 40) * 0.5
    for row, differs in (("full", True), ("own_light", False)):
        network = ROWS[row].network("small").train()
        images = [network(dark, light)[0] for light in (label, other)]
        assert torch.equal(*images) != differs


def test_what_is_said_on_the_command_line_is_what_rows_are_trained_by() -> None:
    told = "--data . --out . --recipes drive,mine --seed 5 --batch-scale 4 --steps 40".split()
    settings = ablate.settings_of(ablate.parse_arguments(told))
    assert (settings.recipes, settings.seed, settings.batch_scale) == (("drive", "mine"), 5, 4)
    assert settings.steps == settings.save_every == 40
    assert settings.light.steps == 0


def test_a_row_that_nobody_knows_is_named_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ablate.parse_arguments("--data . --out . --rows full,ful".split())
    assert "unknown row 'ful'; name some of full, again" in capsys.readouterr().err


def test_the_table_gives_each_rows_last_figures_and_its_cost(tmp_path: Path) -> None:
    for name, psnr in (("full", 24.4567), ("again", 23.9)):
        figures = {"psnr_lednet": psnr, "error_exposed": 205.0, "error_restored": 200.0, "ssim_lednet": 0.71234}
        lines = [
            {"step": step, "validation": {"recipes": {"night": figures if step == 40 else dict.fromkeys(figures, 1)}},
             "parameters": 2_345_678, "seconds": 0.5 * step}
            for step in (20, 40)
        ]  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert ablate.table(tmp_path, ["full", "again", "addition"]).splitlines() == [
        "|  | night: PSNR, dB | night: gain in the label's light, dB | night: SSIM | parameters, M | s a step |",
        "| --- | --- | --- | --- | --- | --- |",
        "| LEDNet | 24.46 | +0.11 | 0.712 | 2.35 | 0.50 |",
        "| LEDNet, another seed | 23.90 | +0.11 | 0.712 | 2.35 | 0.50 |",
    ]


@pytest.fixture
def footage(two_clips: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small clips, a tiny LEDNet, short settings."""
    config = LEDNetConfig((32, 32, 32), (1, 0, 0), 0, (0, 0), axis_window=16)
    monkeypatch.setitem(SIZES, "small", config)
    monkeypatch.setattr(checkpoint, "load", lambda _: (LEDNet(config), None))
    monkeypatch.setattr(ablate, "VGG19Features", lambda _: None)
    monkeypatch.setattr(ablate, "VALIDATION_PAIRS", 4)
    stages = (Stage(1.0, 32, 32, 1),)
    fast = partial(TrainSettings, stages=stages, frames_per_clip=4, validation_crop=32, gamma_pairs=16)
    monkeypatch.setattr(ablate, "TrainSettings", fast)
    return two_clips


def test_the_command_prints_a_line_a_row_and_finds_its_work_done(
    footage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = footage / "out"
    told = ["--data", str(footage), "--out", str(out), "--steps", "2", "--rows", "full,clipped", "--device", "cpu"]
    assert ablate.main(told) == 0
    printed = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in printed.splitlines() if line][2:] == [
        "LEDNet", "lamps left clipped in synthesis",
    ]  # fmt: skip
    assert (out / "ablations.md").read_text().strip() == printed.strip()
    monkeypatch.setattr(ablate.AblationTrainer, "train_step", lambda _: pytest.fail("trained again"))
    assert ablate.main(told) == 0
    assert capsys.readouterr().out == printed


def test_an_amplitude_branch_begins_as_nothing_and_changes_a_feature_where_it_is() -> None:
    branch = AmplitudeBranch(32)
    x = torch.rand(1, 32, 16, 20)
    assert torch.equal(branch(x), x)
    torch.nn.init.constant_(branch.second.bias, 0.5)  # type: ignore[arg-type]
    assert torch.allclose(branch(x), x + 0.5 * branch.norm(x), atol=1e-5)


def test_another_seed_is_all_that_the_second_row_of_the_whole_network_changes() -> None:
    plain = TrainSettings()
    assert ROWS["again"].settings(plain) == replace(plain, seed=plain.seed + 1)
    assert ROWS["again"].network is ROWS["full"].network


def test_the_gain_in_the_labels_light_is_what_the_network_adds_whatever_the_curve_errs(footage: Path) -> None:
    """A network that changes nothing gains nothing, though its curve is far off; one that makes noise loses."""
    settings = ablate.settings_of(ablate.parse_arguments(["--data", ".", "--out", "."]))
    clips, held_out = ablate.read_split(footage, "clip", settings, torch.device("cpu"))
    trainer = ablate.AblationTrainer(ROWS["full"], None, settings, clips, held_out, torch.device("cpu"), None, footage)
    trainer.average.eval()

    def gained() -> float:
        label = torch.rand(2, 3, 32, 32)
        figures = trainer._figures(label * 0.2 + 0.01 * torch.rand_like(label), label)
        assert "lpips" not in figures
        return ablate.gain({name: values.mean().item() for name, values in figures.items()})

    assert gained() == 0
    torch.nn.init.normal_(trainer.average.head.weight)
    assert gained() < -1


def test_lpips_is_of_what_is_shown_beside_its_label_where_there_are_weights(footage: Path) -> None:
    settings = ablate.settings_of(ablate.parse_arguments(["--data", ".", "--out", "."]))
    clips, held_out = ablate.read_split(footage, "clip", settings, torch.device("cpu"))
    trainer = ablate.AblationTrainer(ROWS["full"], None, settings, clips, held_out, torch.device("cpu"), None, footage)
    trainer.average.eval()
    trainer.lpips = lambda shown, true: (shown - true).abs().mean((1, 2, 3))  # type: ignore[assignment]
    label = torch.rand(2, 3, 32, 32)
    assert trainer._figures(label * 0.2, label)["lpips"].min() > 0


def test_blur_taken_away_outweighs_what_a_sharp_crop_loses() -> None:
    sharp, blurred = 1.0, 400.0
    figures = {"error_exposed": (sharp + blurred) / 2, "error_restored": (2 * sharp + blurred / 2) / 2}
    assert ablate.gain(figures) == pytest.approx(2.97, abs=0.01)


def test_lamps_stay_clipped_in_the_row_that_says_so(footage: Path) -> None:
    settings = ablate.settings_of(ablate.parse_arguments(["--data", ".", "--out", "."]))
    clips, held_out = ablate.read_split(footage, "clip", settings, torch.device("cpu"))
    rows = {
        name: ablate.AblationTrainer(ROWS[name], None, settings, clips, held_out, torch.device("cpu"), None, footage)
        for name in ("full", "clipped")
    }
    assert all(recipe.highlight_boost[1] > 1 for recipe in rows["full"].sampler.recipes)
    assert all(recipe.highlight_boost == (1.0, 1.0) for recipe in rows["clipped"].sampler.recipes)


def test_the_tone_curve_of_every_row_is_the_shipped_one(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = LEDNet("small")
    torch.nn.init.normal_(shipped.light.curve.weight)
    monkeypatch.setattr(checkpoint, "load", lambda _: (shipped, None))
    settings = ablate.settings_of(ablate.parse_arguments(["--data", ".", "--out", "."]))
    clips, _ = ablate.read_split(footage, "clip", settings, torch.device("cpu"))
    trainer = ablate.AblationTrainer(ROWS["addition"], None, settings, clips, [], torch.device("cpu"), None, footage)
    light: ToneCurve = trainer.model.light
    assert torch.equal(light.curve.weight, shipped.light.curve.weight)


def test_a_row_is_trained_by_its_own_settings(footage: Path) -> None:
    settings = ablate.settings_of(ablate.parse_arguments(["--data", ".", "--out", "."]))
    clips, held_out = ablate.read_split(footage, "clip", settings, torch.device("cpu"))
    losses = [
        ablate.AblationTrainer(
            ROWS[name], None, settings, clips, held_out, torch.device("cpu"), None, footage
        ).settings.loss
        for name in ("full", "no_side", "no_vgg")
    ]
    assert [(loss.side > 0, loss.perceptual > 0) for loss in losses] == [(True, True), (False, True), (True, False)]


def test_photographs_are_trained_on_beside_the_clips(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = footage / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "hall.png"), np.full((320, 320, 3), 90, np.uint8))
    given: list[list[Clip]] = []

    def trainer(row: object, lpips: object, settings: object, clips: list[Clip], *_: object) -> None:
        given.append(clips)
        raise ClipError("enough is seen")

    monkeypatch.setattr(ablate, "AblationTrainer", trainer)
    told = ["--data", str(footage), "--out", str(footage / "out"), "--device", "cpu"]
    for photographs in ([], ["--photos", str(photos)]):
        assert ablate.main([*told, *photographs]) == 1
    assert [[clip.photo for clip in clips] for clips in given] == [
        [False] * len(given[0]),
        [False] * len(given[0]) + [True],
    ]


def test_a_folder_without_clips_is_told_and_no_success(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, footage: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert ablate.main(["--data", str(tmp_path / "empty"), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 1
    assert "no video files directly in it" in caplog.text


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--out", "clips/pit.avi/rows", "pit.avi/rows"), ("--threads", "-1", "--threads must be 0 or more, not -1")],
)
def test_what_rows_cannot_be_trained_with_ends_the_command_with_1_and_its_name(
    option: str, value: str, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, footage: Path
) -> None:
    options = {"--data": str(footage), "--out": str(tmp_path / "out"), "--device": "cpu", "--rows": "full"}
    options |= {"--vgg": str(write_weights(tmp_path / "vgg.npz")), option: value.replace("clips", str(footage))}
    assert ablate.main([word for pair in options.items() for word in pair]) == 1
    assert told in caplog.text
