"""A new model is promoted only when it is better beyond doubt, and nowhere clearly worse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as students_t

from lednet.clips import Clip
from lednet.metrics import EQUAL_DB
from lednet.model import LEDNet
from tasks.promotion import ClipFigures, Decision, Difference, decide, difference, judge
from tests.tasks.learning import LEARN, TINY

JUDGE = replace(LEARN, least_clips=3, tolerance_db=0.1)


def figures(gains: dict[str, list[float]], spread: float = 0.3, pairs: int = 8, new: str = "") -> list[ClipFigures]:
    """A camera's clips with these mean gains in dB, the pairs scattered around them."""
    generator = np.random.default_rng(3)
    rows = []
    for camera, means in gains.items():
        for k, mean in enumerate(means):
            old = generator.normal(20, 3, pairs)
            scatter = generator.normal(0, spread, pairs)
            gained = old + mean + scatter - scatter.mean()
            rows.append(ClipFigures(f"{camera}-{k}", camera, camera == new, tuple(old), tuple(gained)))
    return rows


def decided(gains: dict[str, list[float]], **options: float) -> Decision:
    return decide("old", "new", figures(gains, **options), JUDGE)  # type: ignore[arg-type]


def test_better_on_all_clips_is_promoted_and_the_figures_are_said() -> None:
    decision = decide("old", "new", figures({"pit": [0.5, 0.6], "silo": [0.4, 0.7]}, new="silo"), JUDGE)
    assert decision.promote
    assert decision.overall is not None
    assert decision.overall.mean == pytest.approx(0.55, abs=1e-3)
    assert "+0.55 dB" in decision.why
    assert "4 held-out clips of 2 cameras, new cameras among them: silo" in decision.why


def test_the_figures_of_a_decision_are_of_all_clips_each_camera_and_each_clip() -> None:
    rows = figures({"pit": [0.5, 0.6], "silo": [0.4]})
    decision = decide("a", "b", rows, JUDGE)
    assert (decision.old, decision.new) == ("a", "b")
    assert [d.of for d in decision.differences] == ["all clips", "pit", "silo", "pit-0", "pit-1", "silo-0"]
    gains = [d.new - d.old for d in decision.differences]
    assert gains == pytest.approx([0.5, 0.55, 0.4, 0.5, 0.6, 0.4], abs=1e-3)
    assert gains == pytest.approx([d.mean for d in decision.differences], abs=1e-3)
    assert decision.differences[0].old == pytest.approx(np.mean([np.mean(r.old) for r in rows]), abs=1e-3)


def test_worse_is_kept_out_and_the_clips_are_named() -> None:
    decision = decided({"pit": [-0.5, -0.6], "silo": [-0.4, -0.7]})
    assert not decision.promote
    assert "clearly worse on pit: -0.55 dB" in decision.why


def test_one_camera_clearly_worse_keeps_the_old_however_good_the_rest() -> None:
    decision = decided({"pit": [2.0, 2.5, 3.0], "silo": [-0.5, -0.6]})
    assert decision.overall is not None
    assert decision.overall.mean > 1
    assert not decision.promote
    assert "silo" in decision.why
    assert "pit" not in decision.why


def test_one_clip_clearly_worse_keeps_the_old() -> None:
    decision = decided({"pit": [2.0, 2.5, 2.0, -0.6]})
    assert not decision.promote
    assert "pit-3: -0.60 dB" in decision.why


def test_a_loss_within_the_tolerance_is_not_clear() -> None:
    assert decided({"pit": [0.5, 0.6, 0.5, 0.6, 0.5, 0.6, -0.05]}, spread=0.001).promote


def test_a_loss_of_one_clip_that_may_be_chance_is_not_clear() -> None:
    assert decided({"pit": [2.0, 2.0, 2.0, 2.0, 2.0, -0.3]}, spread=2.0).promote


def test_clips_that_agree_by_chance_do_not_hide_how_much_their_pairs_scatter() -> None:
    decision = decided({"pit": [0.1, 0.1, 0.1, 0.1]}, spread=4.0)
    assert not decision.promote
    assert decision.overall is not None
    assert decision.overall.low < -0.5 < 0.7 < decision.overall.high


