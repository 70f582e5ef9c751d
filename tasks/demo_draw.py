"""Drawing tools of the demo's scenes: sharp still canvases, noise textures, and sprites placed at sub-pixel positions.

Covers how things get drawn, nothing of what is drawn (`tasks.demo_outdoor`, `tasks.demo_indoor`).

Everything is drawn in design units, a picture of 640 x 360, larger than needed, and reduced by area: crisp edges
without stair steps. Colours are (red, green, blue), 0 to 255, sRGB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""[h, w, 3] sRGB, or [h, w, 4] with coverage and premultiplied colour."""
Field = NDArray[np.float32]
Colour = tuple[int, int, int]
Point = tuple[float, float]

DESIGN = (640.0, 360.0)
"""Width and height of the picture in design units."""
STILL_OVERSAMPLING = 3.0
"""Still backgrounds are drawn so much larger and reduced by area."""
SPRITE_DENSITY = 2.0
"""Sprites keep so many pixels a pixel of the picture, so that they stay crisp at every sub-pixel position."""
FRACTION_BITS = 4
"""Of the coordinates handed to OpenCV."""
LAMP = (255, 255, 255)
"""Clipped: what `lednet.degrade.restore_highlights` takes for a lamp; nothing else is drawn brighter than `WHITE`."""
WHITE = (236, 236, 232)
BLACK = (30, 30, 30)


def tinted(colour: Colour, factor: float) -> Colour:
    """A colour, darker or brighter."""
    red, green, blue = (max(0, min(WHITE[0], int(c * factor))) for c in colour)
    return red, green, blue


