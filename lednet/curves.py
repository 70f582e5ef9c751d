"""The curves of a training run as a picture: `curves.png` from `metrics.jsonl`.

Covers the drawing: the loss, the PSNR of the training batches, and under each recipe that of the held-out clips beside
the tone curve alone and the fixed gamma. Not covered: what the figures are (`lednet.trainer`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, MARGIN, LINE = 720, 260, 56, 18
"""Of one panel, in pixels."""

INK, PALE = (40, 40, 40), (225, 225, 225)
COLOURS = ((160, 90, 0), (0, 110, 220), (60, 150, 40), (140, 60, 160), (90, 90, 90), (0, 160, 190))
"""BGR."""

VALIDATED = {
    "psnr_lednet": "LEDNet",
    "psnr_peer": "peer",
    "psnr_curve": "tone curve alone",
    "psnr_gamma": "best fixed gamma",
}

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One set of axes: curves by their names, each (step, value)."""

    title: str
    curves: dict[str, Points]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, by step; of a step that was done twice after an interruption, the later ones.

    What a killed run left of a line, perhaps with the next one behind it, is passed over, and so is whatever a machine
    that lost its power left.
    """
    kept: dict[tuple[float, bool], dict[str, Any]] = {}
    for text in path.read_bytes().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            kept[line["step"], "validation" in line] = line
    return [kept[key] for key in sorted(kept)]


def panels(lines: Sequence[dict[str, Any]]) -> list[Panel]:
    """What is drawn: loss, PSNR of the batches, and a panel for each recipe that was validated under.

    Without values that are not finite, of a step that diverged, since they have no place on an axis.
    """
    steps = [line for line in lines if "loss" in line]
    drawn = [
        Panel("loss", {"training batches": [(line["step"], line["loss"]) for line in steps]}),
        Panel("PSNR, dB", {"training batches": [(line["step"], line["psnr"]) for line in steps]}),
    ]
    validated = [(line["step"], line["validation"].get("recipes", {})) for line in lines if "validation" in line]
    for recipe in dict.fromkeys(name for _, recipes in validated for name in recipes):
        curves = {
            title: [(step, recipes[recipe][key]) for step, recipes in validated if key in recipes.get(recipe, {})]
            for key, title in VALIDATED.items()
        }
        drawn.append(Panel(f"PSNR on held-out clips, {recipe}, dB", curves))
    drawn = [Panel(p.title, {name: _finite(curve) for name, curve in p.curves.items()}) for p in drawn]
    return [panel for panel in drawn if any(panel.curves.values())]


def _finite(curve: Points) -> Points:
    return [(step, value) for step, value in curve if math.isfinite(value)]


def draw(panel: Panel) -> NDArray[np.uint8]:
    """One panel: uint8 BGR [HEIGHT, WIDTH, 3]."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    points = np.array([p for curve in panel.curves.values() for p in curve], float)
    low, high = points.min(0), points.max(0)
    high = np.where(high > low, high, low + 1)
    corner, size = np.array([MARGIN, HEIGHT - MARGIN]), np.array([WIDTH - 2 * MARGIN, 2 * MARGIN - HEIGHT])

    def place(step: float, value: float) -> tuple[int, int]:
        x, y = corner + size * (np.array([step, value]) - low) / (high - low)
        return round(x), round(y)

    for share in (0, 0.5, 1):
        step, value = low + share * (high - low)
        cv2.line(picture, place(low[0], value), place(high[0], value), PALE, 1)
        _write(picture, f"{value:.4g}", (4, place(step, value)[1] + 4), INK)
        _write(picture, f"{step:.0f}", (place(step, value)[0] - 12, HEIGHT - MARGIN + LINE), INK)
    _write(picture, panel.title, (MARGIN, LINE), INK)
    for i, (name, curve) in enumerate((n, c) for n, c in panel.curves.items() if c):
        colour = COLOURS[i % len(COLOURS)]
        line = np.array([place(*point) for point in curve], np.int32)
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
        cv2.circle(picture, [int(v) for v in line[-1]], 3, colour, -1, cv2.LINE_AA)
        _write(picture, f"{name} {curve[-1][1]:.4g}", (MARGIN + 160 * i, HEIGHT - LINE // 2), colour)
    return picture


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)


def curves_picture(metrics: Path) -> bytes | None:
    """A run's curves as the bytes of a PNG, panels one below the other; None while nothing has been measured."""
    drawn = [draw(panel) for panel in panels(read_metrics(metrics))]
    if not drawn:
        return None
    done, png = cv2.imencode(".png", np.concatenate(drawn))
    assert done
    return png.tobytes()
