"""What is remembered of earlier frames: still places lose noise, moving ones nothing; cuts and gaps begin anew."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lednet import LEDNet, Restorer
from lednet.light import lift
from lednet.model import LEDNetConfig
from lednet.temporal import (
    BLOCK,
    TONES,
    Memory,
    TemporalSettings,
    _smooth,
    block_means,
    light_beside,
    noise_of_tones,
    stillness,
)
from lednet.video import VideoRestorer

HEIGHT, WIDTH, COUNT, STEP_S = 72, 96, 20, 0.1


def scene(seed: int = 0) -> Tensor:
    """A textured dark scene [3, h, w] without noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [0.2 + 0.08 * np.sin(x / rng.uniform(3, 9) + c) + 0.06 * np.cos(y / rng.uniform(3, 9)) for c in range(3)]
    return torch.from_numpy(np.stack(planes).astype(np.float32))


def noisy(clean: Tensor, sigma: float = 0.03, seed: int = 0) -> Tensor:
    """Frames [t, 3, h, w] in whole levels of 255."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)) * sigma
    return ((clean + noise).clamp(0, 1) * 255).round() / 255


def jpeg(frames: Tensor, quality: int) -> Tensor:
    """Frames [t, 3, h, w] as they come out of a JPEG file."""
    coded = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for frame in levels(frames)]
    return torch.stack([torch.from_numpy(cv2.imdecode(c, cv2.IMREAD_COLOR)).permute(2, 0, 1) / 255 for c in coded])


def still(count: int = COUNT) -> Tensor:
    return scene().expand(count, 3, HEIGHT, WIDTH)


def crossed() -> Tensor:
    """The still scene with a bright square that crosses it."""
    frames = still().clone()
    for k in range(COUNT):
        frames[k, :, 24:44, 3 * k : 3 * k + 20] = 0.45
    return frames


def watch(frames: Tensor, step_s: float = STEP_S, memory: Memory | None = None) -> tuple[Tensor, Tensor]:
    memory = memory or Memory()
    taken = [memory.take(f[None], k * step_s) for k, f in enumerate(frames)]
    return torch.cat([x for x, _ in taken]), torch.cat([tones for _, tones in taken])


def test_a_still_scene_loses_most_of_its_noise() -> None:
    clean = still()
    frames = noisy(clean)
    seen = watch(frames)[0]
    assert (seen - clean)[-4:].std() < (frames - clean).std() / 3
    assert seen[-8:].std(0).mean() < frames[-8:].std(0).mean() / 4


def test_a_still_scene_loses_noise_that_jpeg_has_blurred() -> None:
    frames = jpeg(noisy(still(32) * 0.5), quality=60)
    assert watch(frames)[0][-8:].std(0).mean() < frames[-8:].std(0).mean() / 6


def test_what_moves_is_seen_as_it_is() -> None:
    clean = crossed()
    frames = noisy(clean)
    seen = watch(frames)[0]
    k = COUNT - 1
    trail = (slice(24, 44), slice(0, 3 * k + 20))
    before, after = ((x[k, :, *trail] - clean[k, :, *trail]).square().mean().sqrt() for x in (frames, seen))
    assert after < before
    # No ghost: where the square has just been, the mean is that of the scene behind it.
    left = (slice(24, 44), slice(3 * k - 9, 3 * k))
    assert (seen[k, :, *left] - clean[k, :, *left]).mean().abs() < 0.01


def test_the_first_frame_is_taken_as_it_is() -> None:
    frames = noisy(still(1))
    assert torch.equal(watch(frames)[0], frames)


@pytest.mark.parametrize("step_s", [1.0, 0.51, 0.0, -0.1])
def test_after_a_gap_or_without_a_clock_nothing_is_remembered(step_s: float) -> None:
    frames = noisy(still(4))
    assert torch.equal(watch(frames, step_s)[0], frames)


def test_a_cut_to_another_scene_leaves_no_ghost() -> None:
    other = scene(7).flip(1) * 1.5
    frames = noisy(torch.cat([still(10), other.expand(3, 3, HEIGHT, WIDTH)]))
    seen, tones = watch(frames)
    alone, own = watch(frames[10:11])
    assert (seen[10] - alone[0]).abs().mean() < 0.004
    assert (tones[10] - own[0]).abs().sum() < 0.3 * (tones[10] - tones[9]).abs().sum()


def test_a_cut_to_a_scene_full_of_detail_leaves_no_ghost() -> None:
    detail = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    frames = noisy(torch.cat([still(10), detail[None]]))
    assert (watch(frames)[0][10] - frames[10]).abs().max() < 1e-5


def test_a_lamp_that_moves_through_a_black_scene_leaves_the_rest_as_bright_as_it_is() -> None:
    black = torch.full((COUNT, 3, HEIGHT, WIDTH), 1 / 255)
    for k in range(COUNT):
        black[k, :, 8:24, 4 * k : 4 * k + 4] = 0.8
    frames = noisy(black, 0.5 / 255)
    seen, rest = watch(frames)[0], (slice(-4, None), slice(None), slice(40, None))
    assert lift(seen[rest]).mean() == pytest.approx(float(lift(frames[rest]).mean()), rel=0.1)


def test_light_switched_on_is_there_at_once() -> None:
    frames = noisy(torch.cat([still(10), still(2) * 1.6]))
    seen = watch(frames)[0]
    assert seen[10].mean() == pytest.approx(float(frames[10].mean()), rel=0.03)


def test_light_that_comes_slowly_is_followed() -> None:
    frames = noisy(torch.stack([scene() * 1.02**k for k in range(COUNT)]))  # each step is lost in the noise
    seen = watch(frames)[0]
    assert seen[-5:].mean((1, 2, 3)).tolist() == pytest.approx(frames[-5:].mean((1, 2, 3)).tolist(), rel=0.015)


def test_a_large_bright_thing_that_comes_is_no_change_of_light() -> None:
    before = scene()[None]
    after = before.clone()
    after[..., : WIDTH * 2 // 5] = 0.9
    assert light_beside(after, before, TemporalSettings()) == 1


@pytest.mark.parametrize("level", [0.0, 1.0], ids=["black", "clipped"])
def test_where_most_of_a_frame_is_black_or_clipped_the_rest_does_not_tell_the_light(level: float) -> None:
    before = torch.full((1, 3, HEIGHT, WIDTH), 0.3)
    after = before * 4 / 3
    for frame in (before, after):
        frame[..., : WIDTH * 2 // 3] = level
    assert light_beside(after, before, TemporalSettings()) == 1


def test_a_faint_thing_that_comes_to_stay_is_there_at_once() -> None:
    clean = still().clone()
    clean[12:, :, 20:44, 30:54] += 0.035  # about one deviation of the noise
    seen = watch(noisy(clean))[0]
    assert (seen - clean)[13, :, 24:40, 34:50].mean().abs() < 0.01


def test_texture_that_moves_is_seen_as_it_is_though_no_blocks_mean_changes() -> None:
    y, x = np.mgrid[:24, :24]
    chequers = torch.from_numpy(((y + x) % 2 * 2 - 1).astype(np.float32)) * 0.1
    clean = still().clone()
    clean[:12, :, 20:44, 30:54], clean[12:, :, 20:44, 30:54] = 0.3 + chequers, 0.3 - chequers
    seen = watch(noisy(clean, 0.02))[0]
    assert (seen - clean)[12, :, 24:40, 34:50].abs().mean() < 0.03


def test_each_tone_is_still_by_a_noise_of_its_own() -> None:
    clean = torch.cat([torch.full((3, HEIGHT, WIDTH // 2), level) for level in (0.05, 0.6)], 2).expand(
        COUNT, -1, -1, -1
    )
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    frames = (clean + noise * torch.where(clean > 0.3, 0.06, 0.01)).clamp(0, 1)
    noisier = (slice(-8, None), ..., slice(WIDTH // 2 + 8, None))
    assert watch(frames)[0][noisier].std(0).mean() < frames[noisier].std(0).mean() / 6


@pytest.mark.parametrize("size", [(9, 11), (1, 2)])
def test_the_noise_of_a_tone_is_the_median_of_its_blocks(size: tuple[int, int]) -> None:
    level, tone = torch.rand(1, 1, *size), torch.rand(1, 1, *size)
    place = (tone.sqrt() * (TONES - 1)).round()
    expected = torch.zeros_like(level)
    for each in place.unique():
        expected[place == each] = level[place == each].quantile(0.5)
    torch.testing.assert_close(noise_of_tones(level, tone), expected)


@pytest.mark.parametrize("size", [(5, 7), (1, 2), (1, 1)])
def test_smoothing_takes_the_mean_of_those_neighbours_that_there_are(size: tuple[int, int]) -> None:
    x = torch.rand(1, 2, *size)
    torch.testing.assert_close(_smooth(x), F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))


def test_blocks_beside_one_that_has_moved_count_as_moved() -> None:
    mean, age = scene()[None], torch.full((1, 1, HEIGHT // BLOCK, WIDTH // BLOCK), 16.0)
    frame = mean + torch.randn(mean.shape) * 0.01
    frame[..., 8 * BLOCK : 9 * BLOCK, 10 * BLOCK : 11 * BLOCK] = 0.8
    found = stillness(frame, mean, age, TemporalSettings())[0, 0] < 0.5
    # Its neighbours differ by what is smoothed, and those beside them by their blurred edge.
    assert found[6:11, 8:13].all()
    assert found.sum() == 25


def test_a_step_of_one_stored_level_is_still_where_there_is_no_noise() -> None:
    mean = torch.full((1, 3, HEIGHT, WIDTH), 51 / 255)
    frame = mean.clone()
    frame[..., ::9, ::7] += 1 / 255
    age = torch.full((1, 1, HEIGHT // BLOCK, WIDTH // BLOCK), 16.0)
    assert stillness(frame, mean, age, TemporalSettings()).min() == 1


def test_two_frames_may_differ_by_the_noise_of_both() -> None:
    first, second = noisy(torch.full((2, 3, HEIGHT, WIDTH), 0.3)).split(1)
    age = torch.ones(1, 1, HEIGHT // BLOCK, WIDTH // BLOCK)  # a mean of one frame is as noisy as the next
    assert stillness(second, first, age, TemporalSettings()).min() > 0.9


def test_what_is_remembered_of_a_dark_scene_is_as_bright_as_its_frames_once_the_shadows_are_opened() -> None:
    frames = noisy(still(24) * 0.15, 0.02)
    opened = lift(frames).mean()
    assert lift(watch(frames)[0][-8:]).mean() == pytest.approx(float(opened), rel=0.01)
    assert lift(frames.mean(0)).mean() > 1.03 * opened  # as it would be by the mean of the levels


def test_the_tone_curves_statistics_are_steadier_than_the_frames() -> None:
    frames = noisy(still())
    own = torch.cat([watch(f[None])[1] for f in frames])
    assert watch(frames)[1][-8:].std(0).sum() < own[-8:].std(0).sum() / 3


def test_the_tone_curves_statistics_are_remembered_for_as_many_frames_as_is_set() -> None:
    frames = noisy(still())
    short, long = (watch(frames, memory=Memory(TemporalSettings(tone_memory=m)))[1] for m in (2, 16))
    assert long[-8:].std(0).sum() < short[-8:].std(0).sum() / 2


def test_after_forgetting_the_same_frames_give_the_same_results() -> None:
    frames, memory = noisy(crossed()), Memory()
    first = watch(frames, memory=memory)
    memory.forget()
    second = watch(frames, memory=memory)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("size", [(72, 96), (16, 4), (71, 98), (5, 3)])
def test_blocks_of_whole_and_of_cut_squares_are_their_means(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    assert block_means(x).sub(F.avg_pool2d(x, BLOCK, ceil_mode=True)).abs().max() < 1e-6


def test_the_given_frames_are_not_changed() -> None:
    frames = noisy(still(4))
    kept = frames.clone()
    watch(frames)
    assert torch.equal(frames, kept)


def test_frames_of_another_size_begin_anew() -> None:
    memory = Memory()
    watch(noisy(still(3)), memory=memory)
    small = noisy(still(1))[:, :, :33, :17]
    assert torch.equal(memory.take(small, 0.3)[0], small)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer("small", device="cpu")


def levels(frames: Tensor) -> np.ndarray:
    return (frames * 255).round().byte().permute(0, 2, 3, 1).numpy()


def times(count: int) -> list[float]:
    return [k * STEP_S for k in range(count)]


def error_beside_light(frames: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error in levels, without that of each frame's mean: light is the tone curve's and not looked at."""
    error = frames - truth
    return float(np.abs(error - error.mean((1, 2), keepdims=True)).mean())