def fractal(shape: tuple[int, int], cell: Point, octaves: int, generator: np.random.Generator) -> Field:
    """Noise [h, w] of mean 0 and deviation 1; `cell` is the size (x, y) of the coarsest blobs, in pixels."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        columns = max(2, round(width / cell[0] * 2**octave) + 1)
        rows = max(2, round(height / cell[1] * 2**octave) + 1)
        grid = generator.standard_normal((min(rows, 2 * height), min(columns, 2 * width))).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(0.6**octave)
    normal: Field = ((total - total.mean()) / (total.std() + 1e-6)).astype(np.float32)
    return normal


def relief(height_map: Field, strength: float) -> Field:
    """Shading [h, w] around 1 of a surface lit from the upper left."""
    slope = cv2.Sobel(height_map, cv2.CV_32F, 1, 0) + cv2.Sobel(height_map, cv2.CV_32F, 0, 1)
    shading: Field = (1 + strength * np.clip(slope / (slope.std() + 1e-6), -2.5, 2.5)).astype(np.float32)
    return shading


class Canvas:
    """Somewhere to draw, in design units, on nothing (transparent) until something is drawn."""

    def __init__(self, width: float, height: float, density: float) -> None:
        """`width` and `height` in design units, `density` in pixels a unit."""
        self.density = density
        self.pixels: Picture = np.zeros((max(1, round(height * density)), max(1, round(width * density)), 4), np.uint8)

    def _points(self, points: Sequence[Point]) -> NDArray[np.int32]:
        scaled = np.asarray(points, np.float64) * self.density * 2**FRACTION_BITS
        fixed: NDArray[np.int32] = np.round(scaled).astype(np.int32)
        return fixed

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        cv2.fillPoly(self.pixels, [self._points(points)], (*colour, 255), cv2.LINE_8, FRACTION_BITS)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """A filled rectangle; x, y is its upper left corner."""
        self.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)

    def bar(self, start: Point, end: Point, width: float, colour: Colour, tip: float | None = None) -> None:
        """A straight bar, `width` thick at its start and `tip` (the same if None) at its end."""
        length = math.hypot(end[0] - start[0], end[1] - start[1]) or 1.0
        across = ((start[1] - end[1]) / length / 2, (end[0] - start[0]) / length / 2)
        a, b = width, width if tip is None else tip
        corners = [(start, a), (end, b), (end, -b), (start, -a)]
        self.polygon([(p[0] + across[0] * s, p[1] + across[1] * s) for p, s in corners], colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled circle."""
        turns = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        self.polygon([(x + radius * math.cos(a), y + radius * math.sin(a)) for a in turns], colour)

    def stripes(self, x: float, y: float, width: float, height: float, pitch: float, dark: Colour = BLACK) -> None:
        """A hazard board: slanted stripes of yellow and a dark colour."""
        self.box(x, y, width, height, (232, 190, 40))
        board = self.mask([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
        drawn = self.pixels.copy()
        for k in range(-2, int((width + height) / pitch) + 2):
            left = x + k * pitch
            self.polygon(
                [
                    (left, y + height),
                    (left + height, y),
                    (left + height + pitch / 2, y),
                    (left + pitch / 2, y + height),
                ],
                dark,
            )
        np.copyto(self.pixels, drawn, where=~board[..., None])

    def text(self, words: str, x: float, y: float, height: float, colour: Colour) -> None:
        """Words centred on x, their capitals' foot at y."""
        font, probe = cv2.FONT_HERSHEY_DUPLEX, 4.0
        scale = probe * height * self.density / cv2.getTextSize("H", font, probe, 1)[0][1]
        thickness = max(1, round(height * self.density / 9))
        width = cv2.getTextSize(words, font, scale, thickness)[0][0]
        origin = (round(x * self.density - width / 2), round(y * self.density))
        cv2.putText(self.pixels, words, origin, font, scale, (*colour, 255), thickness, cv2.LINE_AA)

    def mask(self, points: Sequence[Point]) -> NDArray[np.bool_]:
        """Which pixels lie in a polygon."""
        inside = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(inside, [self._points(points)], 1, cv2.LINE_8, FRACTION_BITS)
        return inside.astype(np.bool_)

    def fill(self, inside: NDArray[np.bool_], colours: Field) -> None:
        """Fill a mask from a picture [h, w, 3] of the canvas's size."""
        np.copyto(self.pixels[..., :3], np.clip(colours, 0, 236).astype(np.uint8), where=inside[..., None])
        self.pixels[inside, 3] = 255

    def shade(self, factor: Field, inside: NDArray[np.bool_] | None = None) -> None:
        """Multiply what is drawn (inside a mask) by a factor [h, w]."""
        where = self.pixels[..., 3] > 0 if inside is None else inside
        touched = np.flatnonzero(where.any(1))
        if touched.size:
            rows = slice(touched[0], touched[-1] + 1)
            lit = np.clip(self.pixels[rows, :, :3] * factor[rows, :, None], 0, 236).astype(np.uint8)
            np.copyto(self.pixels[rows, :, :3], lit, where=where[rows, :, None])

    def weather(self, strength: float, cell: float, seed: int) -> None:
        """Dirt and wear on everything drawn: noise with blobs of `cell` units, deviation `strength`."""
        size = cell * self.density
        noise = fractal((self.pixels.shape[0], self.pixels.shape[1]), (size, size), 4, np.random.default_rng(seed))
        self.shade(1 + np.float32(strength) * noise)

    def reduced(self, density: float) -> Picture:
        """What is drawn at another density, premultiplied."""
        height, width = self.pixels.shape[:2]
        factor = density / self.density
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        reduced: Picture = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        return reduced


@dataclass(frozen=True)
class Sprite:
    """Something small to be placed anywhere."""

    pixels: Picture
    """[h, w, 4], premultiplied."""
    density: float
    """Pixels a design unit."""
    pivot: Point = (0.0, 0.0)
    """The point, in units from the upper left corner, that is placed and turned about."""


class View:
    """Design units to the pixels of a picture that may have another size or shape: scaled to cover, centred."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.scale = max(width / DESIGN[0], height / DESIGN[1])
        self.shift = ((width - DESIGN[0] * self.scale) / 2, (height - DESIGN[1] * self.scale) / 2)

    def still(self) -> Canvas:
        """A canvas for a whole picture, to be handed to `develop`."""
        return Canvas(*DESIGN, self.scale * STILL_OVERSAMPLING)

    def canvas(self, width: float, height: float) -> Canvas:
        """A canvas for a sprite, to be handed to `sprite`."""
        return Canvas(width, height, self.scale * SPRITE_DENSITY * 2)

    def sprite(self, canvas: Canvas, pivot: Point = (0.0, 0.0)) -> Sprite:
        """A drawn canvas as a sprite."""
        return Sprite(canvas.reduced(self.scale * SPRITE_DENSITY), self.scale * SPRITE_DENSITY, pivot)

    def develop(self, canvas: Canvas) -> Picture:
        """A still canvas as a picture [h, w, 3] of the view's size."""
        reduced = canvas.reduced(self.scale)
        left, top = (round(-s) for s in self.shift)
        return np.ascontiguousarray(reduced[top : top + self.height, left : left + self.width, :3])

    def _placement(self, sprite: Sprite, at: Point, angle: float, size: Point) -> NDArray[np.float64]:
        """The affine map [2, 3] from a sprite's pixels to the picture's."""
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = turn @ np.diag(size) * (self.scale / sprite.density)
        # OpenCV's pixel centres lie on integers, design units count from the pixel's edge: hence the halves.
        target = np.array(at) * self.scale + np.array([round(s) for s in self.shift])
        origin = target - linear @ (np.array(sprite.pivot) * sprite.density - 0.5) - 0.5
        return np.concatenate([linear, origin[:, None]], 1)

    def _warp(self, pixels: Picture, placement: NDArray[np.float64]) -> tuple[slice, slice, Picture] | None:
        height, width = pixels.shape[:2]
        corners = placement @ np.array([[-1, width, -1, width], [-1, -1, height, height], [1, 1, 1, 1]])
        left, top = (max(0, math.floor(v)) for v in corners.min(1))
        right = min(self.width, math.ceil(corners[0].max()) + 1)
        bottom = min(self.height, math.ceil(corners[1].max()) + 1)
        if right <= left or bottom <= top:
            return None
        local = placement.copy()
        local[:, 2] -= (left, top)
        warped = cv2.warpAffine(pixels, local, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        return slice(top, bottom), slice(left, right), warped.astype(np.uint8, copy=False)

    def stamp(
        self,
        picture: Picture,
        sprite: Sprite,
        at: Point,
        angle: float = 0.0,
        size: Point = (1.0, 1.0),
        opacity: float = 1.0,
    ) -> None:
        """Lay a sprite over the picture, its pivot at `at`, turned clockwise by `angle`, stretched by `size`."""
        warped = self._warp(sprite.pixels, self._placement(sprite, at, angle, size))
        if warped is None:
            return
        rows, columns, layer = warped
        if opacity < 1:
            layer = cv2.convertScaleAbs(layer, alpha=max(0.0, opacity)).astype(np.uint8, copy=False)
        rest = cv2.cvtColor(255 - layer[..., 3], cv2.COLOR_GRAY2RGB)
        below = cv2.multiply(picture[rows, columns], rest, scale=1 / 255)
        picture[rows, columns] = cv2.add(below, cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB))

    def shine(self, picture: Picture, glow: Sprite, at: Point, angle: float = 0.0, size: Point = (1.0, 1.0)) -> None:
        """Add a sprite's light to the picture; its coverage is ignored."""
        warped = self._warp(glow.pixels, self._placement(glow, at, angle, size))
        if warped is not None:
            rows, columns, light = warped
            picture[rows, columns] = cv2.add(picture[rows, columns], cv2.cvtColor(light, cv2.COLOR_RGBA2RGB))

    def strip(self, sprite: Sprite, start: float, length: float) -> tuple[Sprite, float]:
        """The window [start, start + length] along x of a long sprite, and how far left of its place it begins: a
        scrolling band without drawing all of it."""
        first = math.floor(start * sprite.density)
        count = math.ceil(length * sprite.density) + 2
        window = Sprite(sprite.pixels[:, first : first + count], sprite.density, sprite.pivot)
        return window, start - first / sprite.density

    def glow(self, radius: float, colour: Colour, strength: float, core: float = 0.0) -> Sprite:
        """Light around a lamp, falling off to nothing at `radius`; white and clipped within `core`."""
        density = self.scale * SPRITE_DENSITY / (4 if radius > 20 and core == 0 else 1)
        side = max(3, round(2 * radius * density))
        axis = (np.arange(side) + 0.5) / density - side / density / 2
        distance = np.hypot(axis[:, None], axis[None])
        fall = np.clip(1 - distance / radius, 0, 1) ** 2.2 * strength
        light = fall[..., None] * np.array([*colour, 0])
        light += np.clip((core - distance) * density + 0.5, 0, 1)[..., None] * np.array([*LAMP, 0])
        return Sprite(np.clip(light, 0, 255).astype(np.uint8), density, (side / density / 2, side / density / 2))

    def puff(self, radius: float, colour: Colour, opacity: float, seed: int) -> Sprite:
        """A cloud of dust."""
        density = self.scale * SPRITE_DENSITY / 4
        side = max(3, round(2 * radius * density))
        axis = (np.arange(side) + 0.5) / side * 2 - 1
        distance = np.hypot(axis[:, None], axis[None])
        noise = fractal((side, side), (side / 3, side / 3), 3, np.random.default_rng(seed))
        body, rim = np.clip(1.1 - distance - 0.22 * np.abs(noise), 0, 1), np.clip(5 - 5 * distance, 0, 1)
        cover = opacity * body**1.5 * rim
        layer = cover[..., None] * np.array([*colour, 255])
        return Sprite(np.clip(layer, 0, 255).astype(np.uint8), density, (side / density / 2, side / density / 2))
