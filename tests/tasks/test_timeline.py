"""A night's times: gaps, standstills and clocks, as frames and files tell them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lednet.quality import measure
from tasks.timeline import clock_signs, gaps, longest_standstill
from tasks.types import NANOSECONDS, Grid

GRID = Grid(1_000 * NANOSECONDS, Fraction(5), 500)
RNG = np.random.default_rng(0)
SCENE = RNG.integers(0, 120, (40, 60, 3)).astype(np.uint8)


def live() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The scene with the noise of a sensor."""
    return (SCENE + RNG.normal(0, 3, SCENE.shape)).clip(0, 255).astype(np.uint8)


def quality(frames: list[np.ndarray[Any, np.dtype[np.uint8]]]) -> pd.DataFrame:
    rows = [{f"{k}_before": v for k, v in measure(f)._asdict().items()} for f in frames]
    return pd.DataFrame(rows).assign(time_ns=[GRID.time_ns(i) for i in range(len(frames))])


def test_a_still_scene_with_noise_does_not_stand_still() -> None:
    assert longest_standstill(quality([live() for _ in range(30)])).seconds == 0


def test_a_repeated_frame_stands_still_for_as_long_as_it_is_repeated() -> None:
    frames = [*(live() for _ in range(10)), *[live()] * 21, *(live() for _ in range(10))]
    stretch = longest_standstill(quality(frames))
    assert stretch.seconds == pytest.approx(4.0)
    assert stretch.start_ns == GRID.time_ns(10)


def test_an_encoder_that_draws_the_still_picture_anew_does_not_end_the_standstill() -> None:
    picture = live()
    anew = picture.copy()
    anew[::20, ::20] ^= 1
    frames = [*[picture] * 10, *[anew] * 10, *[picture] * 10]
    assert longest_standstill(quality(frames)).seconds == pytest.approx(29 / 5)


def test_frames_that_a_recorder_doubles_are_no_standstill() -> None:
    assert longest_standstill(quality([f for _ in range(20) for f in [live()] * 2])).seconds == 0


def test_a_live_clip_played_in_a_loop_is_no_standstill() -> None:
    clip = [live() for _ in range(8)]
    assert longest_standstill(quality(clip * 12)).seconds == 0


def test_a_standstill_within_a_loop_is_told() -> None:
    clip = [live() for _ in range(8)]
    assert longest_standstill(quality([*clip * 4, *[clip[3]] * 20, *clip * 4])).seconds == pytest.approx(4, abs=0.8)


def test_versions_of_a_still_picture_that_take_turns_are_a_standstill() -> None:
    picture = live()
    key = np.clip(picture * 1.2, 0, 255).astype(np.uint8)
    assert longest_standstill(quality([picture, key] * 20)).seconds == pytest.approx(7.8, abs=0.5)


def test_black_frames_have_nothing_to_stand_still() -> None:
    assert longest_standstill(quality([np.zeros_like(SCENE)] * 20)).seconds == 0


def test_an_empty_night_has_no_standstill() -> None:
    assert longest_standstill(quality([live()]).iloc[:0]).seconds == 0


@given(st.sets(st.integers(0, GRID.slots - 1)))
def test_gaps_hold_no_frame_and_miss_no_long_stretch(valid: set[int]) -> None:
    found = gaps(sorted(valid), GRID)
    empty = {i for i in range(GRID.slots) if any(g.start_ns <= GRID.time_ns(i) < g.end_ns for g in found)}
    assert not empty & valid
    rest = set(range(GRID.slots)) - valid - empty
    assert not any(set(range(i, i + 5)) <= rest for i in range(GRID.slots))


def manifest(files: list[tuple[float, float]], broken: int | None = None) -> dict[str, Any]:
    """Files as (start, length) in seconds."""
    segments = [
        {"url": f"{i}.mp4", "start_ns": int(a * NANOSECONDS), "end_ns": int((a + b) * NANOSECONDS)}
        for i, (a, b) in enumerate(files)
    ]
    return {"segments": segments, "problems": [{"url": f"{broken}.mp4"}]}


def test_files_that_follow_each_other_have_a_clock_that_runs_well() -> None:
    signs = clock_signs(manifest([(600 * i, 600) for i in range(12)]))
    assert (signs.overlap_s, signs.drift_s_per_h) == (0, 0)


def test_whole_seconds_in_names_are_no_drift() -> None:
    signs = clock_signs(manifest([(round(600.4 * i), 600.4) for i in range(40)]))
    assert abs(signs.drift_s_per_h) < 1
    assert signs.overlap_s < 1


def test_steps_of_a_second_between_ten_minutes_are_six_seconds_an_hour() -> None:
    assert clock_signs(manifest([(601 * i, 600) for i in range(12)])).drift_s_per_h == pytest.approx(6.0)


def test_a_clock_that_is_set_back_lets_files_overlap() -> None:
    signs = clock_signs(manifest([(0, 600), (600, 600), (900, 600)]))
    assert signs.overlap_s == pytest.approx(300)
    assert signs.overlap_ns == 900 * NANOSECONDS


def test_a_pause_is_no_drift_and_few_files_tell_none() -> None:
    signs = clock_signs(manifest([(0, 600), (5000, 600), (5600, 600)]))
    assert signs.overlap_s == 0
    assert np.isnan(signs.drift_s_per_h)


def test_a_broken_file_says_nothing_of_the_clock() -> None:
    assert clock_signs(manifest([(0, 6000), (600, 600)], broken=0)).overlap_s == 0
