"""The work item's benchmark runs all three ways through, and says what it measured."""

from __future__ import annotations

import os

import numpy as np

from tasks.bench_item import GAMMA, SHARDS, FixedCurve, bars, measure_item, of_all, words


def test_a_fixed_curve_goes_all_three_ways() -> None:
    speed = measure_item(GAMMA, (36, 64), frames=2 * SHARDS[GAMMA] + 1, repeats=1)
    assert speed.frames == 2 * SHARDS[GAMMA] + 1
    assert min(speed.loop_fps, speed.script_fps, speed.item_fps, speed.quality_share, *speed.stages_s.values()) > 0
    assert f"{speed.share_of_script:.2f} times it" in words(speed)
    assert [list(panel.values) for panel in bars([speed])] == [
        ["bare loop", "shortest script", "work item"],
        ["decode", "restore", "measure", "write", "wait"],
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
