"""How long a shard is, which shards footage falls into, and what stretches of a night have none."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.plan import find_gaps, shard_length, shards_with_footage
from tasks.settings import NightSettings
from tasks.types import NANOSECONDS, Grid
from tests.tasks.planning import START, segment

# Shards


@pytest.mark.parametrize(
    ("height", "width", "slots"),
    [(1080, 1920, 21), (2160, 3840, 8), (8192, 8192, 8), (360, 640, 194), (48, 64, 512), (1, 1, 512)],
)
def test_a_shard_holds_as_many_frames_as_its_size_allows_within_bounds(height: int, width: int, slots: int) -> None:
    assert shard_length(height, width, NightSettings()) == slots


@settings(max_examples=50)
@given(st.integers(1, 8192), st.integers(1, 8192), st.integers(1, 1000))
def test_a_shards_length_stays_within_its_bounds(height: int, width: int, shard_mb: int) -> None:
    bounded = NightSettings(shard_mb=shard_mb, shard_least=3, shard_most=77)
    length = shard_length(height, width, bounded)
    assert 3 <= length <= 77
    assert length == 3 or length * height * width * 3 <= shard_mb * 2**20


def shards_of(*footage: tuple[float, float], slots: int = 1000, per_shard: int = 10) -> list[int]:
    grid = Grid(START, Fraction(5), slots)
    found = shards_with_footage(grid, per_shard, [segment(a, b) for a, b in footage])
    assert all(len(run) for run in found)
    assert all(before.stop < after.start for before, after in pairwise(found))
    return list(chain.from_iterable(found))


@pytest.mark.parametrize(
    ("footage", "indices"),
    [
        ((), []),
        (((0, 200),), list(range(100))),
        (((4.1, 5.5),), [2]),
        (((3.95, 5.5),), [2]),  # the first frame's nearest slot is 20
        (((3.85, 5.5),), [1, 2]),
        (((3.85, 3.95),), [1, 2]),  # and the last one's too
        (((0.1, 1.5), (100.1, 101.5)), [0, 50]),
        (((0.1, 1.5), (0.3, 1.2), (0.1, 1.5)), [0]),
        (((-50, 1.5),), [0]),
        (((-50, -1),), []),
        (((199.3, 900),), [99]),
        (((500, 900),), []),
    ],
)
def test_shards_are_those_that_a_frame_may_fall_into(
    footage: tuple[tuple[float, float], ...], indices: list[int]
) -> None:
    assert shards_of(*footage) == indices


# Gaps


def gaps_of(*footage: tuple[float, float]) -> list[tuple[float, float]]:
    gaps = find_gaps(Grid(START, Fraction(5), 500), [segment(a, b) for a, b in footage])
    return [((a - START) / NANOSECONDS, (b - START) / NANOSECONDS) for a, b in gaps]


@pytest.mark.parametrize(
    ("footage", "gaps"),
    [
        ((), [(0, 100)]),
        (((0, 100),), []),
        (((-5, 105),), []),
        (((10, 20), (30, 40)), [(0, 10), (20, 30), (40, 100)]),
        (((0, 50), (10, 20), (60, 100)), [(50, 60)]),
        (((0, 50), (50.1, 100)), []),
        (((0, 50), (50.3, 100)), [(50, 50.3)]),
        (((0, 99.9),), []),
        (((150, 160),), [(0, 100)]),
    ],
)
def test_gaps_are_the_stretches_longer_than_a_slot_that_no_file_covers(
    footage: tuple[tuple[float, float], ...], gaps: list[tuple[float, float]]
) -> None:
    assert gaps_of(*footage) == gaps


stretches = st.lists(
    st.tuples(st.integers(-200, 1200), st.integers(1, 400)).map(lambda s: (s[0] / 10, (s[0] + s[1]) / 10)), max_size=8
).map(sorted)


@settings(max_examples=100)
@given(stretches)
def test_gaps_and_footage_make_up_the_night(footage: list[tuple[float, float]]) -> None:
    gaps = gaps_of(*footage)
    assert gaps == sorted(gaps)
    for tenth in range(1000):
        time = tenth / 10 + 0.05
        covered = any(a <= time < b for a, b in footage)
        missing = any(a <= time < b for a, b in gaps)
        assert not (covered and missing)
        if not covered and not missing:  # within a hole of a slot at most
            near = [e for a, b in footage for e in (a, b)] + [0, 100]
            assert min(abs(time - e) for e in near) <= 0.2
