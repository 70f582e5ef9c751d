"""The things of the demo's indoor scene, as sprites: the belt with its coal, chute, hood, fan and a worker.

Covers how they look and where the belt stands; how they move is `tasks.demo_indoor`'s. Lengths are design units.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from tasks.demo_draw import WHITE, Canvas, Colour, Picture, Point, Sprite, View, tinted

BELT_FOOT, BELT_HEAD = (86.0, 290.0), (566.0, 214.0)
"""Middle of the tail and of the head pulley."""
LEAN = math.atan2(BELT_HEAD[1] - BELT_FOOT[1], BELT_HEAD[0] - BELT_FOOT[0])
BELT_LENGTH = math.hypot(BELT_HEAD[0] - BELT_FOOT[0], BELT_HEAD[1] - BELT_FOOT[1])
PULLEY = 15.0
STRIP = 240.0
"""Period of the coal on the belt."""
IDLERS = 7
FALL_PERIOD = 160.0
"""Period of the coal that falls."""
YELLOW: Colour = (224, 178, 48)
STEEL: Colour = (92, 100, 108)
DARK: Colour = (52, 56, 62)
COAL: Colour = (54, 54, 58)
VEST: Colour = (230, 128, 36)


def _lumps(canvas: Canvas, generator: np.random.Generator, count: int, length: float, rows: Point) -> None:
    """Lumps of coal at random along x, the same again a period later."""
    for _ in range(count):
        x, y = float(generator.uniform(0, length)), float(generator.uniform(*rows))
        radius, tone = float(generator.uniform(2.2, 5.4)), float(generator.uniform(0.7, 1.5))
        turns = np.sort(generator.uniform(0, 2 * math.pi, 7))
        reach = generator.uniform(0.75, 1.1, 7) * radius
        outline = [(r * math.cos(a), 0.8 * r * math.sin(a)) for r, a in zip(reach, turns, strict=True)]
        shades = [tinted(COAL, tone * s) for s in (0.8, 1.15, 1.9)]
        for shift in (0.0, STRIP, 2 * STRIP, 3 * STRIP):
            for size, lift, shade in zip((1.0, 0.72, 0.34), (0.0, 0.7, 1.2), shades, strict=True):
                left, top = x + shift - lift * 0.6, y - lift
                canvas.polygon([(left + px * size, top + py * size) for px, py in outline], shade)


def coal_strip(view: View, generator: np.random.Generator) -> Sprite:
    """The belt's edge and the coal on it, three periods long; its pivot is the left end of the belt's upper face."""
    canvas = view.canvas(3.2 * STRIP, 24)
    canvas.box(0, 14, 3.2 * STRIP, 7, COAL)
    _lumps(canvas, generator, 110, STRIP, (9, 17))
    _lumps(canvas, generator, 16, STRIP, (6, 9))
    canvas.box(0, 19, 3.2 * STRIP, 4, (40, 40, 42))
    for k in range(int(3.2 * STRIP / 40)):
        canvas.box(40 * k, 19.8, 7, 2.2, (206, 200, 186))
    return view.sprite(canvas, (0, 21))


def falling_strip(view: View, generator: np.random.Generator) -> Sprite:
    """Falling coal, along x, to be turned downwards."""
    canvas = view.canvas(2 * FALL_PERIOD, 40)
    for _ in range(260):
        x, y = float(generator.uniform(0, FALL_PERIOD)), float(generator.normal(20, 6))
        radius, tone = float(generator.uniform(0.7, 3.0)), int(generator.uniform(40, 92))
        for shift in (-FALL_PERIOD, 0.0, FALL_PERIOD, 2 * FALL_PERIOD):
            canvas.disc(x + shift, y, radius, (tone, tone, tone + 3))
    return view.sprite(canvas, (0, 20))


def belt_frame(view: View) -> Sprite:
    """The conveyor's frame, along x from its tail pulley."""
    length = BELT_LENGTH
    canvas = view.canvas(length + 60, 150)
    x, y = 30.0, 30.0
    for k in range(5):
        foot = x + 40 + k * (length - 70) / 4
        drop = (foot - x) * math.tan(-LEAN) * 1.0 + 24
        canvas.bar((foot, y), (foot + drop * math.tan(LEAN), y + drop), 4.5, STEEL)
        canvas.bar((foot + 12, y), (foot + drop * math.tan(LEAN), y + drop), 2.2, (74, 82, 90))
    canvas.box(x, y + PULLEY - 3, length, 3.0, (46, 46, 48))
    canvas.box(x, y - PULLEY - 4, 60, 4, (40, 40, 42))
    for k in range(IDLERS):
        canvas.box(x + length * (k + 0.75) / (IDLERS + 0.5) - 2, y - 12, 4, 8, STEEL)
    canvas.box(x - 6, y - 7, length + 12, 11, (70, 104, 128))
    canvas.box(x - 6, y - 7, length + 12, 2, (116, 150, 172))
    canvas.box(x - 6, y + 2.5, length + 12, 2, (46, 72, 92))
    for k in range(int(length / 24)):
        canvas.disc(x + 6 + 24 * k, y - 1, 1.1, (170, 186, 196))
    canvas.box(x + 196, y - 5.5, 66, 8.5, WHITE)
    canvas.text("BELT B-1", x + 229, y + 1.6, 6, (150, 34, 30))
    canvas.stripes(x + 300, y - 5.5, 60, 8.5, 10)
    canvas.weather(0.05, 12, 5)
    return view.sprite(canvas, (x, y))


