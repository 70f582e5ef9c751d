"""Clips are found, decoded and drawn from so that a pair is aligned and repeatable.

Not covered: on which side of the split a clip is (`test_clip_split`).
"""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from lednet.clips import (
    VIEWED,
    Clip,
    ClipError,
    PairSampler,
    find_clips,
    is_high_speed,
    read_bursts,
    read_clip,
)
from lednet.degrade import Recipe, average_burst, linear_to_srgb, srgb_to_linear
from tests.tasks.footage import write_clip

CPU = torch.device("cpu")
CLEAR = Recipe("clear", gain=(1.0, 1.0), gamma=(1.0, 1.0))
"""Degrades nothing but by the burst itself."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def write_video(path: Path, levels: list[int], fps: float = 25.0, size: int = 64) -> Path:
    """A Motion JPEG clip whose frame i is an even grey of levels[i]."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (size, size))
    assert writer.isOpened()
    for level in levels:
        writer.write(np.full((size, size, 3), level, np.uint8))
    writer.release()
    return path


def levels_of(clip: Clip) -> list[int]:
    return [round(frame.float().mean().item()) for frame in clip.frames]


def counting_clip(frames: int, height: int = 32, width: int = 32, high_speed: bool = True) -> Clip:
    """Frame i is an even grey of level 10 i."""
    levels = torch.arange(frames, dtype=torch.uint8) * 10
    return Clip("counting", levels.reshape(-1, 1, 1, 1).expand(-1, 3, height, width).contiguous(), high_speed)


def noise_clip(frames: int, height: int, width: int, high_speed: bool) -> Clip:
    return Clip("noise", torch.randint(0, 240, (frames, 3, height, width), dtype=torch.uint8), high_speed)


# Decoding


def test_a_high_speed_clip_gives_its_first_consecutive_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", [10 * i for i in range(20)], fps=240)
    clip = read_clip(path, 6, True, CPU)
    assert clip.name == "a"
    assert clip.frames.dtype == torch.uint8
    assert clip.frames.shape == (6, 3, 64, 64)
    assert levels_of(clip) == pytest.approx([0, 10, 20, 30, 40, 50], abs=2)


@pytest.mark.parametrize(("count", "most"), [(20, 5), (19, 10), (11, 10), (20, 7)])
def test_another_clip_gives_frames_spread_evenly_over_all_of_it(count: int, most: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", [12 * i for i in range(count)])
    places = np.array(levels_of(read_clip(path, most, False, CPU))) / 12
    assert len(places) == most
    steps = np.diff(places)
    assert steps.min() > 0.5
    assert steps.max() - steps.min() < 1.5
    assert places[-1] + count / most + 1 > count - 0.5


def test_a_clip_shorter_than_asked_gives_all_its_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", [50] * 4)
    assert read_clip(path, 60, False, CPU).frames.shape[0] == 4


def test_frames_come_in_rgb_order(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 64))
    writer.write(np.full((64, 64, 3), (10, 20, 200), np.uint8))
    writer.release()
    red, green, blue = read_clip(tmp_path / "red.avi", 1, False, CPU).frames[0].float().mean((1, 2)).tolist()
    assert (red, green, blue) == (pytest.approx(200, abs=6), pytest.approx(20, abs=6), pytest.approx(10, abs=6))


@pytest.mark.parametrize("content", [b"", b"this is no video" * 100], ids=["empty", "text"])
def test_a_clip_that_no_frame_can_be_decoded_of_is_an_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(content)
    with pytest.raises(ClipError, match=r"broken\.mp4.*no frame.*re-encode"):
        read_clip(tmp_path / "broken.mp4", 10, False, CPU)


@pytest.mark.parametrize(
    ("name", "fps", "fast"),
    [
        ("walk", 25, False),
        ("walk", 119, False),
        ("walk", 120_000 / 1001, True),
        ("walk", 120, True),
        ("walk", 240, True),
        ("walk", 1000, False),
        ("GX01_240FPS", 30, True),
    ],
)
def test_high_speed_is_told_by_the_rate_or_by_the_name(name: str, fps: float, fast: bool, tmp_path: Path) -> None:
    assert is_high_speed(write_video(tmp_path / f"{name}.avi", [0, 9], fps)) is fast


def test_a_clip_that_counts_in_milliseconds_gives_all_the_frames_asked_for(tmp_path: Path) -> None:
    times = [Fraction(50 * i + i % 3, 1000) for i in range(40)]
    path = write_clip(tmp_path / "walk.avi", times, fps=1000, codec="mjpeg", pix_fmt="yuvj420p")
    assert read_clip(path, 10, False, CPU).frames.shape[0] == 10