def test_two_clips_are_not_certain_of_a_gain_that_differs_between_them() -> None:
    rows = figures({"pit": [0.2, 0.9]}, spread=0.01)
    assert not decide("old", "new", rows, replace(JUDGE, least_clips=2)).promote


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_of_few_clips_is_students(confidence: float) -> None:
    gains = [0.2, 0.5, 0.9, 0.4]
    decision = decide("old", "new", figures({"pit": gains}, spread=0.0), replace(JUDGE, confidence=confidence))
    half = students_t.ppf((1 + confidence) / 2, 3) * np.std(gains, ddof=1) / 2
    assert decision.overall is not None
    assert decision.overall.low == pytest.approx(np.mean(gains) - half, abs=1e-3)
    assert decision.overall.high == pytest.approx(np.mean(gains) + half, abs=1e-3)


@pytest.mark.parametrize(("confidence", "deviations"), [(0.68, 0.994), (0.95, 1.96)])
def test_the_interval_of_one_clip_is_that_of_its_pairs_mean(confidence: float, deviations: float) -> None:
    [row] = figures({"pit": [0.2]}, spread=1.0, pairs=400)
    found = difference("pit", [row], replace(JUDGE, confidence=confidence, resamples=2000))
    error = np.std(np.subtract(row.new, row.old)) / math.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(deviations * error, rel=0.1)


def test_the_interval_allows_for_which_clips_there_happen_to_be() -> None:
    found = difference("pit", figures({"pit": [0.0, 1.0]}, spread=0.0), JUDGE)
    assert (found.low, found.high) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))


def test_a_gain_within_chance_is_kept_out() -> None:
    decision = decided({"pit": [0.6, -0.3], "silo": [0.4, -0.2]}, spread=4)
    assert not decision.promote
    assert "not better beyond its 95% interval" in decision.why


def test_a_certain_gain_that_nobody_sees_is_kept_out() -> None:
    decision = decided({"pit": [0.02, 0.03, 0.02]}, spread=0.001)
    assert not decision.promote
    assert "better, but by less than 0.05 dB" in decision.why


def test_equal_models_are_not_promoted() -> None:
    assert not decided({"pit": [0.0, 0.0, 0.0]}, spread=0.0).promote


