"""The settings of a retraining, the shape of the model that it goes on from, a rate that falls; and its clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lednet.checkpoint import Card, CheckpointError
from lednet.clips import Clip, ClipError
from lednet.model import SIZES
from lednet.train_settings import TrainSettings, learning_rate
from tasks import finetune
from tasks.footage import FootageClip, list_footage
from tests.tasks.learning import LEARN, TINY, filmed, save_model


@pytest.mark.parametrize("size", SIZES)
def test_a_retraining_keeps_the_shape_of_the_model_in_production_older_ones_too(size: str) -> None:
    assert finetune.train_settings(LEARN, Card("own", "ab", SIZES[size].to_dict())).size == size


def test_a_model_of_a_shape_that_no_size_has_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"2026-11-23-ab: .* can't be trained on"):
        finetune.train_settings(LEARN, Card("2026-11-23-ab", "ab", TINY.to_dict()))


@pytest.mark.parametrize("steps", [40, 2000])
def test_a_retraining_ends_at_a_hundredth_of_its_rate(steps: int) -> None:
    settings = finetune.train_settings(replace(LEARN, steps=steps), Card("own", "ab", SIZES["small"].to_dict()))
    assert learning_rate(0, settings) < learning_rate(steps // 10, settings) == pytest.approx(LEARN.learning_rate)
    assert learning_rate(steps, settings) == pytest.approx(LEARN.learning_rate / 100)


SMALL = Card("own", "ab", SIZES["small"].to_dict())


def test_a_retraining_leaves_the_tone_curve_as_it_is() -> None:
    assert finetune.train_settings(LEARN, SMALL).light.steps == 0


@pytest.mark.parametrize(("vgg", "weight"), [("off", 0.0), ("vgg19.npz", TrainSettings().loss.perceptual)])
def test_without_vgg19_the_loss_has_no_share_of_it(vgg: str, weight: float) -> None:
    assert finetune.train_settings(replace(LEARN, vgg=vgg), SMALL).loss.perceptual == weight


class Given(Exception):  # noqa: N818 (no error)
    """What a trainer was given."""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Clip]]:
    """The clips that a retraining reads of a plain and a high-speed file to train on, and a plain one held out."""
    for name in ("a", "b_240fps", "c"):
        filmed(tmp_path / f"gopro/pit/{name}.MP4")
    old = save_model(tmp_path / "old.safetensors")
    clips = {c.sources[0].url.rpartition("/")[2]: c for c in list_footage([str(tmp_path / "gopro")])}
    footage = finetune.Footage((clips["a.MP4"], clips["b_240fps.MP4"]), (clips["c.MP4"],), frozenset())

    def trainer(*given: Any) -> None:
        raise Given(*given)

    monkeypatch.setitem(SIZES, "tiny", TINY)
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finetune, "KeptTrainer", trainer)
    plan = finetune.train_settings(LEARN, Card("own", "ab", TINY.to_dict()))
    with pytest.raises(Given) as caught:
        finetune.fine_tune(old, footage, LEARN, plan, "store")
    _, _, _, training, held, *_ = caught.value.args
    return {"training": training, "held out": held}


def test_what_is_held_out_is_not_trained_on(given: dict[str, list[Clip]]) -> None:
    assert {part: [c.name.rpartition("-")[2] for c in clips] for part, clips in given.items()} == {
        "training": ["a", "b_240fps"], "held out": ["c"],
    }  # fmt: skip


def test_high_speed_footage_is_trained_on_as_such(given: dict[str, list[Clip]]) -> None:
    assert [clip.high_speed for clip in given["training"]] == [False, True]


def test_bursts_are_centred_on_sharp_frames_as_in_any_training(given: dict[str, list[Clip]]) -> None:
    assert [len(clip.sharpness) for clip in given["training"]] == [0, len(given["training"][1].frames)]


def test_clips_share_the_memory_that_all_of_them_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(3):
        filmed(tmp_path / f"gopro/pit/{k}.MP4")
    footage = finetune.divide(list_footage([str(tmp_path / "gopro")]), Card("own", "ab", {}), LEARN)
    asked: list[int] = []

    def none(clip: FootageClip, settings: Any) -> Clip:
        asked.append(settings.clip_mb)
        raise finetune.VideoError(clip.sources[0].url, "no frame of it can be decoded")

    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finetune, "read_clip", none)
    old = save_model(tmp_path / "old.safetensors")
    for most, share in ((10, 3), (LEARN.clip_mb * 99, LEARN.clip_mb)):
        asked.clear()
        with pytest.raises(
            ClipError, match=rf"none of {len(footage.training)} clips can be read \(file:.*no frame of it"
        ):
            finetune.fine_tune(old, footage, replace(LEARN, all_clips_mb=most), TrainSettings(), "store")
        assert asked == [share] * 3
