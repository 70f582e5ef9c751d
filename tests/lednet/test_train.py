"""Training resumes to the bit, learns, says what is wrong, and writes a checkpoint that loads."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from lednet import checkpoint, train
from lednet.clips import Clip, split_clips
from lednet.legs import in_all
from lednet.losses import LossTerms, VGG19Features
from lednet.model import SIZES, LEDNet, LEDNetConfig
from lednet.rehearsal import SPENT, affordable_steps, rehearse
from lednet.train_settings import LightSettings, Stage, TrainSettings
from lednet.trainer import Trainer, update_average
from tests.lednet.test_losses import write_weights

CPU = torch.device("cpu")
NO_LIGHT = LightSettings(steps=0)


def quick(**changes: Any) -> TrainSettings:
    """Settings of a run of six small steps."""
    plain = TrainSettings(
        size="tiny", steps=6, warmup_steps=2, learning_rate=2e-3, stages=(Stage(1.0, 32, 32, 1),), frames_per_clip=4,
        validation_pairs=4, validation_crop=32, gamma_pairs=16, log_every=2, save_every=3, light=NO_LIGHT,
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.fixture(autouse=True)
def _tiny_size(monkeypatch: pytest.MonkeyPatch, tiny: LEDNetConfig) -> None:
    monkeypatch.setitem(SIZES, "tiny", tiny)


@pytest.fixture
def clips() -> list[Clip]:
    frames = torch.randint(0, 256, (20, 3, 40, 48), dtype=torch.uint8)
    return [Clip("still", frames[:6], False), Clip("burst", frames, True)]


def trainer_of(
    out: Path, clips: list[Clip], settings: TrainSettings | None = None, held_out: list[Clip] | None = None
) -> Trainer:
    out.mkdir(exist_ok=True)
    return Trainer(settings or quick(), clips, held_out or [], CPU, None, out)


def everything(trainer: Trainer) -> dict[str, Tensor]:
    """All tensors of a run: weights, their average, the optimiser's and the random state."""
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    for name, optimizer in (("optimizer", trainer.optimizer), ("light_optimizer", trainer.light_optimizer)):
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{i}.{k}": v for k, v in state.items()}
    return tensors | {"generator": trainer.batches.state}


def different(a: Trainer, b: Trainer) -> list[str]:
    left, right = everything(a), everything(b)
    assert left.keys() == right.keys()
    return [name for name in left if not torch.equal(left[name], right[name])]


# Numbers


