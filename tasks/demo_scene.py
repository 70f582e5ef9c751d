"""The demo's scenes: what stands before the camera, drawn sharp and well lit, at any time and any frame rate.

Covers the choice of a scene; they are drawn by `tasks.demo_outdoor` and `tasks.demo_indoor`. Not covered: night
(`tasks.demo_film`) and archive (`tasks.demo`).
"""

from __future__ import annotations

from typing import Literal, Protocol

from tasks.demo_draw import DESIGN, Picture
from tasks.demo_indoor import Indoor
from tasks.demo_outdoor import Outdoor

WIDTH, HEIGHT = int(DESIGN[0]), int(DESIGN[1])


class Scene(Protocol):
    """Something to film. Equal times give equal pictures, in any order."""

    def render(self, t: float) -> Picture:
        """The picture [h, w, 3], uint8 sRGB, at `t` seconds."""
        ...


def make_scene(kind: Literal["outdoor", "indoor"], width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Scene:
    """A scene at a size in pixels; `seed` draws its rock, dirt, coal and dust. Takes a second: keep the scene."""
    return Outdoor(width, height, seed) if kind == "outdoor" else Indoor(width, height, seed)
