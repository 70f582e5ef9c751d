"""What a training can't be done with is refused before it begins, by its name; clips beyond memory are thinned out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lednet import train
from lednet.train_settings import LightSettings, TrainSettings


def filmed(path: Path, frames: int, fps: int = 25) -> Path:
    """A clip of 64x64 whose frame i is an even grey of 5 i."""
    clip = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 64))
    for i in range(frames):
        clip.write(np.full((64, 64, 3), 5 * i, np.uint8))
    clip.release()
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": -5}, "steps must not be below 0"),
        ({"light": LightSettings(steps=-1)}, "light steps must not be below 0"),
        ({"steps": 0, "light": LightSettings(steps=0)}, "all_steps must be above 0"),
        ({"batch_scale": 0}, "batch_scale must be above 0"),
        ({"crop_scale": -1.0}, "crop_scale must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate must be above 0"),
        ({"save_every": 0}, "save_every must be above 0"),
        ({"seed": 10**20}, "seed must lie between"),
        ({"photo_share": 1.0}, "photo_share must be above 0 and below 1"),
    ],
)
def test_numbers_that_nothing_can_be_trained_by_are_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainSettings(**change)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--minutes", "0"),
        ("--minutes", "-1"),
        ("--minutes", "nan"),
        ("--minutes", "inf"),
        ("--save-every", "0"),
        ("--batch-scale", "-1"),
    ],
)
def test_the_command_says_which_number_is_out_of_range(
    option: str, value: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.main(["--data", str(tmp_path), "--out", str(tmp_path / "run"), option, value]) == 1
    assert option[2:].replace("-", "_") in caplog.text.replace("-", "_")
    assert "must be above 0" in caplog.text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("minutes", ["nan", "-1"])
def test_a_session_that_no_clock_can_end_is_refused(
    minutes: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.main(["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--session", minutes]) == 1
    assert f"--session must be 0 or more, not {minutes}" in caplog.text


def test_threads_that_there_cannot_be_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train.main(["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--threads", "-1"]) == 1
    assert "--threads must be 0 or more, not -1" in caplog.text


def test_a_run_folder_that_cannot_be_made_ends_the_command_with_1_and_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filmed(tmp_path / "pit.avi", frames=1)
    out = tmp_path / "pit.avi" / "run"
    assert train.main(["--data", str(tmp_path), "--out", str(out), "--perceptual", "off", "--device", "cpu"]) == 1
    assert "pit.avi/run" in caplog.text


def test_clips_beyond_memory_give_fewer_frames_spread_over_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [filmed(tmp_path / "slow.avi", 40), filmed(tmp_path / "fast.avi", 40, fps=240)]
    settings = TrainSettings(frames_per_clip=40, high_speed_frames=40, bursts_per_clip=2, between=2)
    stills, bursts, fast = train.read(paths, settings, torch.device("cpu"))
    assert [len(clip.frames) for clip in (stills, bursts, fast)] == [40, 10, 40]
    assert not caplog.text
    monkeypatch.setattr(train, "CLIPS_MB", 0.6)
    stills, bursts, fast = train.read(paths, settings, torch.device("cpu"))
    assert sum(clip.frames.numel() for clip in (stills, bursts, fast)) < 0.6 * 2**20
    assert stills.frames[-1].float().mean() > 150
    assert fast.frames[-1].float().mean() < 120
    assert "2 clips would take" in caplog.text
    monkeypatch.setattr(train, "CLIPS_MB", 1e-6)
    assert [len(clip.frames) for clip in train.read(paths, settings, torch.device("cpu"))] == [1, 1]


def test_no_bursts_of_slow_clips_where_none_are_asked_for(tmp_path: Path) -> None:
    settings = TrainSettings(bursts_per_clip=0)
    [stills] = train.read([filmed(tmp_path / "slow.avi", 9)], settings, torch.device("cpu"))
    assert not stills.high_speed