def test_a_step_in_bf16_learns_what_one_in_fp32_does(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    for in_bf16 in (False, True):
        monkeypatch.setattr("lednet.trainer.multiplies_bf16", lambda in_bf16=in_bf16: in_bf16)
        losses.append([trainer.train_step()[0] for trainer in [trainer_of(tmp_path / str(in_bf16), clips)] * 3])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


# Resuming


def test_a_run_begins_by_removing_what_killed_ones_left_in_its_folder(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path / "run", clips, quick(steps=1, save_every=1))
    left, writing = (tmp_path / f"run/.state.pt.{process}.tmp" for process in (2**22 + 1, os.getppid()))
    for path in (left, writing):
        path.write_bytes(b"half")
    trainer.run("")
    assert not left.exists()
    assert writing.exists()


@pytest.mark.parametrize(("size", "first"), [("tiny", 1), ("tiny", 4), ("small", 2)])
def test_a_stopped_and_resumed_run_equals_an_unbroken_one_to_the_bit(
    size: str, first: int, tmp_path: Path, clips: list[Clip]
) -> None:
    stages = (Stage(0.6, 32, 32, 1), Stage(1.0, 32, 40, 2))
    settings = quick(size=size, steps=3, light=LightSettings(2, ((2, 32, 32),)), stages=stages)
    straight = trainer_of(tmp_path / "a", clips, settings)
    for _ in range(5):
        straight.train_step()
    stopped = trainer_of(tmp_path / "b", clips, settings)
    for _ in range(first):
        stopped.train_step()
    stopped.save_state()
    torch.rand(7)  # whatever else drew from torch's random state
    resumed = trainer_of(tmp_path / "b", clips, settings)
    resumed.resume()
    assert resumed.step == first
    for _ in range(5 - first):
        resumed.train_step()
    assert different(straight, resumed) == []


def test_validating_and_exporting_in_between_do_not_change_the_run(tmp_path: Path, clips: list[Clip]) -> None:
    plain = trainer_of(tmp_path / "plain", clips)
    for _ in range(6):
        plain.train_step()
    exporting = trainer_of(tmp_path / "exporting", clips[1:] + clips[:1], held_out=clips[:1])
    exporting.sampler = plain.sampler.__class__(plain.sampler.clips, plain.sampler.recipes, exporting.generator)
    exporting.run("test")
    assert different(plain, exporting) == []


def test_without_a_saved_state_a_run_begins_at_step_0(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path, clips)
    trainer.resume()
    assert trainer.step == 0


def test_a_state_of_other_settings_is_refused_by_name(tmp_path: Path, clips: list[Clip]) -> None:
    trainer_of(tmp_path, clips).save_state()
    with pytest.raises(ValueError, match=r"state\.pt belongs to a run with other settings.*another --out"):
        trainer_of(tmp_path, clips, quick(seed=2)).resume()


def test_a_recipe_that_was_edited_since_does_not_go_on_under_its_old_name(tmp_path: Path, clips: list[Clip]) -> None:
    recipe = tmp_path / "own.toml"
    settings = []
    for gain in (0.5, 0.6):
        recipe.write_text(f"gain = [{gain}, 0.9]\ngamma = [1.5, 2.5]\n")
        settings.append(quick(recipes=(str(recipe),)))
        trainer = trainer_of(tmp_path, clips, settings[-1])
        if gain == 0.5:
            trainer.save_state()
    assert settings[0] == settings[1]
    with pytest.raises(ValueError, match=r"state\.pt belongs to a run with other recipes; pass those again"):
        trainer.resume()


@pytest.mark.parametrize("becomes", ["gain = [0.1, 0.2]\ngamma = [3.0, 3.2]\n", None], ids=["edited", "removed"])
def test_a_recipe_that_is_edited_or_removed_under_way_changes_neither_the_run_nor_what_is_told_of_it(
    becomes: str | None, tmp_path: Path, clips: list[Clip]
) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text("gain = [0.5, 0.9]\ngamma = [1.5, 2.5]\n")
    trainer = trainer_of(tmp_path / "run", clips, quick(recipes=(str(recipe),)), clips)
    if becomes is None:
        recipe.unlink()
    else:
        recipe.write_text(becomes)
    trainer.export("test")
    card = checkpoint.read_card(tmp_path / "run" / "tiny.safetensors")
    assert card.training["recipes"][str(recipe)]["gain"] == [0.5, 0.9]
    assert json.loads(trainer.state()["recipes"])[str(recipe)]["gain"] == [0.5, 0.9]


def test_a_disk_that_is_full_is_told_with_the_file_that_could_not_be_written(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path, clips)
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left.*metrics\.jsonl"):
        trainer.record({"step": 1})


def test_a_run_does_not_go_on_with_other_clips_which_its_card_would_name_alone(
    tmp_path: Path, clips: list[Clip]
) -> None:
    trainer_of(tmp_path, clips).save_state()
    with pytest.raises(ValueError, match=r"state\.pt belongs to a run with other clips; pass those again"):
        trainer_of(tmp_path, clips[:1]).resume()


def test_a_state_from_before_recipes_and_clips_were_told_is_gone_on_from(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path, clips)
    trainer.train_step()
    old = {k: v for k, v in trainer.state().items() if k not in ("recipes", "clips", "interval")}
    torch.save(old, tmp_path / "state.pt")
    again = trainer_of(tmp_path, clips)
    again.resume()
    assert again.step == 1


def test_a_state_of_another_kind_of_device_is_refused_by_name(tmp_path: Path, clips: list[Clip]) -> None:
    of_a_gpu = trainer_of(tmp_path, clips).state() | {"generators": [torch.zeros(16, dtype=torch.uint8)]}
    torch.save(of_a_gpu, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"state\.pt is of a run on another kind of device than cpu.*--device"):
        trainer_of(tmp_path, clips).resume()


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "other"])
def test_a_damaged_state_is_refused_by_name(damage: str, tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path, clips)
    trainer.save_state()
    path = tmp_path / "state.pt"
    data = path.read_bytes()
    damaged = {"truncated": data[: len(data) // 2], "garbage": b"no state at all", "empty": b"", "other": b""}
    path.write_bytes(damaged[damage])
    if damage == "other":
        torch.save({"step": 3}, path)
    with pytest.raises(ValueError, match=r"state\.pt: not a whole training state.*delete it"):
        trainer.resume()


def loss_curve(out: Path) -> list[list[float]]:
    """[step, loss, PSNR] of each line of a run's `metrics.jsonl` but those of validation, none left out."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [[line["step"], line["loss"], line["psnr"]] for line in lines if "loss" in line]


@pytest.mark.parametrize("end", ["stopped by the clock", "killed"])
@pytest.mark.parametrize(("after", "log_every"), [(3, 3), (4, 3)])
def test_the_loss_curve_of_a_run_that_ended_early_and_went_on_is_that_of_an_unbroken_one(
    end: str, after: int, log_every: int, tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick(steps=7, log_every=log_every, save_every=2)
    trainer_of(tmp_path / "a", clips, settings).run("test")
    early = trainer_of(tmp_path / "b", clips, settings)
    step = early.train_step

    def until_killed() -> tuple[float, float, float]:
        if early.step == after:
            raise KeyboardInterrupt
        return step()

    if end == "killed":
        monkeypatch.setattr(early, "train_step", until_killed)
        with pytest.raises(KeyboardInterrupt):
            early.run("test")
    else:
        with monkeypatch.context() as patch:
            patch.setattr("lednet.trainer.time.monotonic", lambda: early.step)
            early.run("test", until=after)
    assert early.step == after
    again = trainer_of(tmp_path / "b", clips, settings)
    again.resume()
    again.run("test")
    assert [step for step, *_ in loss_curve(tmp_path / "a")] == [*range(log_every, 7, log_every), 7]
    assert loss_curve(tmp_path / "b") == loss_curve(tmp_path / "a")


def test_a_line_that_a_killed_run_left_half_does_not_swallow_the_next(tmp_path: Path, clips: list[Clip]) -> None:
    trainer_of(tmp_path, clips).save_state()
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "lo')
    trainer = trainer_of(tmp_path, clips)
    trainer.resume()
    trainer.run("test")
    assert [step for step, *_ in loss_curve(tmp_path)] == [2, 4, 6]


def test_a_run_stopped_between_its_last_step_and_the_export_exports_when_resumed(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick(steps=2)
    trainer = trainer_of(tmp_path, clips, settings)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "export", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.run("test")
    again = trainer_of(tmp_path, clips, settings)
    again.resume()
    again.run("test")
    _, card = checkpoint.load(tmp_path / "tiny.safetensors")
    assert card.training["steps_done"] == 2


# Learning


def test_the_loss_falls_on_a_single_unmoving_clip(tmp_path: Path, textured: Callable[[int, int], Tensor]) -> None:
    frames = (textured(32, 32) * 255).byte().expand(4, -1, -1, -1)
    settings = quick(size="small", recipes=("paper",), steps=40, save_every=100)
    trainer = trainer_of(tmp_path, [Clip("still", frames, False)], settings)
    losses = [trainer.train_step()[0] for _ in range(40)]
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path, clips)
    trainer.train_step()
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}

    def nan(image: Tensor, *_: Tensor) -> LossTerms:
        return LossTerms(*(image.mean() * float("nan") for _ in range(4)))

    trainer.loss.forward = nan  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match=r"not finite at step 1; the batch is in .*not_finite_1_0\.pt"):
        trainer.train_step()
    batch = torch.load(tmp_path / "not_finite_1_0.pt", weights_only=True)
    assert batch["degraded"].shape == batch["label"].shape == (1, 3, 32, 32)
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())


@pytest.mark.slow  # the compiler takes a minute
def test_a_compiled_network_learns_what_the_plain_one_does(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In bf16 a fused kernel rounds once where the plain pass rounds at every operator.
    monkeypatch.setattr("lednet.trainer.multiplies_bf16", lambda: False)
    plain, compiled = (trainer_of(tmp_path / str(c), clips, quick(compile=c)) for c in (False, True))
    plain.train_step()
    compiled.train_step()
    # Gradients, since AdamW's first step goes as far for one that is rounding as for any other.
    left, right = ([p.grad for p in t.model.parameters() if p.grad is not None] for t in (plain, compiled))
    assert len(left) == len(right) > 0
    assert all(float((a - b).norm()) <= 1e-3 * float(a.norm()) + 1e-6 for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("scale", [0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25])
def test_crops_of_any_scale_can_be_blurred_and_judged(tmp_path: Path, clips: list[Clip], scale: float) -> None:
    trainer = trainer_of(tmp_path, clips, replace(quick(), stages=TrainSettings().stages, crop_scale=scale))
    for step in (0, 5):
        _, height, width = trainer.batch_shape(step)
        assert height % 8 == width % 8 == 0
        trainer.sampler.sample(1, height, width)


def test_the_smallest_crops_are_large_enough_for_vgg19(tmp_path: Path, clips: list[Clip]) -> None:
    features = VGG19Features(write_weights(tmp_path / "vgg.npz"))
    trainer = Trainer(quick(crop_scale=0.01), clips, [], CPU, features, tmp_path)
    trainer.train_step()
    assert trainer.batch_shape(0)[1:] == (32, 32)


def test_a_black_held_out_clip_leaves_figures_and_curves(tmp_path: Path, clips: list[Clip]) -> None:
    black = Clip("black", torch.zeros(6, 3, 40, 48, dtype=torch.uint8), False)
    trainer = trainer_of(tmp_path, clips, held_out=[black])
    trainer.run("test")
    figures = json.loads((tmp_path / "tiny.json").read_text())["validation"]["recipes"]["night"]
    assert all(math.isfinite(value) for value in figures.values())
    assert (tmp_path / "curves.png").exists()


def test_clips_are_drawn_as_often_as_their_kind_is_to_be(tmp_path: Path, clips: list[Clip]) -> None:
    slow = replace(next(c for c in clips if c.high_speed), name="slow burst", group=3)
    drawn = trainer_of(tmp_path, [*clips, slow], quick(high_speed_weight=4, still_weight=2)).sampler.clips
    assert [sum(c.name == name for c in drawn) for name in ("slow burst", "still", "burst")] == [1, 2, 4]


def test_the_light_alone_is_trained_first_and_then_stands_still(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path, clips, quick(steps=2, light=LightSettings(2, ((2, 32, 32),))))
    moved = []
    for _ in range(4):
        before = {k: v.clone() for k, v in trainer.model.named_parameters()}
        trainer.train_step()
        moved.append({k.startswith("light.") for k, v in trainer.model.named_parameters() if not v.equal(before[k])})
    assert moved == [{True}, {True}, {False}, {False}]


def test_the_light_learns_a_night_of_one_darkness(tmp_path: Path, textured: Callable[[int, int], Tensor]) -> None:
    frames = (textured(32, 32) * 255).byte().expand(4, -1, -1, -1)
    settings = quick(size="small", recipes=("paper",), light=LightSettings(60, ((4, 32, 32),)))
    trainer = trainer_of(tmp_path, [Clip("still", frames, False)], settings)
    losses = [trainer.train_step()[0] for _ in range(60)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


# Schedules


def test_the_average_of_unchanging_weights_becomes_those_weights(tiny: LEDNetConfig) -> None:
    average, model = LEDNet(tiny), LEDNet(tiny)
    distance = [(average.stem.weight - model.stem.weight).abs().max().item()]
    for step in range(20):
        update_average(average, model, step, 0.998)
        distance.append((average.stem.weight - model.stem.weight).abs().max().item())
    assert distance == sorted(distance, reverse=True)
    assert distance[-1] < 0.01 * distance[0]


# The command


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Two clips of 64x64, one of which is held out."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("pit", "silo"):
        writer = cv2.VideoWriter(str(folder / f"{name}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 64))
        for i in range(6):
            y, x = np.mgrid[0:64, 0:64]
            writer.write(np.stack([(x * 3 + i * 5) % 256, (y * 3) % 256, (x + y) % 256], -1).astype(np.uint8))
        writer.release()
    return folder


@pytest.fixture
def quick_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`lednet train` with small crops and a short validation, which no option sets."""
    fast = partial(
        TrainSettings, stages=(Stage(1.0, 32, 32, 1),), frames_per_clip=4, validation_pairs=4, validation_crop=32,
        gamma_pairs=16, log_every=1, light=NO_LIGHT,
    )  # fmt: skip
    monkeypatch.setattr(train, "TrainSettings", fast)


def command(footage: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(footage), "--out", str(out), "--steps", "2", "--light-steps", "0", "--device", "cpu", *more]


def test_the_command_writes_a_checkpoint_that_loads_with_a_card_that_says_how_it_was_made(
    footage: Path, tmp_path: Path, quick_command: None
) -> None:
    out = tmp_path / "run"
    assert train.main(command(footage, out, "--perceptual", "off", "--seed", "3")) == 0
    model, card = checkpoint.load(out / "small.safetensors")
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    training, held_out = split_clips(sorted(footage.iterdir()), 0.2)
    assert card.training["clips"] == [p.stem for p in training]
    assert card.validation["clips"] == [p.stem for p in held_out]
    assert card.training["steps_done"] == 2
    assert card.training["settings"]["seed"] == 3
    assert card.training["command"].startswith("lednet train --data")
    assert card.training["device"] == "CPU"
    assert card.training["in_all"] == in_all(card.training)
    assert card.validation["recipes"].keys() == {"night", "paper"}
    figures = card.validation["recipes"]["night"]
    assert {"psnr_lednet", "psnr_curve", "psnr_gamma", "psnr_identity", "ssim_lednet"} <= figures.keys()


def test_the_command_logs_one_line_of_json_an_interval(footage: Path, tmp_path: Path, quick_command: None) -> None:
    out = tmp_path / "run"
    train.main(command(footage, out, "--perceptual", "off"))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2]
    assert {"loss", "psnr", "images_per_s", "wait_share"} <= lines[0].keys()
    assert 0 < lines[0]["flop_share"] < 1
    assert "validation" in lines[-1]


def test_the_command_run_again_finds_its_work_done(footage: Path, tmp_path: Path, quick_command: None) -> None:
    out = tmp_path / "run"
    arguments = command(footage, out, "--perceptual", "off")
    assert train.main(arguments) == 0
    written = (out / "small.safetensors").read_bytes()
    assert train.main(arguments) == 0
    assert (out / "small.safetensors").read_bytes() == written


def test_a_run_of_some_minutes_has_the_steps_that_its_rehearsal_found_time_for_in_however_many_sessions(
    footage: Path, tmp_path: Path, quick_command: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr(train, "rehearse", lambda trainer: (0.0, 60 * SPENT / 3))
    arguments = command(footage, out, "--perceptual", "off", "--minutes")
    assert train.main([*arguments, "1", "--session", "0"]) == 2
    assert not (out / "small.safetensors").exists()
    monkeypatch.setattr(train, "rehearse", None)  # the plan stands
    assert train.main([*arguments, "1"]) == 0
    card = checkpoint.read_card(out / "small.safetensors")
    assert card.training["steps_done"] == card.training["settings"]["steps"] == 3
    assert train.main([*arguments, "2"]) == 1  # another plan


@pytest.mark.parametrize("plan", ['{"minu', "[]", '{"minutes": 1.0}', '{"minutes": 1.0, "steps": "many"}'])
def test_a_damaged_plan_ends_the_command_with_1_and_its_name(
    plan: str, footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "plan.json").write_text(plan)
    assert train.main(command(footage, tmp_path, "--perceptual", "off", "--minutes", "1")) == 1
    assert re.search(r"plan\.json: not a plan .*; delete it", caplog.text)


def test_a_rehearsal_times_the_light_and_the_rest_of_a_run(tmp_path: Path, clips: list[Clip]) -> None:
    stages = (Stage(0.5, 32, 32, 1), Stage(1.0, 32, 40, 1))
    light, later = rehearse(trainer_of(tmp_path, clips, quick(light=LightSettings(4, ((2, 32, 32),)), stages=stages)))
    assert 0 < light < 60
    assert 0 < later < 60
    assert rehearse(trainer_of(tmp_path, clips))[0] == 0
    assert affordable_steps(0.5, 1, before=21) == (60 * SPENT - 21) / 0.5


def test_a_saved_state_is_read_to_the_cpu_where_the_optimisers_counts_belong(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer_of(tmp_path, clips).save_state()
    places: list[object] = []
    read = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: places.append(k["map_location"]) or read(*a, **k))
    trainer_of(tmp_path, clips).resume()
    assert places == ["cpu"]


def test_missing_vgg_weights_end_the_command_with_1_and_a_line_that_says_what_to_do(
    footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vgg = tmp_path / "none.npz"
    with caplog.at_level(logging.ERROR):
        assert train.main(command(footage, tmp_path / "run", "--vgg", str(vgg))) == 1
    assert str(vgg) in caplog.text
    assert "--perceptual off" in caplog.text


def test_a_folder_without_clips_ends_the_command_with_1_and_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.main(command(tmp_path / "empty", tmp_path / "run", "--perceptual", "off")) == 1
    assert str(tmp_path / "empty") in caplog.text


def test_an_unreadable_clip_ends_the_command_with_1_and_its_name(
    footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (footage / "broken.mp4").write_bytes(b"no video")
    assert train.main(command(footage, tmp_path / "run", "--perceptual", "off")) == 1
    assert "broken.mp4" in caplog.text


def test_other_settings_for_the_same_run_folder_end_the_command_with_1(
    footage: Path, tmp_path: Path, quick_command: None, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    assert train.main(command(footage, out, "--perceptual", "off")) == 0
    assert train.main(command(footage, out, "--perceptual", "off", "--seed", "9")) == 1
    assert "other settings" in caplog.text