def test_clips_are_found_by_suffix_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.avi", "notes.txt", "c.mov"):
        (tmp_path / name).touch()
    assert [p.name for p in find_clips(tmp_path)] == ["a.avi", "b.MP4", "c.mov"]


def test_a_folder_without_clips_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no video files directly in it"):
        find_clips(tmp_path)
    with pytest.raises(ClipError, match="nowhere"):
        find_clips(tmp_path / "nowhere")


def test_a_clip_whose_name_is_not_utf8_is_named_before_opencv_is_given_it(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"m\xe4ll.mp4")).touch()
    with pytest.raises(ClipError, match=r"m\\xe4ll\.mp4: its name is not UTF-8.*rename it"):
        find_clips(tmp_path)


# Drawing pairs


@pytest.mark.parametrize("high_speed", [True, False])
def test_equal_seeds_draw_equal_batches_and_others_draw_others(high_speed: bool) -> None:
    clip = noise_clip(20, 40, 48, high_speed)
    recipe = Recipe("shaken", gain=(0.4, 0.9), gamma=(1.5, 3.0), shake_px=(2.0, 9.0), read_noise=(0.001, 0.01))
    first, again, other = (PairSampler([clip], [recipe], seeded(seed)).sample(2, 16, 24) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_a_gpu_is_asked_for_one_whole_number_a_batch_and_equal_seeds_draw_equal_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    draw = torch.randint

    def counted(*arguments: Any, generator: Any = None, **others: Any) -> Tensor:
        asked.append(generator)
        return draw(*arguments, generator=generator, **others)

    monkeypatch.setattr(torch, "randint", counted)
    clip, batches = noise_clip(20, 40, 48, True), []
    for seed in (1, 1, 2):
        sampler = PairSampler([clip], [CLEAR], seeded(seed))
        sampler.aside = True  # as on a GPU
        for _ in range(2):
            asked.clear()
            batches.append(sampler.sample(3, 16, 24)[1])
            assert asked.count(sampler.generator) == 1 < len(asked)
    assert torch.equal(batches[0], batches[2])
    assert torch.equal(batches[1], batches[3])
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[4])


def test_the_label_of_a_high_speed_clip_is_the_centre_frame_of_its_burst() -> None:
    clip = counting_clip(25)
    sampler = PairSampler([clip], [CLEAR], seeded())
    levels = torch.arange(25) * 10 / 255
    seen = set()
    for _ in range(30):
        degraded, label = sampler.sample(1, 16, 16)
        centre = round(label[0, 0, 0, 0].item() * 25.5)
        torch.testing.assert_close(label, levels[centre].expand_as(label), rtol=0, atol=1e-5)
        bursts = {
            reach: linear_to_srgb(
                average_burst(levels[centre - reach : centre + reach + 1].reshape(-1, 1, 1, 1), torch.ones(1, 1, 1))
            ).item()
            for reach in range(2, 8)
            if reach <= centre <= 24 - reach
        }
        near = min(bursts, key=lambda r: abs(bursts[r] - degraded.mean().item()))
        assert degraded.mean().item() == pytest.approx(bursts[near], abs=0.6 / 255)
        seen.add(near)
    assert len(seen) > 3  # bursts of several lengths


@pytest.mark.parametrize("frames", range(1, 17))
def test_a_high_speed_clip_of_any_length_can_be_drawn_from(frames: int) -> None:
    sampler = PairSampler([counting_clip(frames)], [CLEAR], seeded(frames))
    for _ in range(8):
        degraded, label = sampler.sample(1, 16, 16)
        assert degraded.shape == label.shape == (1, 3, 16, 16)


def test_a_still_of_a_clear_recipe_is_its_own_label() -> None:
    degraded, label = PairSampler([noise_clip(5, 40, 40, False)], [CLEAR], seeded()).sample(4, 24, 16)
    torch.testing.assert_close(degraded, label, rtol=0, atol=2e-3)


def test_a_still_drawn_at_half_size_is_its_own_label_too() -> None:
    frames = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    frames[..., ::2] = 200  # stripes one pixel wide: halved, they are one even grey, in light and not in sRGB values
    sampler = PairSampler([Clip("stripes", frames, False)], [CLEAR], seeded())
    halved = 0
    for _ in range(30):
        degraded, label = sampler.sample(1, 16, 24)
        torch.testing.assert_close(degraded, label, rtol=0, atol=2.5e-3)
        halved += int(label.std() < 1e-3)
    assert 0 < halved < 30


