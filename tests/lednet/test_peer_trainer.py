"""Peers train as LEDNet does: the same pairs, exact resume, a card that says what and at what cost; leaks are told."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from lednet import Restorer, checkpoint, train
from lednet.baselines.peers import PEERS
from lednet.clips import Clip, ClipError
from lednet.footage_split import EVERY, part_frames, split_leaky
from lednet.peer_trainer import ComparisonSettings, PeerTrainer, make_trainer
from lednet.train_settings import LightSettings, Stage, TrainSettings
from lednet.trainer import Trainer

CPU = torch.device("cpu")
PLAIN = TrainSettings(
    steps=3, warmup_steps=1, learning_rate=2e-3, stages=(Stage(1.0, 32, 32, 1),), frames_per_clip=4,
    validation_pairs=4, validation_crop=32, gamma_pairs=16, log_every=1, save_every=2,
    light=LightSettings(1, ((2, 32, 40),)),
)  # fmt: skip


@pytest.fixture
def clips() -> list[Clip]:
    frames = torch.randint(0, 256, (20, 3, 40, 48), dtype=torch.uint8)
    return [Clip("still", frames[:6], False), Clip("burst", frames, True)]


def trainer_of(out: Path, clips: list[Clip], model: str, **changes: Any) -> Trainer:
    out.mkdir(exist_ok=True)
    settings = ComparisonSettings.of(replace(PLAIN, **changes), model, "clip")
    return make_trainer(settings, clips, clips[:1], CPU, None, out)


def everything(trainer: Trainer) -> dict[str, Tensor]:
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    for name, optimizer in trainer.optimizers().items():
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{i}.{k}": v for k, v in state.items()}
    return tensors | {"generator": trainer.batches.state}


@pytest.mark.parametrize("model", ["drbn", "local_global"])
def test_a_stopped_and_resumed_run_of_a_peer_equals_an_unbroken_one_to_the_bit(
    model: str, tmp_path: Path, clips: list[Clip]
) -> None:
    straight = trainer_of(tmp_path / "a", clips, model)
    for _ in range(4):  # DRBN's last two steps are its second stage's
        straight.train_step()
    stopped = trainer_of(tmp_path / "b", clips, model)
    for _ in range(2):
        stopped.train_step()
    stopped.save_state()
    torch.rand(7)
    resumed = trainer_of(tmp_path / "b", clips, model)
    resumed.resume()
    for _ in range(2):
        resumed.train_step()
    left, right = everything(straight), everything(resumed)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_peers_and_lednet_see_the_same_pairs_but_peers_no_whole_frames(tmp_path: Path, clips: list[Clip]) -> None:
    seen: dict[str, list[tuple[Tensor, Tensor, bool]]] = {}
    for model in ("lednet", "zero_dce_trained"):
        trainer = trainer_of(tmp_path / model, clips, model)
        pairs, sample = seen.setdefault(model, []), trainer.sampler.sample

        def noted(
            *shape: int,
            view: bool,
            pairs: list[tuple[Tensor, Tensor, bool]] = pairs,
            sample: Callable[..., tuple[Tensor, Tensor]] = sample,
        ) -> tuple[Tensor, Tensor]:
            pair = sample(*shape, view=view)
            pairs.append((*pair, view))
            return pair

        trainer.sampler.sample = noted  # type: ignore[method-assign, assignment]
        for _ in range(4):
            trainer.train_step()
    (first, *ours), (theirs_first, *theirs) = (pairs[:4] for pairs in seen.values())
    assert (first[2], theirs_first[2]) == (True, False)
    assert first[0].shape == theirs_first[0].shape
    for (degraded, label, view), (same, same_label, none) in zip(ours, theirs, strict=True):
        assert not view
        assert not none
        assert torch.equal(degraded, same)
        assert torch.equal(label, same_label)


def test_batches_and_crops_grow_and_shrink_as_asked(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path / "run", clips, "zero_dce_trained", batch_scale=3, crop_scale=0.5)
    assert trainer.batch_shape(0) == (6, 16, 16)  # half of 40 is no multiple of 8
    assert trainer.batch_shape(1) == (3, 16, 16)


def test_the_card_of_a_peer_says_what_it_is_what_it_costs_and_how_it_went(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path / "run", clips, "zero_dce_trained")
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "los\n')  # a line that a full disk cut
    trainer.run("test")
    _, card = checkpoint.load_network(tmp_path / "run" / "zero_dce_trained.safetensors")
    assert card.training["model"] == "zero_dce_trained"
    assert card.training["parameters"] == 79_416
    assert card.training["gmacs_at_256"] == pytest.approx(79_176 * 256 * 256 / 1e9, rel=1e-3)  # all but the biases
    assert [step for step, _, _ in card.training["curve"]] == [1, 2, 3, 4]
    assert card.training["settings"]["model"] == "zero_dce_trained"
    assert {"psnr_peer", "ssim_peer", "psnr_gamma", "psnr_identity"} <= card.validation["recipes"]["paper"].keys()
    frames = np.zeros((1, 20, 30, 3), np.uint8)
    assert (
        Restorer(tmp_path / "run" / "zero_dce_trained.safetensors", device="cpu").restore(frames).shape == frames.shape
    )


def test_a_plain_run_of_lednet_keeps_plain_settings() -> None:
    assert ComparisonSettings.of(PLAIN, "lednet", "clip") is PLAIN
    assert asdict(ComparisonSettings.of(PLAIN, "lednet", "frame")) == asdict(PLAIN) | {
        "model": "lednet",
        "split": "frame",
    }
    for model, split in (("drnb", "clip"), ("drbn", "clips")):
        with pytest.raises(ValueError, match="name one of"):
            ComparisonSettings.of(PLAIN, model, split)


def test_a_run_that_the_clock_stops_goes_on_later(tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path / "run", clips, "zero_dce_trained")
    trainer.run("test", until=time.monotonic())
    assert trainer.step == 0
    assert not (tmp_path / "run" / "zero_dce_trained.safetensors").exists()
    again = trainer_of(tmp_path / "run", clips, "zero_dce_trained")
    again.resume()
    again.run("test")
    assert again.step == 4


@pytest.mark.parametrize("model", ["enlighten_gan"])
def test_critics_and_generator_all_move_in_a_step(model: str, tmp_path: Path, clips: list[Clip]) -> None:
    trainer = trainer_of(tmp_path / "run", clips, model)
    before = {k: v.clone() for k, v in trainer.model.named_parameters()}
    trainer.train_step()
    moved = {k.split(".")[1] if k.startswith("helpers.") else "" for k, v in trainer.model.named_parameters()
             if not torch.equal(v, before[k])}  # fmt: skip
    assert moved == {"", "whole", "local"}
    assert isinstance(trainer, PeerTrainer)
    for mean, now in zip(trainer.average.buffers(), trainer.model.buffers(), strict=True):
        assert torch.equal(mean, now)


# Splits


def test_every_fifth_frame_of_a_fixed_camera_is_judged_and_the_others_lie_between() -> None:
    clip = Clip("fixed_gate", torch.arange(12, dtype=torch.uint8).reshape(12, 1, 1, 1).expand(-1, 3, 4, 4), False)
    between, judged = part_frames(clip)
    assert judged.frames[:, 0, 0, 0].tolist() == [2, 7]
    assert sorted([*between.frames[:, 0, 0, 0].tolist(), 2, 7]) == list(range(12))
    assert EVERY == 5


def test_both_leaky_splits_judge_the_same_frames_and_only_one_has_trained_on_the_camera() -> None:
    def read(paths: Any) -> list[Clip]:
        return [Clip(p.stem, torch.full((10, 3, 4, 4), len(p.stem), dtype=torch.uint8), False) for p in paths]

    moving, fixed = [Path("walk.mp4")], [Path("fixed_gate.mp4")]
    trained, judged = zip(*(split_leaky(moving, fixed, split, read) for split in ("frame", "camera")), strict=True)
    assert [[c.name for c in clips] for clips in trained] == [["walk", "fixed_gate"], ["walk"]]
    assert torch.equal(judged[0][0].frames, judged[1][0].frames)
    with pytest.raises(ClipError, match="fixed_"):
        split_leaky(moving, [], "frame", read)


# The command


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small clips, one of them of a fixed camera; and short settings for the command."""
    monkeypatch.setattr(train, "TrainSettings", partial(type(PLAIN), **{
        f: getattr(PLAIN, f)
        for f in ("stages", "validation_pairs", "validation_crop", "gamma_pairs", "log_every", "light")
    }))  # fmt: skip
    folder = tmp_path / "clips"
    folder.mkdir()
    y, x = np.mgrid[0:64, 0:64]
    for name in ("pit", "silo", "fixed_gate"):
        writer = cv2.VideoWriter(str(folder / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
        for i in range(12):
            writer.write(np.stack([(x * 3 + i * 5) % 256, (y * 3) % 256, (x + y) % 256], -1).astype(np.uint8))
        writer.release()
    return folder


def command(footage: Path, out: Path, *more: str) -> list[str]:
    told = ["--data", str(footage), "--out", str(out), "--steps", "1", "--light-steps", "0", "--device", "cpu"]
    return [*told, "--perceptual", "off", *more]


@pytest.mark.parametrize("split", ["clip", "frame", "camera"])
def test_the_command_trains_a_peer_with_each_split(split: str, footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train.main(command(footage, out, "--model", "zero_dce_trained", "--split", split)) == 0
    card = checkpoint.read_card(out / "zero_dce_trained.safetensors")
    assert card.training["settings"]["learning_rate"] == PEERS["zero_dce_trained"].learning_rate
    if split != "clip":
        assert card.validation["clips"] == ["fixed_gate"]
        assert ("fixed_gate" in card.training["clips"]) == (split == "frame")


def test_lednet_trains_with_a_leaky_split_too_and_its_card_says_so(footage: Path, tmp_path: Path) -> None:
    assert train.main(command(footage, tmp_path / "run", "--split", "frame")) == 0
    card = json.loads((tmp_path / "run" / "small.json").read_text())
    assert card["training"]["settings"]["split"] == "frame"


def test_a_peer_does_not_go_on_from_a_lednet(footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert train.main(command(footage, tmp_path / "run", "--model", "drbn", "--init", "small")) == 1
    assert "leave it out" in caplog.text