@pytest.mark.parametrize("clips", [0, 1, 2])
def test_too_few_clips_decide_nothing(clips: int) -> None:
    decision = decided({"pit": [3.0] * clips})
    assert not decision.promote
    assert f"kept: {clips} held-out clips, fewer than 3" in decision.why


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=6), st.floats(0, 3))
def test_the_interval_holds_the_mean_and_a_promotion_never_rests_on_a_loss(gains: list[float], spread: float) -> None:
    rows = figures({"pit": gains}, spread)
    found = difference("all", rows, JUDGE)
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(np.mean(gains), abs=1e-3)
    if decide("old", "new", rows, JUDGE).promote:
        assert found.low > 0
        assert min(gains) > -JUDGE.tolerance_db or spread > 0


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Clips drawn around a true gain of 0.2 dB: with ten clips the bootstrap covers it in 85 to 100 % of all cases."""
    generator, covered, quick = np.random.default_rng(5), 0, replace(JUDGE, resamples=200)
    for _ in range(60):
        rows = figures({"pit": list(generator.normal(0.2, 0.3, 10))}, 0.3, 4)
        found = difference("all", rows, quick)
        covered += found.low <= 0.2 <= found.high
    assert 51 <= covered <= 60


def test_few_clips_of_equal_models_promote_as_seldom_as_the_interval_says() -> None:
    """Four clips, each better or worse by chance: 2.5 % lie above the interval. A plain bootstrap promoted a tenth."""
    generator, promoted, quick = np.random.default_rng(11), 0, replace(JUDGE, resamples=40, tolerance_db=9.0)
    for _ in range(60):
        promoted += decide("old", "new", figures({"pit": list(generator.normal(0, 0.3, 4))}, 0.3, 4), quick).promote
    assert promoted <= 3


@pytest.mark.parametrize("whose", ["old", "new"])
@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_figures_that_are_no_numbers_keep_the_old_and_say_so(unknown: float, whose: str) -> None:
    rows = figures({"pit": [3.0, 3.0, 3.0]})
    rows[0] = replace(rows[0], **{whose: (unknown, *rows[0].old[1:])})
    decision = decide("old", "new", rows, JUDGE)
    assert not decision.promote
    assert decision.why.startswith("kept: figures on pit-0 are no numbers")


def shows(change: Callable[[torch.Tensor], torch.Tensor]) -> LEDNet:
    """A model that gives what it is given, changed."""
    model = LEDNet(TINY).eval()
    model.forward = change  # type: ignore[method-assign, assignment]
    return model


def noise(name: str, seed: int = 0) -> Clip:
    frames = torch.randint(0, 256, (4, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Clip(name, frames, False)


def test_each_models_figures_are_its_own_of_every_recipe_and_pair() -> None:
    dark, brighter = shows(lambda x: 0 * x), shows(lambda x: 2 * x)
    settings = replace(JUDGE, recipes="night,paper", judged_pairs=3)
    (found,) = judge(dark, brighter, [(noise("a"), "pit", True)], settings)
    assert (found.clip, found.camera, found.new_camera) == ("a", "pit", True)
    assert len(found.old) == len(found.new) == 6
    assert np.mean(found.old) < np.mean(found.new)
    (swapped,) = judge(brighter, dark, [(noise("a"), "pit", True)], settings)
    assert (swapped.old, swapped.new) == (found.new, found.old)


def test_a_clips_pairs_are_its_own_whatever_other_clips_there_are() -> None:
    model = shows(lambda x: x)
    a, b = (noise("a"), "pit", False), (noise("b"), "pit", False)  # the same frames by another name
    alone, beside = judge(model, model, [b], JUDGE), judge(model, model, [a, b], JUDGE)
    assert beside[1] == alone[0]
    assert beside[0].old != beside[1].old


def test_each_recipe_is_judged_once_on_pairs_of_its_own() -> None:
    model, clip = shows(lambda x: x), [(noise("a"), "pit", False)]

    def of(recipes: str) -> tuple[float, ...]:
        return judge(model, model, clip, replace(JUDGE, recipes=recipes))[0].old

    assert of("night,paper,night") == of("night") + of("paper")
    assert np.ptp(of("paper")) < 1 < np.ptp(of("night"))  # whose darkness is drawn anew for each pair


def test_high_speed_footage_is_judged_as_such() -> None:
    model = shows(lambda x: x)
    plain, fast = (Clip("a", noise("a").frames.repeat(8, 1, 1, 1), high_speed) for high_speed in (False, True))
    assert judge(model, model, [(plain, "pit", False)], JUDGE) != judge(model, model, [(fast, "pit", False)], JUDGE)


def test_a_model_that_goes_beyond_white_and_black_counts_as_what_is_shown() -> None:
    white = Clip("white", torch.full((2, 3, 48, 64), 255, dtype=torch.uint8), False)
    (found,) = judge(shows(lambda x: 0 * x + 1), shows(lambda x: 0 * x + 2), [(white, "pit", False)], JUDGE)
    assert found.old == found.new


def test_a_pair_that_both_models_restore_wholly_counts_as_equal() -> None:
    model = LEDNet(TINY).eval()
    black = Clip("black", torch.zeros(2, 3, 48, 64, dtype=torch.uint8), False)
    model.forward = lambda x: torch.zeros_like(x)  # type: ignore[method-assign]
    (found,) = judge(model, model, [(black, "pit", False)], replace(JUDGE, recipes="paper"))
    assert set(found.old) == set(found.new) == {EQUAL_DB}


def test_the_same_figures_give_the_same_decision() -> None:
    rows = figures({"pit": [0.5, 0.1, 0.2]})
    assert decide("a", "b", rows, JUDGE) == decide("a", "b", rows, JUDGE)


def test_a_gain_that_is_just_too_small_is_not_told_as_what_it_lacks() -> None:
    decision = decided({"pit": [0.048, 0.048, 0.048]}, spread=0.001)
    assert "by less than 0.05 dB (0.048), all clips: +0.05 dB" in decision.why


def test_what_nothing_comes_of_is_said_so() -> None:
    better, worse = (decided({"pit": [gain] * 3}, spread=0.01) for gain in (0.5, -0.5))
    assert better.untried.startswith("would be promoted: better, all clips: +0.50 dB")
    assert worse.untried.startswith("would not be promoted: clearly worse on pit")


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ((25.0, 25.5, 0.5, 0.25, 0.75), "pit: +0.50 dB (0.25 to 0.75)"),
        ((25.001, 25.004, 0.003, 0.001, 0.005), "pit: +0.0030 dB (0.0010 to 0.0050)"),
        ((25.0, 25.02, 0.02, -0.004, 0.044), "pit: +0.0200 dB (-0.0040 to 0.0440)"),
        ((25.0, 25.0, 0.0, 0.0, 0.0), "pit: +0.00 dB (0.00 to 0.00)"),
    ],
)
def test_a_gain_is_told_with_digits_that_show_it(figures: tuple[float, ...], words: str) -> None:
    assert str(Difference("pit", *figures)) == words