def pulley(view: View, radius: float, spokes: int) -> Sprite:
    """A wheel with spokes, one of them painted, so that its turning shows."""
    canvas = view.canvas(2 * radius + 4, 2 * radius + 4)
    middle = radius + 2
    canvas.disc(middle, middle, radius, (46, 48, 52))
    canvas.disc(middle, middle, radius * 0.86, (150, 156, 160))
    canvas.disc(middle, middle, radius * 0.72, (70, 76, 84))
    for k in range(spokes):
        turn = 2 * math.pi * k / spokes
        tip = (middle + radius * 0.8 * math.cos(turn), middle + radius * 0.8 * math.sin(turn))
        canvas.bar((middle, middle), tip, radius * 0.2, YELLOW if k == 0 else (176, 180, 182))
    canvas.disc(middle, middle, radius * 0.28, (196, 60, 48))
    return view.sprite(canvas, (middle, middle))


def fan(view: View) -> Sprite:
    """The ventilator's blades."""
    canvas = view.canvas(52, 52)
    for k in range(5):
        a = 2 * math.pi * k / 5
        blade = ((4, -0.5), (23, -0.32), (24, 0.34), (4, 0.5))
        points = [(26 + r * math.cos(a + d), 26 + r * math.sin(a + d)) for r, d in blade]
        canvas.polygon(points, (84, 92, 100))
        canvas.bar(points[0], points[1], 1.4, (156, 164, 170))
    canvas.disc(26, 26, 5, (52, 56, 60))
    return view.sprite(canvas, (26, 26))


def chute(view: View) -> Sprite:
    """The chute and its skirt; its pivot is the middle of its mouth."""
    canvas = view.canvas(120, 240)
    x, y = 60.0, 206.0
    canvas.polygon(
        [(x - 44, 0), (x + 44, 0), (x + 44, y - 90), (x + 24, y - 22), (x - 24, y - 22), (x - 44, y - 90)],
        (128, 136, 140),
    )
    canvas.polygon([(x + 16, 0), (x + 44, 0), (x + 44, y - 90), (x + 24, y - 22), (x + 8, y - 22)], (98, 106, 112))
    for height in (40, 84, 116):
        canvas.box(x - 47, height, 94, 5, (76, 84, 92))
        for k in range(9):
            canvas.disc(x - 42 + 10.5 * k, height + 2.5, 1.2, (180, 186, 188))
    canvas.text("CHUTE A", x - 6, 76, 11, (40, 44, 48))
    canvas.text("KEEP CLEAR", x - 1, 106, 7, (170, 38, 32))
    canvas.weather(0.08, 26, 6)
    return view.sprite(canvas, (x, y))


def mouth(view: View) -> Sprite:
    """The end of the chute, which the coal comes out of."""
    canvas = view.canvas(60, 30)
    canvas.box(4, 4, 52, 20, (84, 92, 98))
    canvas.stripes(4, 18, 52, 8, 11)
    return view.sprite(canvas, (30, 26))


