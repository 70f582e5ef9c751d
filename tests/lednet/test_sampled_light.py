"""The light of drawn pairs: input and label through the recipe's own response, infrared, lamps, what is moved.

Not covered: which frames and crops are drawn (`test_clips`).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lednet.clips import Clip, PairSampler
from lednet.degrade import RECIPES, Recipe, Response

PLAIN = Recipe("plain", gain=(1.0, 1.0), gamma=(1.0, 1.0))
"""Changes nothing."""

RESPONSES = [Response("srgb"), Response(1.0), Response((0.0, 0.6, 1.0))]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_clip(frames: int = 3, side: int = 40, high_speed: bool = False) -> Clip:
    levels = torch.randint(0, 240, (frames, 3, side, side), dtype=torch.uint8, generator=seeded(5))
    return Clip("noise", levels, high_speed)


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("infrared", [0.0, 1.0])
@pytest.mark.parametrize("high_speed", [False, True])
def test_a_pair_that_nothing_is_done_to_is_equal_whatever_the_response(
    response: Response, infrared: float, high_speed: bool
) -> None:
    recipe = replace(PLAIN, response=response, infrared_probability=infrared)
    still = noise_clip(1, 96)
    clip = replace(still, frames=still.frames.expand(9, -1, -1, -1), high_speed=high_speed)
    sampler = PairSampler([clip], [recipe], seeded())
    for _ in range(4):  # some of them shrunk
        degraded, label = sampler.sample(3, 16, 24)
        torch.testing.assert_close(degraded, label, rtol=0, atol=0.7 / 255)


def test_an_infrared_camera_gives_no_colour_whatever_comes_after() -> None:
    recipe = replace(RECIPES["mine"], infrared_probability=1.0, dust_probability=1.0)
    degraded, label = PairSampler([noise_clip()], [recipe], seeded()).sample(8, 24, 24)
    for image in (degraded, label):
        assert (image.amax(1) - image.amin(1)).max() < 1.1 / 255
    assert degraded.std((2, 3)).min() > 0


def test_the_noise_of_an_infrared_camera_is_as_strong_as_stated() -> None:
    recipe = replace(PLAIN, response=Response(1.0), infrared_probability=1.0, read_noise=(0.02, 0.02))
    grey = Clip("grey", torch.full((1, 3, 96, 96), 128, dtype=torch.uint8), False)
    degraded, _ = PairSampler([grey], [recipe], seeded()).sample(1, 96, 96)
    assert degraded[0, 0].std().item() == pytest.approx(0.02, rel=0.05)


def test_pairs_that_keep_their_colour_are_the_same_beside_infrared_ones() -> None:
    recipe = replace(RECIPES["mine"], infrared_probability=0.5)
    degraded, label = PairSampler([noise_clip()], [recipe], seeded()).sample(12, 24, 24)
    colour = [(image.amax(1) - image.amin(1)).amax((1, 2)) > 2 / 255 for image in (degraded, label)]
    assert torch.equal(*colour)
    assert 0 < colour[0].sum() < 12


@pytest.mark.parametrize(("frames", "moves"), [(1, True), (2, True), (5, False)])
def test_a_high_speed_clip_too_short_for_a_burst_is_shaken_like_a_still(frames: int, moves: bool) -> None:
    clip = noise_clip(1, 40)
    clip = replace(clip, frames=clip.frames.expand(frames, -1, -1, -1), high_speed=True)
    degraded, label = PairSampler([clip], [replace(PLAIN, shake_px=(9.0, 12.0))], seeded()).sample(2, 24, 24)
    assert ((degraded - label).abs().mean() > 0.05).item() is moves


@pytest.mark.parametrize(("shrink", "still"), [(1, False), (2, False), (3, True)])
def test_a_burst_that_is_shrunk_until_its_motion_is_gone_is_a_still(
    shrink: int, still: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = noise_clip(9, 96, high_speed=True)
    sampler = PairSampler([clip], [PLAIN], seeded())
    monkeypatch.setattr(sampler, "_shrink", lambda *_: shrink)
    assert sampler._crop(clip, PLAIN, 24, 32)[2] is still


def test_a_lamp_that_moves_in_a_burst_is_a_brighter_streak_with_its_clipping_undone() -> None:
    frames = torch.full((15, 3, 32, 64), 30, dtype=torch.uint8)
    for i in range(15):
        frames[i, :, 14:18, 4 * i : 4 * i + 3] = 255
    streaks = []
    for boost in (1.0, 8.0):
        recipe = replace(PLAIN, highlight_boost=(boost, boost))
        streaks.append(PairSampler([Clip("lamp", frames, True)], [recipe], seeded()).sample(1, 32, 64)[0])
    lit = streaks[0] > 40 / 255
    assert lit.any()
    assert (streaks[1] > streaks[0] + 0.1)[lit].all()


def test_crops_are_taken_from_all_over_the_frame() -> None:
    places = torch.arange(40 * 40).reshape(40, 40)
    frame = torch.stack([places // 40, places % 40, places * 0]).byte()[None]
    labels = PairSampler([Clip("places", frame, False)], [PLAIN], seeded()).sample(300, 32, 32)[1]
    for axis, channel in ((1, 0), (2, 1)):
        corners = (labels[:, channel] * 255).round().amin((1, 2))
        assert set(corners.tolist()) == set(range(9)), axis
