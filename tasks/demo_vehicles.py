"""The vehicles of the demo's outdoor scene, as sprites: haul trucks and an excavator.

Covers how they look; how they move is `tasks.demo_outdoor`'s. Lengths are design units.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from tasks.demo_draw import WHITE, Colour, Picture, Sprite, View

WHEEL = 23.0
"""Radius of the truck's wheels."""
YELLOW: Colour = (226, 172, 44)
SHADE: Colour = (172, 122, 28)
STEEL: Colour = (74, 78, 84)
RUBBER: Colour = (48, 47, 48)
GLASS: Colour = (92, 122, 142)
ORANGE: Colour = (206, 92, 38)


def wheel(view: View) -> Sprite:
    """A wheel of the truck, with a white mark on its tyre, so that its turning shows."""
    canvas = view.canvas(2 * WHEEL + 4, 2 * WHEEL + 4)
    middle = WHEEL + 2
    for k in range(26):
        turn = 2 * math.pi * k / 26
        rim = (middle + WHEEL * math.cos(turn), middle + WHEEL * math.sin(turn))
        canvas.bar((middle, middle), rim, 3.4, (36, 35, 36))
    canvas.disc(middle, middle, WHEEL - 1.4, RUBBER)
    canvas.disc(middle, middle, WHEEL - 6, (66, 64, 63))
    canvas.disc(middle, middle, 12.4, SHADE)
    canvas.disc(middle, middle, 11.2, YELLOW)
    for k in range(5):
        turn = 2 * math.pi * k / 5
        canvas.disc(middle + 7.4 * math.cos(turn), middle + 7.4 * math.sin(turn), 2.5, (70, 58, 34))
    canvas.disc(middle, middle, 3.6, STEEL)
    canvas.box(middle - 0.9, middle - 20.5, 1.8, 5, WHITE)
    return view.sprite(canvas, (middle, middle))


