"""The demo's indoor scene: the receiving hall of a silo, with a belt that carries coal, a worker, lamps and dust.

Covers the still hall, the moving things and their motion; not the drawing tools (`tasks.demo_draw`) and not the
camera (`tasks.demo_film`). Lengths are design units (a picture of 640 x 360), times seconds.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from tasks.demo_draw import WHITE, Canvas, Picture, Point, View, fractal
from tasks.demo_plant import (
    BELT_FOOT,
    BELT_HEAD,
    BELT_LENGTH,
    DARK,
    FALL_PERIOD,
    IDLERS,
    LEAN,
    PULLEY,
    STRIP,
    YELLOW,
    belt_frame,
    chute,
    coal_strip,
    falling_strip,
    fan,
    hood,
    mouth,
    pulley,
    skirt,
    worker,
)

VANISHING = (352.0, 150.0)
BACK = (206.0, 74.0, 500.0, 216.0)
"""Left, top, right and bottom of the back wall."""
BELT_SPEED = 66.0
CHUTE = (112.0, 196.0)
"""Mouth of the chute."""
FALL_SPEED = 210.0
WORKER_SPEED, WORKER_START, WORKER_LOOP, WORKER_GROUND = 36.0, 250.0, 800.0, 344.0
STRIDE = 52.0
"""Length of a double step."""
FAN = (452.0, 118.0)
FAN_TURN = 2.4
NEAR = 3.4
"""The hall's cross-section at the camera, in sizes of the back wall in the picture."""
LAMPS: tuple[tuple[float, float], ...] = ((0.24, 0.28), (0.24, 0.72), (0.62, 0.28), (0.62, 0.72))
"""Depth (0 the camera, 1 the back wall) and share of the hall's width."""
LAMP_HEIGHT = 0.8
PUFFS, PUFF_LIFE = 9, 2.2