def test_still_video_is_restored_at_least_twice_as_steadily_and_nearer_to_the_truth(restorer: Restorer) -> None:
    frames = levels(noisy(still(14), 0.02))
    truth = restorer.restore(levels(still(1)))[0].astype(float)
    alone, video = restorer.restore(frames)[6:], VideoRestorer(restorer).restore(frames, times(14))[6:]
    assert video.std(0).mean() < alone.std(0).mean() / 2
    assert error_beside_light(video, truth) < error_beside_light(alone, truth)


@pytest.mark.parametrize("size", [(72, 96), (70, 95), (33, 17), (9, 40), (1, 1)])
def test_a_first_frame_of_any_size_is_restored_as_if_alone(restorer: Restorer, size: tuple[int, int]) -> None:
    frames = levels(noisy(still(1)))[:, : size[0], : size[1]]
    difference = VideoRestorer(restorer).restore(frames, [0.0]).astype(int) - restorer.restore(frames)
    assert np.abs(difference).max() <= 1


def test_frames_in_a_batch_are_restored_as_one_by_one(restorer: Restorer) -> None:
    frames = levels(noisy(crossed()))[:4]
    together, video = VideoRestorer(restorer).restore(frames, times(4)), VideoRestorer(restorer)
    alone = np.concatenate([video.restore(f[None], [t]) for f, t in zip(frames, times(4), strict=True)])
    assert np.array_equal(together, alone)