def test_a_burst_is_not_shaken_on_top() -> None:
    frame = torch.randint(0, 240, (1, 3, 40, 40), dtype=torch.uint8)
    clip = Clip("still burst", frame.expand(20, -1, -1, -1), True)
    recipe = Recipe("shaken", gain=(1.0, 1.0), gamma=(1.0, 1.0), shake_px=(9.0, 12.0))
    degraded, label = PairSampler([clip], [recipe], seeded()).sample(2, 24, 24)
    torch.testing.assert_close(degraded, label, rtol=0, atol=2e-3)


@pytest.mark.parametrize("high_speed", [True, False])
@pytest.mark.parametrize(("height", "width"), [(32, 16), (16, 48), (40, 40)])
def test_a_crop_larger_than_the_frame_is_padded(height: int, width: int, high_speed: bool) -> None:
    clip = noise_clip(20, 20, 24, high_speed)
    degraded, label = PairSampler([clip], [CLEAR], seeded()).sample(2, height, width)
    assert degraded.shape == label.shape == (2, 3, height, width)


def test_padding_repeats_the_border() -> None:
    clip = noise_clip(1, 16, 16, False)
    for seed in range(8):
        label = PairSampler([clip], [CLEAR], seeded(seed)).sample(1, 20, 20)[1]
        frame = clip.frames[0].float() / 255
        padded = torch.nn.functional.pad(frame[None], (0, 4, 0, 4), mode="replicate")[0]
        assert any(torch.equal(label[0], padded.flip(dims)) for dims in ([], [-1], [-2], [-1, -2]))


def test_pairs_are_flipped_both_ways() -> None:
    frame = torch.arange(16 * 16, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    labels = PairSampler([Clip("corner", frame, False)], [CLEAR], seeded()).sample(40, 16, 16)[1]
    corners = {round(corner * 255) for corner in labels[:, 0, 0, 0].tolist()}
    assert corners == {0, 15, 240, 255}


def test_a_sampler_without_clips_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ClipError, match="add footage"):
        PairSampler([], [CLEAR], seeded())


def test_pairs_are_in_bounds_and_floating(textured) -> None:  # type: ignore[no-untyped-def]
    frames = (textured(32, 32) * 255).byte()
    degraded, label = PairSampler([Clip("t", frames, False)], [CLEAR], seeded()).sample(2, 16, 16)
    for image in (degraded, label):
        assert isinstance(image, Tensor)
        assert image.dtype == torch.float32
        assert image.min() >= 0
        assert image.max() <= 1


# Bursts of slow footage


