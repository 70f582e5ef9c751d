"""The demo's outdoor scene: an open pit seen from its haul road, with a truck, an excavator, lamps and dust.

Covers the still landscape, the moving things and their motion; not the drawing tools (`tasks.demo_draw`) and not the
camera (`tasks.demo_film`). Lengths are design units (a picture of 640 x 360), times seconds.
"""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np

from tasks.demo_draw import DESIGN, WHITE, Canvas, Colour, Field, Picture, Point, View, fractal, relief, tinted
from tasks.demo_vehicles import STEEL, WHEEL, excavator, far_truck, shadow, truck, wheel

EXPOSURE = 0.88
"""Of the landscape, so that the mean of the picture is a mid-tone."""
SKYLINE = 84.0
ROAD = 262.0
"""Where the pit's floor begins."""
BENCHES: tuple[tuple[float, float, Colour, Colour], ...] = (
    # edge at mid-picture, sag at its sides, colour of the face, colour of the berm's flat top
    (88, 10, (164, 142, 124), (196, 176, 152)),
    (116, 20, (150, 118, 94), (186, 158, 130)),
    (146, 30, (104, 98, 98), (166, 146, 128)),
    (180, 40, (148, 124, 102), (190, 164, 134)),
    (218, 44, (126, 108, 96), (182, 158, 130)),
)
TRUCK_SPEED, TRUCK_START, TRUCK_LOOP = 52.0, 130.0, 900.0
TRUCK_GROUND = 322.0
FAR_SPEED, FAR_START, FAR_LOOP, FAR_BENCH = -24.0, 420.0, 720.0, 3
MASTS: tuple[Point, ...] = ((64.0, 92.0), (404.0, 70.0))
"""Where the lamp heads hang."""
EXCAVATOR = (536.0, 262.0)
"""The ground between its tracks."""
PUFFS, PUFF_LIFE = 14, 2.6


class Outdoor:
    """The open pit as a function of time; see `tasks.demo_scene.Scene`."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.view = View(width, height)
        generator = np.random.default_rng(seed)
        self.background = _landscape(self.view, generator)
        self.wheel = wheel(self.view)
        self.truck = truck(self.view)
        self.shadow = shadow(self.view)
        self.far = far_truck(self.view)
        self.base, self.boom, self.stick, self.bucket = excavator(self.view)
        self.headlamp = self.view.glow(20, (255, 236, 190), 0.8, core=2.6)
        self.far_lamp = self.view.glow(9, (255, 236, 190), 0.8, core=1.5)
        self.beam = self.view.glow(60, (120, 104, 70), 0.7)
        self.puffs = [self.view.puff(30, (226, 208, 182), 1.25, seed + k) for k in range(4)]
        self.haze = [self.view.puff(120, (214, 198, 178), 0.55, seed + 10 + k) for k in range(3)]

    def render(self, t: float) -> Picture:
        """The picture [h, w, 3], uint8 sRGB, at `t` seconds."""
        picture = self.background.copy()
        self._far_truck(picture, t)
        self._haze(picture, t)
        self._excavator(picture, t)
        x = (TRUCK_START + TRUCK_SPEED * t) % TRUCK_LOOP - 100
        bounce = 0.7 * math.sin(8.1 * t) + 0.4 * math.sin(13.7 * t + 1)
        self._dust(picture, t, x)
        self._truck(picture, x, bounce)
        return picture

    def _truck(self, picture: Picture, x: float, bounce: float) -> None:
        view = self.view
        view.stamp(picture, self.shadow, (x, TRUCK_GROUND + 3))
        for back in (-52.0, 48.0):
            view.stamp(picture, self.wheel, (x + back, TRUCK_GROUND - WHEEL), x / WHEEL)
        view.stamp(picture, self.truck, (x, TRUCK_GROUND - 30 + bounce), 0.004 * bounce)
        view.shine(picture, self.beam, (x + 150, TRUCK_GROUND + 4), size=(1.3, 0.3))
        for dx, dy in ((88.0, -36.0), (96.0, -35.0)):
            view.shine(picture, self.headlamp, (x + dx, TRUCK_GROUND + dy + bounce))

    def _far_truck(self, picture: Picture, t: float) -> None:
        x = (FAR_START + FAR_SPEED * t) % FAR_LOOP - 40
        y = _edge(FAR_BENCH, x) + 1
        self.view.stamp(picture, self.far, (x, y))
        self.view.shine(picture, self.far_lamp, (x - 20, y - 8))

    def _excavator(self, picture: Picture, t: float) -> None:
        view, (x, y) = self.view, EXCAVATOR
        boom = -2.42 + 0.16 * math.sin(0.9 * t)
        stick = 1.95 + 0.34 * math.sin(0.9 * t + 1.3)
        bucket = 1.5 + 0.55 * math.sin(0.9 * t + 2.6)
        foot = (x - 14, y - 44)
        elbow = (foot[0] + 92 * math.cos(boom), foot[1] + 92 * math.sin(boom))
        wrist = (elbow[0] + 62 * math.cos(stick), elbow[1] + 62 * math.sin(stick))
        view.stamp(picture, self.bucket, wrist, bucket)
        view.stamp(picture, self.stick, elbow, stick)
        view.stamp(picture, self.boom, foot, boom)
        view.stamp(picture, self.base, (x, y))

    def _dust(self, picture: Picture, t: float, x: float) -> None:
        for k in range(PUFFS):
            age = (t / PUFF_LIFE + k / PUFFS) % 1.0
            born = math.floor(t / PUFF_LIFE + k / PUFFS)
            spread = math.sin(12.9 * k + 7.7 * born)
            at = (x - 70 - 95 * age + 8 * spread, TRUCK_GROUND - 4 - 26 * age - 6 * spread * age)
            grown = 0.35 + 0.9 * age
            self.view.stamp(picture, self.puffs[k % 4], at, spread + age, (grown, grown), 1.0 - age)

    def _haze(self, picture: Picture, t: float) -> None:
        for k, cloud in enumerate(self.haze):
            x = (k * 290 + (9 + 3 * k) * t) % 900 - 130
            self.view.stamp(picture, cloud, (x, 232 - 26 * k + 5 * math.sin(0.4 * t + k)), size=(1.4, 0.42))


def _edge(bench: int, x: float) -> float:
    """Height of a bench's edge at x: an amphitheatre, open towards the camera."""
    middle, sag, _, _ = BENCHES[bench]
    return middle - sag * 0.55 * ((x - 300) / 320) ** 2 + 3.0 * math.sin(x / 61 + 2.1 * bench) + sag * 0.1


