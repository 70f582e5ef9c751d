"""A night's times: gaps, standstills and clocks, as frames and files tell them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lednet.quality import change, coarse_luma, measure
from tasks.timeline import Stretch, clock, clock_signs, gaps, longest_standstill
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


def figures(*shares: float) -> pd.DataFrame:
    """Rows of frames whose sharpness stands in these relations; all else about them is equal."""
    rows = pd.concat([quality([SCENE])] * len(shares), ignore_index=True)
    return rows.assign(
        sharpness_before=rows["sharpness_before"] * shares, time_ns=[GRID.time_ns(i) for i in range(len(shares))]
    )


def test_a_still_picture_may_come_in_as_many_versions_as_stand_between_two_key_frames() -> None:
    rows = figures(*(1 + 1e-6 * (i % 250) for i in range(500)))
    assert longest_standstill(rows).seconds == pytest.approx(250 / 5, abs=0.5)


@pytest.mark.parametrize(("change", "seconds"), [(0.0008, 32 / 5), (0.003, 0)])
def test_a_loop_is_a_standstill_by_how_much_it_changes_in_the_figure_that_changes_most(
    change: float, seconds: float
) -> None:
    rows = figures(*(1 + change * (i % 8) for i in range(40)))
    assert longest_standstill(rows).seconds == pytest.approx(seconds, abs=0.5)


def test_pictures_that_are_each_shown_four_times_are_no_standstill() -> None:
    assert longest_standstill(quality([f for _ in range(10) for f in [live()] * 4])).seconds == 0


def test_a_picture_that_is_shown_five_times_is_a_standstill() -> None:
    frames = [*(live() for _ in range(10)), *[live()] * 5, *(live() for _ in range(10))]
    assert longest_standstill(quality(frames)).seconds == pytest.approx(4 / 5)


def test_another_still_picture_is_another_standstill() -> None:
    assert longest_standstill(figures(*[1.0] * 20, *[1.1] * 20)).seconds == pytest.approx(19 / 5)


def test_live_frames_between_two_standstills_part_them() -> None:
    between = [1.0 + k / 10 for k in range(1, 10)]
    rows = figures(*[1.0] * 20, *between, *[1.905] * 20)
    assert longest_standstill(rows).seconds == pytest.approx(19 / 5)


def test_black_frames_have_nothing_to_stand_still() -> None:
    assert longest_standstill(quality([np.zeros_like(SCENE)] * 20)).seconds == 0


def test_an_empty_night_has_no_standstill() -> None:
    assert longest_standstill(quality([live()]).iloc[:0]).seconds == 0


Frame = np.ndarray[Any, np.dtype[np.uint8]]
SIZE, SECONDS, SHARD = (192, 256), 160, 16


def filmed(frozen: bool, noise: float, clock: bool) -> Iterator[Frame]:
    """A frame a second of a still scene, by a camera that froze or did not, with the recorder's clock drawn in."""
    rng = np.random.default_rng(1)
    scene = cv2.resize(rng.integers(0, 160, (12, 16, 3)).astype(np.float32), SIZE[::-1])

    def seen() -> Frame:
        return (scene + rng.normal(0, noise, scene.shape)).clip(0, 255).astype(np.uint8)

    still = seen()
    for second in range(SECONDS):
        picture = still.copy() if frozen else seen()
        if clock:
            picture[:18] = 0
            text = f"23:{second // 60:02}:{second % 60:02}"
            cv2.putText(picture, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255))
        yield picture


