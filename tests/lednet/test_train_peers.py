"""All peers in one go: equal steps within the time, and the same command goes on."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from lednet import checkpoint, train_peers
from lednet.baselines.registry import METHODS, Needs, find_trained
from lednet.losses import WeightsMissingError
from lednet.rehearsal import SPENT, affordable_steps
from lednet.train_settings import LightSettings, Stage, TrainSettings

TWO = "local_global,zero_dce_trained"


@pytest.fixture
def footage(two_clips: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small clips, and short settings."""
    fast = partial(
        TrainSettings, stages=(Stage(0.5, 32, 32, 1), Stage(1.0, 32, 40, 1)), light=LightSettings(600, ((1, 32, 32),)),
        frames_per_clip=4, validation_pairs=4, validation_crop=32, gamma_pairs=16, log_every=1,
    )  # fmt: skip
    monkeypatch.setattr(train_peers, "TrainSettings", fast)
    return two_clips


def command(footage: Path, out: Path, *more: str) -> list[str]:
    told = ["--data", str(footage), "--out", str(out), "--device", "cpu", "--perceptual", "off"]
    return [*told, "--models", TWO, *more]


def test_every_model_is_trained_for_the_same_steps_and_the_table_finds_them(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert train_peers.main(command(footage, out, "--steps", "3")) == 0
    for name in TWO.split(","):
        card = checkpoint.read_card(find_trained(out, name))
        assert card.training["steps_done"] == 3
        ready = METHODS[name].make(Needs(2.2, device="cpu", trained=out))
        assert ready.parameters == card.training["parameters"]


def test_a_run_that_its_session_ends_says_so_and_goes_on_when_asked_again(
    footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert train_peers.main(command(footage, out, "--steps", "2", "--session", "0")) == 2
    assert "not done: local_global, zero_dce_trained" in capsys.readouterr().out
    with pytest.raises(WeightsMissingError, match="not trained: no local_global"):
        find_trained(out, "local_global")
    assert train_peers.main(command(footage, out, "--steps", "2")) == 0
    assert train_peers.main(command(footage, out, "--steps", "4")) == 1  # another plan


def test_the_rehearsal_decides_how_many_steps_the_minutes_allow(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_peers, "seconds_a_step", lambda task, model: {"local_global": 1.0}.get(model, 0.5))
    monkeypatch.setattr(train_peers, "train_all", lambda *_: [])
    assert train_peers.main(command(footage, tmp_path / "out", "--minutes", "1")) == 0
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert plan["steps"] == int(60 * SPENT / 1.5)
    assert affordable_steps(100.0, 0.1) == 1


def test_a_rehearsal_times_every_stage_and_leaves_nothing(footage: Path, tmp_path: Path) -> None:
    task = train_peers.prepare(train_peers.parse_arguments(command(footage, tmp_path / "out")))
    assert 0 < train_peers.seconds_a_step(task, "zero_dce_trained") < 60
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--minutes", "-1"], "--minutes must be above 0"),
        (["--session", "nan"], "--session must be 0 or more"),
        (["--out", "clip"], "File exists"),
    ],
)
def test_what_nothing_can_be_trained_with_ends_the_command_with_1_and_its_name(
    change: list[str], told: str, footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change = [str(footage / "pit.avi") if word == "clip" else word for word in change]
    assert train_peers.main(command(footage, tmp_path / "out", *change)) == 1
    assert told in caplog.text


def test_a_damaged_plan_ends_the_command_with_1_and_its_name(
    footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "plan.json").write_text('{"models"')
    assert train_peers.main(command(footage, tmp_path)) == 1
    assert "plan.json: not a plan" in caplog.text
