"""The work item's benchmark runs all three ways through, and says what it measured."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks import bench_item
from tasks.bench_item import FRAMES, GAMMA, SHARDS, FixedCurve, bars, main, measure_item, of_all, settings_of, words
from tasks.settings import NightSettings


def test_a_fixed_curve_goes_all_three_ways() -> None:
    speed = measure_item(GAMMA, (36, 64), frames=2 * SHARDS[GAMMA] + 1, repeats=1)
    assert speed.frames == 2 * SHARDS[GAMMA] + 1
    assert min(speed.loop_fps, speed.script_fps, speed.item_fps, speed.quality_share, *speed.stages_s.values()) > 0
    assert f"{speed.share_of_script:.2f} times it" in words(speed)
    assert [list(panel.values) for panel in bars([speed])] == [
        ["bare loop", "shortest script", "work item"],
        ["decode", "restore", "fetch", "measure", "write", "wait"],
    ]


def test_workers_side_by_side_each_have_their_share_of_the_cores() -> None:
    speed = measure_item(GAMMA, (36, 64), frames=9, repeats=1, workers=2)
    assert (speed.workers, speed.threads) == (2, max(1, (os.cpu_count() or 1) // 2))
    assert min(speed.loop_fps, speed.script_fps, speed.item_fps) > 0


def test_frames_a_second_of_all_workers_add_up() -> None:
    first = {"loop": 2.0, "script": 4.0, "item": 8.0, "cpu_item": 1.0}
    second = {"loop": 4.0, "script": 4.0, "item": 2.0, "cpu_item": 3.0}
    assert of_all([first, second], 8) == {"loop": 6.0, "script": 4.0, "item": 5.0, "cpu_item": 2.0}


def test_the_fixed_curve_keeps_the_shape_and_brightens() -> None:
    frames = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    restored = FixedCurve().restore(frames)
    assert restored.shape == frames.shape
    assert restored.dtype == np.uint8
    assert (restored >= frames).all()


class OnAGpu(FixedCurve):
    """Is set to work, and waited for later, as a GPU is; notes in which order."""

    def __init__(self, begin_s: float = 0.0, wait_s: float = 0.0) -> None:
        self.begin_s, self.wait_s = begin_s, wait_s
        self.told: list[str] = []

    def begin(self, frames: np.ndarray) -> Callable[[], np.ndarray]:
        self.told.append("begin")
        time.sleep(self.begin_s)

        def wait() -> np.ndarray:
            self.told.append("wait")
            time.sleep(self.wait_s)
            return self.restore(frames)

        return wait


def test_the_bare_loop_begins_a_frame_before_it_waits_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = OnAGpu()
    monkeypatch.setattr(bench_item, "FixedCurve", lambda: gpu)
    pictures = np.zeros((3, 36, 64, 3), np.uint8)
    bench_item._Bench(Path(), pictures, GAMMA, settings_of(GAMMA, 3, NightSettings())).loop()
    assert gpu.told == ["begin", "begin", "wait", "begin", "wait", "wait"]


def test_waiting_for_a_gpu_is_told_apart_from_setting_it_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_item, "FixedCurve", lambda: OnAGpu(begin_s=0.02, wait_s=0.02))
    spent = measure_item(GAMMA, (36, 64), frames=33, repeats=1).stages_s
    assert spent["fetch"] >= 33 * 0.02
    assert spent["wait"] >= 0


@pytest.mark.parametrize(("options", "told"), [
    (["--shape", "0x0"], "'0x0' is no size"), (["--shape", "big"], "'big' is no size"),
    (["--shape", "45x66"], "'45x66' is no size"), (["--repeats", "0"], "--repeats must be at least 1"),
    (["--frames", "-3"], "--frames must be at least 2"), (["--frames", "1"], "--frames must be at least 2"),
    (["--workers", "-2"], "--workers must be at least 1"), (["--restorer", "smal"], "checkpoint smal: no such file"),
    (["--picture", "nowhere/bench.png"], "--picture nowhere/bench.png: its folder"),
    (["--json", "nowhere/bench.json"], "--json nowhere/bench.json: its folder"),
])  # fmt: skip
def test_what_cannot_be_measured_or_written_is_told_before_anything_is_measured(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_item, "measure_item", lambda *_, **__: pytest.fail("measured first"))
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert told in capsys.readouterr().err


def test_one_run_gives_the_words_the_json_and_the_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FRAMES, GAMMA, 9)
    files = ["--json", str(tmp_path / "item.json"), "--picture", str(tmp_path / "item.png")]
    assert main(["--restorer", GAMMA, "--shape", "36x64", "--repeats", "1", *files]) == 0
    assert "quality rows take" in capsys.readouterr().out
    [speed] = json.loads((tmp_path / "item.json").read_text())
    assert speed["item_fps"] > 0
    assert cv2.imread(str(tmp_path / "item.png")) is not None
