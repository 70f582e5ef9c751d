"""The demo's scenes: functions of time alone, moving, well exposed, at any size."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest

from tasks.demo_scene import Scene, make_scene

Kind = Literal["outdoor", "indoor"]
KINDS: tuple[Kind, ...] = ("outdoor", "indoor")
SIZE = (160, 90)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def scene(kind: Kind) -> Scene:
    return make_scene(kind, *SIZE)


def test_a_picture_is_8_bit_rgb_of_the_size_asked_for(scene: Scene) -> None:
    picture = scene.render(0.0)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    assert picture.dtype == np.uint8


def test_the_same_time_gives_the_same_picture_in_any_order(scene: Scene) -> None:
    first = scene.render(1.25)
    scene.render(7.0)
    assert np.array_equal(scene.render(1.25), first)


def test_the_same_seed_gives_the_same_scene(kind: Kind, scene: Scene) -> None:
    assert np.array_equal(make_scene(kind, *SIZE).render(2.0), scene.render(2.0))


def test_another_seed_gives_another_scene(kind: Kind, scene: Scene) -> None:
    assert not np.array_equal(make_scene(kind, *SIZE, seed=1).render(2.0), scene.render(2.0))


def test_things_move_within_one_frame_of_10_a_second(scene: Scene) -> None:
    change = np.abs(scene.render(3.1).astype(int) - scene.render(3.0)).max(2)
    assert (change > 25).mean() > 0.005


def test_most_of_the_picture_stands_still(scene: Scene) -> None:
    change = np.abs(scene.render(3.1).astype(int) - scene.render(3.0)).max(2)
    assert (change > 8).mean() < 0.25


def test_motion_is_finer_than_a_pixel(scene: Scene) -> None:
    steps = [scene.render(3.0 + k / 500).astype(int) for k in range(4)]
    changes = [np.abs(b - a).sum() for a, b in pairwise(steps)]
    assert min(changes) > 0
    assert max(changes) < 4 * min(changes)


@pytest.mark.parametrize("t", [0.0, 4.0, 9.9, 1000.0])
def test_a_picture_is_neither_dark_nor_blown(scene: Scene, t: float) -> None:
    picture = scene.render(t)
    assert 0.38 < picture.mean() / 255 < 0.55
    assert (picture.min(2) == 255).mean() < 0.01


def test_lamps_are_clipped(scene: Scene) -> None:
    assert (scene.render(0.0).min(2) == 255).sum() >= 5


@pytest.mark.parametrize("size", [(64, 36), (96, 96), (50, 90), (201, 57)])
def test_other_sizes_and_shapes_are_covered_to_the_edge(kind: Kind, size: tuple[int, int]) -> None:
    picture = make_scene(kind, *size).render(1.0)
    assert picture.shape == (size[1], size[0], 3)
    assert min(picture[0].mean(), picture[-1].mean(), picture[:, 0].mean(), picture[:, -1].mean()) > 20