def recorded(frames: Iterator[Frame], **options: str) -> list[Frame]:
    """The frames as H.264 gives them back, a key frame every 10."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=1, options={"preset": "ultrafast", **options})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *SIZE, "yuv420p", 10
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as back:
        return [f.to_ndarray(format="rgb24") for f in back.decode(video=0)]


def rows_of(frames: list[Frame]) -> pd.DataFrame:
    """Quality rows as a worker writes them, in shards."""
    few = [coarse_luma(f) for f in frames]
    changes = [change(few[i], few[i - 1]) if i % SHARD else np.nan for i in range(len(few))]
    return quality(frames).assign(change_before=changes, time_ns=[i * NANOSECONDS for i in range(len(few))])


@pytest.mark.parametrize("crf", ["18", "23", "35"])
def test_a_frozen_picture_with_a_running_clock_stands_still_in_h264(crf: str) -> None:
    assert longest_standstill(rows_of(recorded(filmed(True, 3, True), crf=crf))).seconds > 120


@pytest.mark.parametrize("clock", [True, False])
@pytest.mark.parametrize(("noise", "crf"), [(0.5, "18"), (0.5, "35"), (1, "30"), (3, "35")])
def test_a_still_scene_of_a_live_camera_does_not_stand_still_in_h264(noise: float, crf: str, clock: bool) -> None:
    assert longest_standstill(rows_of(recorded(filmed(False, noise, clock), crf=crf))).seconds < 60


def test_a_stretch_that_an_encoder_hardly_redraws_and_a_noisy_key_frame_are_told_apart() -> None:
    frames = [live() for _ in range(400)]
    for redrawn, seconds in ((0.1, 399), (0.6, 0)):
        steps = [redrawn if i % 60 == 0 else 0.0 for i in range(400)]
        times = [i * NANOSECONDS for i in range(400)]
        assert longest_standstill(quality(frames).assign(change_before=steps, time_ns=times)).seconds == seconds


def stopped(steps: list[float], shares: list[float]) -> float:
    """Seconds of the longest standstill of frames, one a second, by their `change_before`."""
    rows = figures(*shares).assign(change_before=steps, time_ns=[i * NANOSECONDS for i in range(len(steps))])
    return longest_standstill(rows).seconds


def test_a_scene_that_always_changes_a_little_does_not_stop() -> None:
    assert stopped([0.1] * 400, [1 + k / 10 for k in range(400)]) == 0


@pytest.mark.parametrize(("cut", "seconds"), [(1.0, 399), (2.0, 200)])
def test_what_a_shard_begins_with_goes_on_with_a_standstill_unless_the_whole_frame_changed(
    cut: float, seconds: float
) -> None:
    clock = [1 + k % 300 / 1000 for k in range(400)]
    shares = [share * (cut if k >= 200 else 1) for k, share in enumerate(clock)]
    assert stopped([np.nan if k == 200 else 0.0 for k in range(400)], shares) == pytest.approx(seconds, abs=1)


def test_a_minute_that_stops_beside_a_clock_may_be_the_encoders() -> None:
    rows = quality([live() for _ in range(90)]).assign(change_before=0.0)
    assert longest_standstill(rows.assign(time_ns=[i * NANOSECONDS for i in range(90)])).seconds == 0


def test_rows_of_an_older_version_without_change_are_read() -> None:
    assert longest_standstill(rows_of([live() for _ in range(9)]).drop(columns="change_before")).seconds == 0


@given(st.sets(st.integers(0, GRID.slots - 1)))
def test_gaps_hold_no_frame_and_miss_no_long_stretch(valid: set[int]) -> None:
    found = gaps(sorted(valid), GRID)
    empty = {i for i in range(GRID.slots) if any(g.start_ns <= GRID.time_ns(i) < g.end_ns for g in found)}
    assert not empty & valid
    rest = set(range(GRID.slots)) - valid - empty
    assert not any(set(range(i, i + 5)) <= rest for i in range(GRID.slots))


@pytest.mark.parametrize(("rate", "empty", "seconds"), [("5", 4, 0), ("5", 5, 1), ("1/10", 1, 0), ("1/10", 2, 20)])
def test_a_gap_is_a_second_and_two_slots_long_at_least(rate: str, empty: int, seconds: int) -> None:
    grid = Grid(0, Fraction(rate), 100)
    found = gaps([i for i in range(100) if not 50 <= i < 50 + empty], grid)
    assert sum(g.seconds for g in found) == seconds


def test_no_stretch_has_no_words() -> None:
    assert Stretch().words(ZoneInfo("UTC")) == ""


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


@pytest.mark.parametrize(("files", "told"), [(6, False), (7, True)])
def test_a_drift_is_told_by_six_steps_at_least(files: int, told: bool) -> None:
    assert np.isfinite(clock_signs(manifest([(601 * i, 600) for i in range(files)])).drift_s_per_h) == told


def test_a_pause_is_no_drift_and_few_files_tell_none() -> None:
    signs = clock_signs(manifest([(0, 600), (5000, 600), (5600, 600)]))
    assert signs.overlap_s == 0
    assert np.isnan(signs.drift_s_per_h)


def test_a_clock_that_is_set_in_the_middle_of_a_night_is_no_drift() -> None:
    for jump in (-300, 300):
        files = [(600 * i + jump * (i > 5), 600) for i in range(12)]
        assert clock_signs(manifest(files)).drift_s_per_h == 0


def test_a_broken_file_says_nothing_of_the_clock() -> None:
    assert clock_signs(manifest([(0, 6000), (600, 600)], broken=0)).overlap_s == 0


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    first = 1_792_888_200 * NANOSECONDS  # 2026-10-25 02:30 in Berlin, before the clock goes back
    words = Stretch(first, first + 3600 * NANOSECONDS).words(ZoneInfo("Europe/Berlin"))
    assert words == "02:30:00 CEST–02:30:00 CET"
    assert clock(first + NANOSECONDS // 2, ZoneInfo("Asia/Shanghai")) == "08:30:00"