def _landscape(view: View, generator: np.random.Generator) -> Picture:
    canvas = view.still()
    shape = (canvas.pixels.shape[0], canvas.pixels.shape[1])
    unit = canvas.density
    _sky(canvas, fractal(shape, (190 * unit, 26 * unit), 5, generator))
    stone = fractal(shape, (26 * unit, 34 * unit), 6, generator)
    cracks = np.abs(fractal(shape, (20 * unit, 46 * unit), 5, generator))
    light = relief(cv2.GaussianBlur(stone, (0, 0), 0.35 * unit).astype(np.float32), 0.16)
    rock = (1 + 0.09 * stone) * light * np.clip(0.62 + 1.2 * cracks, 0.62, 1.0)
    xs = np.linspace(-4, DESIGN[0] + 4, 120)
    for k, (_, _, face, flat) in enumerate(BENCHES):
        jag = generator.normal(0, 0.7, xs.size)
        edge = [(float(x), _edge(k, x) + float(j)) for x, j in zip(xs, jag, strict=True)]
        canvas.polygon([*edge, (644, 300), (-4, 300)], flat)
        depth = 3.5 + 1.1 * k
        lip = [(x, y + depth + 1.3 * math.sin(x / 23 + k)) for x, y in edge]
        wall = [*lip, (644.0, 300.0), (-4.0, 300.0)]
        canvas.shade(1 + 0.1 * stone, canvas.mask([*edge, *lip[::-1]]))
        inside = canvas.mask(wall)
        canvas.polygon(wall, face)
        fade = np.linspace(1.08, 0.92, shape[0], dtype=np.float32)[:, None]
        canvas.shade((rock * fade).astype(np.float32), inside)
        for left, right in pairwise(lip):
            canvas.bar(left, right, 0.9, tinted(face, 0.55))
    _mist(canvas)
    _floor(canvas, generator)
    for mast in MASTS:
        _mast(canvas, mast)
    _signs(canvas)
    picture: Picture = cv2.convertScaleAbs(view.develop(canvas), alpha=EXPOSURE).astype(np.uint8)
    for x, y in MASTS:
        view.shine(picture, view.glow(74, (150, 136, 104), 0.8), (x, y))
        for k in range(4):
            view.shine(picture, view.glow(13, (255, 240, 205), 0.6, core=2.9), (x - 13.5 + 9 * k, y))
    return picture


def _sky(canvas: Canvas, clouds: Field) -> None:
    rows = np.linspace(0, DESIGN[1] / 120, clouds.shape[0], dtype=np.float32)[:, None, None].clip(0, 1)
    high, low = np.array([112, 142, 178], np.float32), np.array([226, 190, 152], np.float32)
    colours = high + (low - high) * rows**1.2
    cover = np.clip(clouds * 0.4 + 0.1, 0, 0.75)[..., None]
    colours = colours + (np.array([226, 204, 188], np.float32) - colours) * cover
    canvas.fill(canvas.mask([(0, 0), (640, 0), (640, 130), (0, 130)]), colours.astype(np.float32))


def _mist(canvas: Canvas) -> None:
    """Distance takes contrast away: far benches lean towards the sky's colour."""
    rows = np.arange(canvas.pixels.shape[0], dtype=np.float32)[:, None, None] / canvas.density
    share = np.clip(0.34 * (1 - np.abs(rows - SKYLINE) / np.where(rows < SKYLINE, 45, 150)), 0, 0.34)
    pixels = canvas.pixels[..., :3].astype(np.float32)
    canvas.pixels[..., :3] = (pixels + (np.array([204, 186, 170], np.float32) - pixels) * share).astype(np.uint8)