def skirt(view: View) -> Sprite:
    """Boards that keep the coal on the belt where it lands; placed as the belt's frame is."""
    canvas = view.canvas(90, 40)
    canvas.polygon([(4, 4), (78, 10), (78, 26), (4, 26)], (112, 92, 70))
    canvas.polygon([(4, 4), (78, 10), (78, 12.4), (4, 6.4)], (160, 136, 108))
    for k in range(5):
        canvas.box(10 + 15 * k, 5 + 1.2 * k, 2.4, 21 - 1.2 * k, (78, 64, 50))
    canvas.weather(0.1, 10, 7)
    return view.sprite(canvas, (8, 45))


def hood(view: View) -> Sprite:
    """The box around the belt's head and the spout below it; its pivot is the pulley's axle."""
    canvas = view.canvas(90, 120)
    x, y = 40.0, 48.0
    canvas.polygon(
        [
            (x - 24, y - 34),
            (x + 16, y - 40),
            (x + 32, y - 26),
            (x + 32, y + 26),
            (x + 24, y + 58),
            (x + 4, y + 58),
            (x - 2, y + 24),
            (x - 24, y - 4),
        ],
        (118, 126, 130),
    )
    canvas.polygon(
        [(x + 18, y - 39), (x + 32, y - 26), (x + 32, y + 26), (x + 24, y + 58), (x + 16, y + 58), (x + 20, y + 22)],
        (92, 100, 106),
    )
    canvas.bar((x - 24, y - 34), (x + 16, y - 40), 2.4, (160, 166, 168))
    canvas.box(x + 2, y + 54, 25, 5, YELLOW)
    canvas.text("B-1", x + 4, y - 22, 8, (40, 44, 48))
    canvas.weather(0.07, 16, 8)
    return view.sprite(canvas, (x, y))


def worker(view: View) -> dict[str, Sprite]:
    """Limbs that hang down from their pivots; the worker looks to the right."""
    trousers, cloth, skin = (52, 62, 88), (44, 54, 78), (206, 160, 128)
    thigh = view.canvas(16, 34)
    thigh.bar((8, 3), (8, 30), 12, trousers, 9)
    thigh.disc(8, 28, 4.5, trousers)
    shin = view.canvas(22, 36)
    shin.bar((8, 3), (8, 26), 9, trousers, 7.5)
    shin.disc(8, 4, 4.4, trousers)
    shin.box(3.8, 14, 8.4, 3, (214, 216, 210))
    shin.polygon([(4, 24), (12, 24), (13, 26.5), (18.5, 28), (19, 31), (4, 31)], (62, 46, 34))
    arm = view.canvas(14, 28)
    arm.bar((7, 4), (7, 22), 8.5, VEST, 7)
    arm.disc(7, 5, 4.6, VEST)
    arm.box(3.2, 13, 7.6, 2.6, (226, 228, 222))
    hand = view.canvas(14, 26)
    hand.bar((7, 3), (7, 17), 6.6, cloth, 5.4)
    hand.disc(7, 4, 3.5, cloth)
    hand.disc(7, 19, 3.4, (222, 196, 70))
    body = view.canvas(40, 74)
    body.box(17, 18, 6, 8, skin)
    body.polygon([(12, 25), (17, 22), (25, 22), (29, 26), (29, 62), (12, 62)], VEST)
    body.box(12, 36, 17, 4, (228, 230, 224))
    body.box(12, 50, 17, 4, (228, 230, 224))
    body.box(18, 23, 3.4, 39, (226, 222, 90))
    body.disc(21, 14, 7.2, skin)
    body.polygon(
        [(12.4, 12), (13.5, 6.5), (17.5, 3.4), (22.5, 3), (27, 5.6), (29, 9.4), (33, 11.4), (33, 12.8), (12.4, 12.8)],
        (232, 206, 52),
    )
    body.box(25.4, 12.8, 3.2, 2.6, (60, 60, 62))
    shadow = view.puff(9, (40, 36, 34), 0.9, 0)
    wide: Picture = cv2.resize(shadow.pixels, None, fx=2.6, fy=0.5, interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    blot = Sprite(wide, shadow.density, (wide.shape[1] / shadow.density / 2, wide.shape[0] / shadow.density / 2))
    return {
        "thigh": view.sprite(thigh, (8, 4)),
        "shin": view.sprite(shin, (8, 4)),
        "arm": view.sprite(arm, (7, 5)),
        "hand": view.sprite(hand, (7, 4)),
        "body": view.sprite(body, (20, 60)),
        "shadow": blot,
    }