def test_a_slow_clip_gives_bursts_whose_centre_is_a_frame_of_its_own(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slow.avi", list(range(0, 240, 20)), 25)
    clip = read_bursts(path, 2, 4, CPU)
    assert clip is not None
    assert clip.high_speed
    assert clip.group == 9
    assert clip.frames.shape[0] == 18
    own = read_clip(path, 12, False, CPU).frames
    for centre in clip.frames[4::9]:
        assert any(torch.equal(centre, frame) for frame in own)


def test_bursts_of_a_slow_clip_are_spread_over_it_and_their_frames_over_the_time_of_three(tmp_path: Path) -> None:
    clip = read_bursts(write_video(tmp_path / "slow.avi", list(range(0, 240, 20)), 25), 2, 4, CPU)
    assert clip is not None
    levels = [first + 5 * i for first in (0, 120) for i in range(9)]
    assert levels_of(clip) == pytest.approx(levels, abs=2)


def test_a_clip_of_two_frames_has_no_burst(tmp_path: Path) -> None:
    assert read_bursts(write_video(tmp_path / "short.avi", [10, 90], 25), 2, 4, CPU) is None


@pytest.mark.parametrize("seed", range(5))
def test_bursts_never_cross_groups_and_are_labelled_by_their_centre(seed: int) -> None:
    groups = torch.tensor([50.0, 200.0]).repeat_interleave(9).byte()
    frames = groups.reshape(-1, 1, 1, 1).expand(-1, 3, 32, 32).contiguous()
    degraded, label = PairSampler([Clip("two", frames, True, group=9)], [CLEAR], seeded(seed)).sample(4, 16, 16)
    torch.testing.assert_close(degraded, label, rtol=0, atol=2.5e-3)


def test_a_burst_is_centred_on_the_sharpest_frame_near_its_place() -> None:
    clip = counting_clip(9)
    sharpest = replace(clip, sharpness=tuple(float(i == 4) for i in range(9)))
    labels = [PairSampler([sharpest], [CLEAR], seeded(seed)).sample(1, 16, 16)[1].mean() * 255 for seed in range(12)]
    centre = clip.frames[4, 0, 0, 0].item()
    assert sum(round(v.item()) == centre for v in labels) >= 3


def test_a_burst_near_the_end_of_a_clip_is_whole_however_sharp_the_last_frame_is() -> None:
    sharpest_last = replace(counting_clip(12), sharpness=tuple(float(i) for i in range(12)))
    sampler = PairSampler([sharpest_last], [CLEAR], seeded())
    for centre, reach in (sampler._frames(sharpest_last, True) for _ in range(60)):
        assert reach <= centre < 12 - reach


def test_infrared_pairs_lose_the_colour_of_input_and_label_together() -> None:
    recipe = replace(CLEAR, infrared_probability=1.0)
    degraded, label = PairSampler([noise_clip(3, 24, 24, False)], [recipe], seeded()).sample(2, 16, 16)
    for image in (degraded, label):
        torch.testing.assert_close(image[:, 0], image[:, 1], rtol=0, atol=1e-5)


def test_recipes_share_a_batch_evenly() -> None:
    recipes = [Recipe(str(gain), gain=(gain, gain), gamma=(1.0, 1.0)) for gain in (0.25, 0.5)]
    white = Clip("white", torch.full((3, 3, 32, 32), 200, dtype=torch.uint8), False)
    for seed in range(5):
        degraded, label = PairSampler([white], recipes, seeded(seed)).sample(4, 16, 16)
        kept = (degraded / label).mean((1, 2, 3))
        torch.testing.assert_close(kept.sort().values, torch.tensor([0.25, 0.25, 0.5, 0.5]), rtol=0, atol=0.01)


def test_a_recipe_named_twice_has_twice_as_much_of_all_batches() -> None:
    bright, dark = (Recipe(str(gain), gain=(gain, gain), gamma=(1.0, 1.0)) for gain in (0.5, 0.25))
    sampler = PairSampler([Clip("white", torch.full((3, 3, 32, 32), 200, dtype=torch.uint8), False)],
                          [bright, bright, dark], seeded())  # fmt: skip
    degraded = torch.cat([sampler.sample(2, 16, 16)[0] for _ in range(150)])
    assert (degraded.mean((1, 2, 3)) > 0.3).float().mean().item() == pytest.approx(2 / 3, abs=0.06)


def test_crops_are_shrunk_by_any_factor_but_less_is_likelier() -> None:
    sampler = PairSampler([noise_clip(1, 160, 160, False)], [CLEAR], seeded())
    drawn = [sampler._shrink((160, 160), 32, 32) for _ in range(400)]
    assert {*drawn} == {1, 2, 3, 4, 5}
    assert sum(drawn) < 0.85 * 3 * 400


# Views


def test_a_view_takes_in_all_of_a_frame_or_a_large_part_of_it_and_is_never_upside_down() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 240, 96), torch.linspace(0, 240, 160), indexing="ij")
    clip = Clip("ramps", torch.stack([y, x, x])[None].round().byte(), False)
    label = PairSampler([clip], [CLEAR], seeded(3)).sample(40, 48, 80, view=True)[1]
    rows, columns = label[:, 0, :, 40], label[:, 1, 24]
    assert (rows[:, -1] > rows[:, 0]).all()
    assert {bool(mirrored) for mirrored in columns[:, -1] < columns[:, 0]} == {True, False}
    for shown in ((rows[:, -1] - rows[:, 0]) * 255 / 240, (columns[:, -1] - columns[:, 0]).abs() * 255 / 240):
        assert shown.min() > min(VIEWED) - 0.05
        assert shown.max() > 0.95


@pytest.mark.parametrize("shown", [(16, 900), (130, 200), (720, 1280), (96, 40)])
def test_a_view_has_the_size_asked_for_whatever_the_frame_s(shown: tuple[int, int]) -> None:
    clip = noise_clip(1, *shown, high_speed=False)
    degraded, label = PairSampler([clip], [CLEAR], seeded()).sample(1, 72, 128, view=True)
    assert degraded.shape == label.shape == (1, 3, 72, 128)
    torch.testing.assert_close(degraded, label, rtol=0, atol=3e-3)


def test_a_view_is_as_bright_as_its_frame_in_linear_light() -> None:
    clip = noise_clip(1, 90, 160, high_speed=False)
    label = PairSampler([clip], [CLEAR], seeded(1)).sample(30, 18, 32, view=True)[1]
    light = [srgb_to_linear(image).mean() for image in (label, clip.frames / 255)]
    torch.testing.assert_close(light[0], light[1], rtol=0.02, atol=0)
