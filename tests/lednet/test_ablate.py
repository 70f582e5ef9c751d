"""Ablations: each row differs from the full network in what its title says; the command makes the table."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from lednet import ablate, checkpoint
from lednet.ablate import ROWS
from lednet.ablated_networks import Addition, AmplitudeBranch, AxisConvolution, DilatedDepthwise
from lednet.attention import AxisAttention
from lednet.light import ToneCurve
from lednet.model import SIZES, LEDNet, LEDNetConfig, SelectiveFusion
from lednet.train_settings import Stage, TrainSettings


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
    footage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = footage / "out"
    told = ["--data", str(footage), "--out", str(out), "--steps", "2", "--rows", "full,clipped", "--device", "cpu"]
    assert ablate.main(told) == 0
    printed = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in printed.splitlines() if line][2:] == [
        "LEDNet", "lamps left clipped in synthesis",
    ]  # fmt: skip
    assert (out / "ablations.md").read_text().strip() == printed.strip()
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