def _floor(canvas: Canvas, generator: np.random.Generator) -> None:
    """Gravel in perspective, wheel tracks, and the safety berm along the road."""
    shape, unit = (canvas.pixels.shape[0], canvas.pixels.shape[1]), canvas.density
    side = 1024
    gravel = fractal((side, side), (60, 40), 7, generator)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32) / unit
    depth = 1 / np.clip(rows - 196, 8, None)
    across = ((columns - 300) * depth * 700 + side / 2) % side
    along = (depth * 46000) % side
    ground = cv2.remap(gravel, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    fine = fractal(shape, (2.6 * unit, 1.5 * unit), 3, generator)
    stones = np.clip(fractal(shape, (5 * unit, 3 * unit), 2, generator) - 1.5, 0, 0.8)
    light = relief(cv2.GaussianBlur(ground, (0, 0), 0.3 * unit).astype(np.float32), 0.07)
    bright = (1 + 0.06 * ground + 0.08 * fine + 0.35 * stones) * light
    colours = np.array([168, 146, 122], np.float32) * bright[..., None]
    tread = 1 + 0.3 * np.sin(columns * 1.1 + rows * 1.3)
    for middle, width in ((304, 5.0), (318, 6.5), (334, 7.0), (349, 8.0)):
        dip = np.exp(-(((rows - middle - 3 * np.sin(columns / 90)) / width) ** 2)) * tread
        colours *= (1 - 0.2 * dip)[..., None]
    canvas.fill(canvas.mask([(0, ROAD), (640, ROAD - 4), (640, 360), (0, 360)]), colours)
    heap = fractal(shape, (9 * unit, 7 * unit), 5, generator)
    light = relief(cv2.GaussianBlur(heap, (0, 0), 0.3 * unit).astype(np.float32), 0.2)
    xs = np.linspace(-4, 644, 110)
    ridge = [
        (float(x), ROAD - 13 + 3.4 * math.sin(x / 17) * math.sin(x / 41) + float(generator.normal(0, 0.8))) for x in xs
    ]
    for points, colour in (
        ([*ridge, (644.0, ROAD + 9), (-4.0, ROAD + 10)], (148, 124, 102)),
        (_heap_outline(generator), (112, 104, 100)),
    ):
        canvas.polygon(points, colour)
        slope = np.clip(1.16 - (rows - ROAD + 12) / 60, 0.78, 1.2)
        canvas.shade(((1 + 0.1 * heap) * light * slope).astype(np.float32), canvas.mask(points))


def _heap_outline(generator: np.random.Generator) -> list[Point]:
    """The muck pile that the excavator digs in."""
    xs = np.linspace(352, 500, 40)
    return [
        (float(x), ROAD + 10 - 44 * math.sin(math.pi * (x - 352) / 148) ** 1.3 + float(generator.normal(0, 1)))
        for x in xs
    ]


def _mast(canvas: Canvas, head: Point) -> None:
    x, y = head
    foot = ROAD - 6
    canvas.bar((x - 3.2, foot), (x - 1.2, y), 1.6, STEEL)
    canvas.bar((x + 3.2, foot), (x + 1.2, y), 1.6, STEEL)
    steps = 14
    for k in range(steps):
        low, high = (foot + (y - foot) * (k + d) / steps for d in (0, 1))
        canvas.bar((x - 3, low), (x + 2.4, high), 0.9, STEEL)
    canvas.box(x - 8, foot - 2, 16, 7, (150, 146, 138))
    canvas.box(x - 19, y - 5, 38, 10, (58, 60, 64))
    for k in range(4):
        canvas.disc(x - 13.5 + 9 * k, y, 4.2, (30, 32, 36))


def _signs(canvas: Canvas) -> None:
    for x in (152, 250):
        canvas.box(x, 196, 3.4, 74, STEEL)
    canvas.box(142, 188, 122, 44, (40, 44, 50))
    canvas.box(143.5, 189.5, 119, 41, (30, 92, 74))
    canvas.text("NORTH FACE", 203, 207, 11, WHITE)
    canvas.text("BENCH 4  +1184 m", 203, 223, 8, (240, 206, 90))
    canvas.box(318, 226, 2.6, 46, STEEL)
    canvas.disc(319.3, 222, 14, (196, 44, 40))
    canvas.disc(319.3, 222, 10.6, WHITE)
    canvas.text("30", 319.3, 226.4, 9, (28, 28, 30))
    for x in (24, 112, 286, 358, 446, 622):
        canvas.stripes(x, 246, 4.4, 27, 9, dark=(176, 40, 36))
    canvas.stripes(566, 268, 74, 9, 12)
    for x in (572, 628):
        canvas.box(x, 277, 3, 12, STEEL)