class Indoor:
    """The receiving hall as a function of time; see `tasks.demo_scene.Scene`."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.view = View(width, height)
        generator = np.random.default_rng(seed + 1)
        self.background = _hall(self.view, generator)
        self.coal = coal_strip(self.view, generator)
        self.fall = falling_strip(self.view, generator)
        self.view.stamp(self.background, belt_frame(self.view), BELT_FOOT, LEAN)
        self.view.stamp(self.background, chute(self.view), CHUTE)
        self.mouth, self.skirt, self.hood = mouth(self.view), skirt(self.view), hood(self.view)
        self.pulley, self.idler = pulley(self.view, PULLEY, 6), pulley(self.view, 5.0, 3)
        self.fan = fan(self.view)
        self.limbs = worker(self.view)
        self.lamp = self.view.glow(8, (255, 250, 230), 0.5, core=2.2)
        self.puffs = [self.view.puff(26, (196, 192, 184), 1.2, seed + k) for k in range(3)]
        self.haze = [self.view.puff(110, (190, 186, 178), 0.4, seed + 10 + k) for k in range(2)]

    def render(self, t: float) -> Picture:
        """The picture [h, w, 3], uint8 sRGB, at `t` seconds."""
        view, picture = self.view, self.background.copy()
        view.stamp(picture, self.fan, FAN, FAN_TURN * t)
        self._belt(picture, t)
        self._falling(picture, t)
        view.stamp(picture, self.mouth, CHUTE)
        view.stamp(picture, self.skirt, BELT_FOOT, LEAN)
        for k, cloud in enumerate(self.haze):
            x = (k * 420 + (11 + 4 * k) * t) % 860 - 110
            view.stamp(picture, cloud, (x, 200 - 60 * k + 6 * math.sin(0.5 * t + k)), size=(1.5, 0.5))
        self._worker(picture, t)
        return picture

    def _belt(self, picture: Picture, t: float) -> None:
        view = self.view
        turn = BELT_SPEED * t
        for k in range(IDLERS):
            share = (k + 0.75) / (IDLERS + 0.5)
            x, y = (BELT_FOOT[d] + (BELT_HEAD[d] - BELT_FOOT[d]) * share for d in (0, 1))
            view.stamp(picture, self.idler, (x, y - 10), turn / 5)
        window, late = view.strip(self.coal, (-turn) % STRIP, BELT_LENGTH - 26)
        along = 34 - late
        at = (
            BELT_FOOT[0] + along * math.cos(LEAN) + PULLEY * math.sin(LEAN),
            BELT_FOOT[1] + along * math.sin(LEAN) - PULLEY * math.cos(LEAN),
        )
        view.stamp(picture, window, at, LEAN)
        view.stamp(picture, self.hood, BELT_HEAD)
        for middle in (BELT_FOOT, BELT_HEAD):
            view.stamp(picture, self.pulley, middle, turn / PULLEY)

    def _falling(self, picture: Picture, t: float) -> None:
        window, late = self.view.strip(self.fall, (-FALL_SPEED * t) % FALL_PERIOD, 78)
        self.view.stamp(picture, window, (CHUTE[0], CHUTE[1] - 6 - late), math.pi / 2)
        for k in range(PUFFS):
            age = (t / PUFF_LIFE + k / PUFFS) % 1.0
            spread = math.sin(9.7 * k + 5.3 * math.floor(t / PUFF_LIFE + k / PUFFS))
            at = (CHUTE[0] + 6 + 26 * spread * age + 20 * age, CHUTE[1] + 70 - 52 * age)
            grown = 0.3 + 0.9 * age
            self.view.stamp(picture, self.puffs[k % 3], at, 2 * spread, (grown, grown), 0.9 - 0.9 * age)

    def _worker(self, picture: Picture, t: float) -> None:
        view, walked = self.view, WORKER_SPEED * t
        x = (WORKER_START + walked) % WORKER_LOOP - 60
        phase = 2 * math.pi * walked / STRIDE
        hip = (x, WORKER_GROUND - 50 - 1.2 * math.cos(2 * phase))
        shoulder = (hip[0] + 1.5, hip[1] - 33)
        view.stamp(picture, self.limbs["shadow"], (x, WORKER_GROUND + 1))
        self._arm(picture, shoulder, -0.5 * math.sin(phase + math.pi))
        for side in (math.pi, 0.0):
            swing = -0.48 * math.sin(phase + side)
            knee_bend = 0.12 + 0.5 * max(0.0, math.cos(phase + side + 0.35))
            view.stamp(picture, self.limbs["thigh"], hip, swing)
            knee = (hip[0] - 24 * math.sin(swing), hip[1] + 24 * math.cos(swing))
            view.stamp(picture, self.limbs["shin"], knee, swing + knee_bend)
        view.stamp(picture, self.limbs["body"], hip, 0.03)
        self._arm(picture, shoulder, -0.5 * math.sin(phase))

    def _arm(self, picture: Picture, shoulder: Point, swing: float) -> None:
        self.view.stamp(picture, self.limbs["arm"], shoulder, swing)
        elbow = (shoulder[0] - 17 * math.sin(swing), shoulder[1] + 17 * math.cos(swing))
        self.view.stamp(picture, self.limbs["hand"], elbow, swing - 0.45)


def _inside(depth: float, across: float, height: float) -> Point:
    """A point of the hall in the picture: depth 0 (camera) to 1 (back wall), across 0 to 1, height 0 (floor) to 1."""
    grow = NEAR / (1 + depth * (NEAR - 1))
    left, top, right, bottom = BACK
    x, y = left + (right - left) * across, bottom + (top - bottom) * height
    return VANISHING[0] + (x - VANISHING[0]) * grow, VANISHING[1] + (y - VANISHING[1]) * grow


def _hall(view: View, generator: np.random.Generator) -> Picture:
    canvas = view.still()
    shape, unit = (canvas.pixels.shape[0], canvas.pixels.shape[1]), canvas.density
    left, top, right, bottom = BACK
    stain = fractal(shape, (60 * unit, 110 * unit), 6, generator)
    grain = fractal(shape, (3 * unit, 3 * unit), 3, generator)
    wall = 1 + 0.06 * stain + 0.035 * grain
    near = [_inside(0, a, h) for a, h in ((0, 1), (1, 1), (1, 0), (0, 0))]
    far = [(left, top), (right, top), (right, bottom), (left, bottom)]
    for side, colour in enumerate(((96, 100, 104), (146, 146, 140), (142, 136, 126), (160, 158, 150))):
        a, b = side, (side + 1) % 4
        canvas.polygon([near[a], near[b], far[b], far[a]], colour)
        canvas.shade(wall.astype(np.float32), canvas.mask([near[a], near[b], far[b], far[a]]))
    canvas.polygon(far, (174, 172, 162))
    canvas.shade(wall.astype(np.float32), canvas.mask(far))
    _floor(canvas, generator)
    _walls(canvas)
    _back_wall(canvas)
    _roof(canvas)
    canvas.shade((1 + 0.03 * stain + 0.02 * grain).astype(np.float32))
    picture = view.develop(canvas)
    for depth, across in LAMPS:
        x, y = _inside(depth, across, LAMP_HEIGHT)
        size = 1.5 - 0.9 * depth
        view.shine(picture, view.glow(70 * size, (120, 116, 100), 0.75), (x, y))
        view.shine(picture, view.glow(11 * size, (255, 250, 230), 0.6, core=5.2 * size), (x, y), size=(1.5, 0.62))
    return picture


def _floor(canvas: Canvas, generator: np.random.Generator) -> None:
    shape, unit = (canvas.pixels.shape[0], canvas.pixels.shape[1]), canvas.density
    side = 1024
    concrete = fractal((side, side), (120, 120), 7, generator)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32) / unit
    depth = 1 / np.clip(rows - VANISHING[1], 20, None)
    across = (columns - VANISHING[0]) * depth * 420 + side / 2
    worn = cv2.remap(concrete, across % side, (depth * 30000) % side, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    spill = fractal(shape, (7 * unit, 3 * unit), 4, generator)
    spilled = np.exp(-(((columns - 120) / 110) ** 2) - ((rows - 326) / 20) ** 2) + 0.42 * spill > 0.85
    factor = (1 + 0.07 * worn) * np.where(spilled, 0.5 + 0.09 * spill, 1)
    floor = [_inside(0, 0, 0), _inside(0, 1, 0), _inside(1, 1, 0), _inside(1, 0, 0)]
    canvas.shade(factor.astype(np.float32), canvas.mask(floor))
    for across in (0.2, 0.4, 0.6, 0.8):
        canvas.bar(_inside(0, across, 0), _inside(1, across, 0), 1.2, (112, 108, 100), 0.4)
    for k in range(7):
        canvas.bar(_inside(k / 7, 0, 0), _inside(k / 7, 1, 0), 1.0 - 0.08 * k, (112, 108, 100))
    for across in (0.52, 0.9):
        canvas.polygon(
            [_inside(0, across, 0), _inside(0, across + 0.02, 0), _inside(1, across + 0.02, 0), _inside(1, across, 0)],
            YELLOW,
        )


def _walls(canvas: Canvas) -> None:
    """Columns and girts of the side walls, cable trays and a pipe."""
    for across in (0.0, 1.0):
        for height in (0.3, 0.62, 0.88):
            low, high = ([_inside(d, across, height + h) for d in (0.0, 1.0)] for h in (0, 0.035))
            canvas.polygon([low[0], low[1], high[1], high[0]], (124, 128, 128))
            canvas.bar(low[0], low[1], 1.4, (88, 92, 92), 0.7)
        for k in range(6):
            depth = 0.03 + k * 0.185
            inward = 0.035 if across == 0 else -0.035
            foot = [_inside(d, across + s, 0) for d, s in ((depth, 0), (depth, inward), (depth + 0.03, inward))]
            head = [_inside(d, across + s, 1) for d, s in ((depth, 0), (depth, inward), (depth + 0.03, inward))]
            canvas.polygon([foot[0], foot[1], head[1], head[0]], (112, 122, 130))
            canvas.polygon([foot[1], foot[2], head[2], head[1]], (80, 90, 98))
            band = [_inside(depth, across + s, h) for s, h in ((0, 0.04), (inward, 0.04), (inward, 0.2), (0, 0.2))]
            canvas.polygon(band, YELLOW)
            middle = [_inside(depth, across + s, h) for s, h in ((0, 0.08), (inward, 0.1), (inward, 0.14), (0, 0.12))]
            canvas.polygon(middle, (34, 34, 34))
    for width, colour in ((9.0, (150, 62, 48)), (2.4, (198, 104, 84))):
        canvas.bar(_inside(0, 1, 0.75), _inside(1, 1, 0.75), width, colour, width / NEAR)


def _back_wall(canvas: Canvas) -> None:
    left, top, right, bottom = BACK
    for k in range(1, 49):
        canvas.box(left + 6 * k, top, 0.7, bottom - top, (146, 146, 138))
    canvas.box(left, bottom - 5, right - left, 5, (96, 94, 90))
    canvas.box(238, 142, 84, 74, DARK)
    canvas.box(243, 147, 74, 69, (120, 132, 140))
    for k in range(11):
        canvas.box(243, 149 + 6 * k, 74, 1.2, (84, 94, 102))
    canvas.stripes(232, 142, 6, 74, 9)
    canvas.stripes(322, 142, 6, 74, 9)
    canvas.box(222, 92, 116, 40, (38, 42, 48))
    canvas.box(223.5, 93.5, 113, 37, (34, 74, 122))
    canvas.text("SILO 1", 280, 112, 14, WHITE)
    canvas.text("RECEIVING HALL", 280, 125.5, 7, (240, 206, 90))
    canvas.box(352, 160, 27, 56, (70, 84, 80))
    canvas.box(354, 162, 23, 54, (96, 128, 116))
    canvas.box(372, 188, 3, 3, (210, 206, 190))
    canvas.box(349, 147, 33, 10, (24, 120, 72))
    canvas.text("EXIT", 365.5, 154.8, 5.6, WHITE)
    canvas.box(396, 158, 22, 30, (196, 60, 48))
    canvas.text("FIRE", 407, 166.5, 5, WHITE)
    canvas.disc(407, 178, 6, (226, 222, 210))
    canvas.box(FAN[0] - 30, FAN[1] - 30, 60, 60, (110, 112, 110))
    canvas.disc(*FAN, 27, (56, 60, 66))
    canvas.disc(*FAN, 25, (140, 158, 172))


def _roof(canvas: Canvas) -> None:
    """Trusses across the hall, from the back to the front, and the lamps' cases."""
    for k in range(5, -1, -1):
        depth = 0.06 + k * 0.17
        thick = 5.0 - 3.2 * depth
        for height in (1.0, 0.86):
            canvas.bar(_inside(depth, 0, height), _inside(depth, 1, height), thick, (72, 80, 88))
            canvas.bar(_inside(depth, 0, height + 0.012), _inside(depth, 1, height + 0.012), thick / 3, (120, 128, 134))
        for n in range(16):
            up, down = (1.0, 0.86) if n % 2 else (0.86, 1.0)
            canvas.bar(_inside(depth, n / 16, up), _inside(depth, (n + 1) / 16, down), thick * 0.5, (80, 88, 96))
    for depth, across in LAMPS:
        x, y = _inside(depth, across, LAMP_HEIGHT)
        size = 1.5 - 0.9 * depth
        canvas.polygon(
            [(x - 9 * size, y), (x - 4 * size, y - 9 * size), (x + 4 * size, y - 9 * size), (x + 9 * size, y)],
            (66, 70, 76),
        )
        canvas.bar((x, y - 9 * size), (x, y - 24 * size), 1.2 * size, DARK)