def shadow(view: View) -> Sprite:
    """The truck's shadow on the road."""
    blot = view.puff(20, (30, 26, 24), 0.0, 0)
    side = blot.pixels.shape[0]
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    cover = np.clip(1 - np.hypot(axis[:, None], axis[None]), 0, 0.5) * 1.2
    layer = cover[..., None] * np.array([34, 28, 24, 255])
    small = layer.astype(np.uint8)
    wide: Picture = cv2.resize(small, (side * 6, max(2, side // 2)), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return Sprite(wide, blot.density, (wide.shape[1] / blot.density / 2, wide.shape[0] / blot.density / 2))


def truck(view: View) -> Sprite:
    """A haul truck that drives to the right; its pivot is on the frame, between the wheels."""
    canvas = view.canvas(220, 112)
    x, y = 112.0, 84.0
    heap = [
        (x - 84, y - 52),
        (x - 66, y - 64),
        (x - 44, y - 70),
        (x - 20, y - 76),
        (x + 6, y - 74),
        (x + 26, y - 64),
        (x + 34, y - 52),
    ]
    canvas.polygon(heap, (92, 84, 80))
    canvas.weather(0.28, 5, 1)
    canvas.box(x - 86, y - 6, 176, 9, STEEL)
    canvas.polygon([(x - 24, y + 3), (x + 22, y + 3), (x + 16, y + 14), (x - 18, y + 14)], (62, 64, 68))
    bed = [
        (x - 100, y - 58),
        (x + 40, y - 52),
        (x + 42, y - 70),
        (x + 96, y - 70),
        (x + 96, y - 64),
        (x + 52, y - 62),
        (x + 44, y - 26),
        (x + 22, y - 12),
        (x - 62, y - 10),
        (x - 98, y - 40),
    ]
    canvas.polygon(bed, YELLOW)
    for k in range(7):
        canvas.bar((x - 84 + 19 * k, y - 55 + 0.9 * k), (x - 74 + 15 * k, y - 13), 3.4, SHADE)
    canvas.bar((x - 100, y - 58), (x + 40, y - 52), 3.0, (240, 196, 76))
    canvas.polygon([(x + 48, y - 8), (x + 52, y - 40), (x + 98, y - 40), (x + 104, y - 6)], YELLOW)
    canvas.polygon([(x + 56, y - 42), (x + 56, y - 61), (x + 84, y - 61), (x + 88, y - 42)], (206, 154, 36))
    canvas.polygon([(x + 60, y - 44), (x + 60, y - 58), (x + 70, y - 58), (x + 70, y - 44)], GLASS)
    canvas.polygon([(x + 73, y - 44), (x + 73, y - 58), (x + 81, y - 58), (x + 84, y - 44)], (128, 160, 178))
    canvas.box(x + 78, y - 34, 18, 24, (58, 58, 58))
    for k in range(6):
        canvas.box(x + 79, y - 32.5 + 3.8 * k, 16, 1.5, (120, 118, 112))
    for k in range(5):
        canvas.box(x + 62, y - 34 + 6 * k, 10, 1.6, (90, 74, 36))
    canvas.stripes(x + 74, y - 8, 32, 7, 9)
    canvas.box(x + 86, y - 53, 16, 1.3, STEEL)
    canvas.box(x + 100, y - 53, 1.3, 14, STEEL)
    canvas.text("07", x - 6, y - 28, 15, (44, 40, 36))
    canvas.text("HAUL", x + 30, y - 40, 5, (60, 44, 20))
    canvas.box(x - 92, y - 4, 5, 5, (206, 40, 34))
    canvas.weather(0.05, 16, 2)
    return view.sprite(canvas, (x, y))


def far_truck(view: View) -> Sprite:
    """A haul truck on a far bench that drives to the left."""
    canvas = view.canvas(52, 30)
    canvas.polygon([(6, 10), (14, 7), (48, 9), (44, 20), (18, 21)], (214, 168, 64))
    canvas.polygon([(18, 10), (26, 5), (38, 6), (44, 10)], (96, 88, 84))
    canvas.polygon([(4, 23), (5, 13), (17, 11), (19, 23)], (200, 152, 50))
    canvas.box(8, 10, 7, 4, GLASS)
    for x in (13, 38):
        canvas.disc(x, 23.5, 5.2, RUBBER)
        canvas.disc(x, 23.5, 2.2, SHADE)
    return view.sprite(canvas, (26, 28.5))


def excavator(view: View) -> tuple[Sprite, Sprite, Sprite, Sprite]:
    """Base with cab, boom, stick and bucket; the last three lie along x from their pivots."""
    base = view.canvas(130, 84)
    base.polygon([(22, 62), (108, 62), (116, 72), (108, 82), (22, 82), (14, 72)], (52, 50, 50))
    for k in range(15):
        base.box(20 + 6 * k, 80, 3, 4, (34, 33, 33))
    for k in range(5):
        base.disc(30 + 17.5 * k, 72, 6, (92, 88, 84))
        base.disc(30 + 17.5 * k, 72, 2.4, (46, 44, 44))
    base.box(48, 56, 36, 8, STEEL)
    base.polygon([(30, 58), (30, 36), (66, 30), (118, 34), (122, 58)], ORANGE)
    base.polygon([(102, 58), (102, 34), (118, 34), (122, 58)], (152, 66, 28))
    base.polygon([(30, 56), (32, 16), (60, 14), (62, 56)], ORANGE)
    base.polygon([(34, 40), (36, 19), (45, 18.5), (45, 40)], GLASS)
    base.polygon([(48, 40), (48, 18.3), (57, 18), (58, 40)], (128, 158, 174))
    for k in range(5):
        base.box(72 + 5.4 * k, 40, 2.4, 13, (84, 48, 30))
    base.text("EX 3", 86, 38.2, 5.5, WHITE)
    base.weather(0.06, 14, 3)
    boom = view.canvas(106, 26)
    boom.polygon([(2, 13), (8, 7), (48, 2), (96, 9), (101, 13), (96, 17), (48, 18), (8, 19)], ORANGE)
    boom.bar((14, 16), (56, 19), 4.0, (196, 196, 192), 2.6)
    boom.bar((10, 10), (46, 6), 1.4, (150, 64, 26))
    boom.disc(6, 13, 4, STEEL)
    boom.disc(98, 13, 3.6, STEEL)
    stick = view.canvas(76, 20)
    stick.polygon([(2, 10), (10, 3), (66, 7), (70, 10), (66, 13), (10, 17)], (192, 84, 34))
    stick.bar((12, 5), (50, 5), 2.6, (196, 196, 192), 1.8)
    stick.disc(6, 10, 3, STEEL)
    stick.disc(67, 10, 2.8, STEEL)
    bucket = view.canvas(46, 44)
    for k in range(3):
        bucket.polygon([(31 + 4 * k, 14), (33.5 + 4 * k, 3), (35 + 4 * k, 14)], (186, 182, 174))
    shell = [(3, 20), (9, 11), (20, 15), (32, 11), (43, 11), (43, 24), (36, 36), (22, 41), (9, 36)]
    bucket.polygon(shell, (98, 94, 90))
    bucket.polygon([(13, 30), (24, 34), (36, 27), (38, 14), (32, 13), (30, 22)], (64, 62, 62))
    bucket.disc(9, 17, 3, STEEL)
    return (
        view.sprite(base, (66, 82)),
        view.sprite(boom, (6, 13)),
        view.sprite(stick, (6, 10)),
        view.sprite(bucket, (9, 17)),
    )