def test_watched_frames_are_remembered_as_restored_ones(restorer: Restorer) -> None:
    frames = levels(noisy(crossed()))[:5]
    watched, restored = VideoRestorer(restorer), VideoRestorer(restorer)
    watched.watch(frames[:4], times(4))
    restored.restore(frames[:4], times(4))
    results = [video.restore(frames[4:], [0.4]) for video in (watched, restored)]
    assert np.array_equal(*results)


def test_tiled_frames_are_steady_too(tiny: LEDNetConfig) -> None:
    torch.manual_seed(0)
    restorer = Restorer(LEDNet(replace(tiny, axis_window=64)), device="cpu")
    restorer.pixels_at_once = 256 * 256
    rng = np.random.default_rng(0)
    frames = (40 + rng.normal(0, 5, (3, 256, 272, 3))).clip(0, 255).astype(np.uint8)
    video = VideoRestorer(restorer).restore(frames, times(3))
    assert video.shape == frames.shape
    assert video[-1].std() < frames[-1].std() * restorer.restore(frames[-1:]).std() / frames[-1].std()


def test_wrong_frames_and_missing_times_are_refused(restorer: Restorer) -> None:
    video = VideoRestorer(restorer)
    with pytest.raises(ValueError, match="uint8"):
        video.restore(np.zeros((1, 8, 8, 3), np.float32), [0.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="as many times"):
        video.restore(np.zeros((2, 32, 32, 3), np.uint8), [0.0])


def test_every_number_stands_in_the_settings() -> None:
    frames = noisy(still(12))
    short, long = (watch(frames, memory=Memory(TemporalSettings(memory=m)))[0] for m in (2, 12))
    assert long[-1].sub(scene()).std() < short[-1].sub(scene()).std()


LEVELS = [[18.17, 40.5, 61.62, 69.0], [47.95, 57.96, 132.55, 106.8], [55.96, 65.45, 90.13, 102.68]]
SHARES = [0.0, 0.00063, 0.00194, 0.00432, 0.01067, 0.01487, 0.01462, 0.01744]
"""Of the memory as it is: every 24th pixel of the last frame's green and some of its tones; no truth of anything."""


def test_the_revision_stands_for_these_very_frames() -> None:
    """Where this fails, what a night stores has changed: count `TemporalSettings.revision` up, and renew the levels."""
    frames = noisy(crossed())
    frames[COUNT // 2 :] *= 1.2
    taken, tones = watch(frames)
    assert TemporalSettings().revision == 2
    np.testing.assert_allclose(255 * taken[-1, 1, 12::24, 12::24], LEVELS, atol=0.05)
    assert tones[-1, 16:24].flatten().tolist() == pytest.approx(SHARES, abs=1e-4)
