"""Figures of a benchmark as a picture: bars, panel below panel, as the bytes of a PNG.

Covers the drawing, with OpenCV alone. Not covered: what is measured (`lednet.bench`, `tasks.bench_item`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, ROW, TITLE = 760, 24, 34
"""Of a panel, of a bar's line and of a title's, in pixels."""

LABEL, FIGURE = 230, 90
"""Columns left for a bar's name and, to its right, for its figure."""

INK, BAR = (40, 40, 40), (200, 140, 60)
"""BGR."""


@dataclass(frozen=True)
class Bars:
    """One panel."""

    title: str
    """What is shown, with its unit."""
    values: Mapping[str, float]
    """Figures by their names, 0 or more."""


def bars_picture(panels: Sequence[Bars]) -> bytes:
    """The panels that hold anything as the bytes of a PNG. Raises ValueError if none does."""
    drawn = [draw(panel) for panel in panels if panel.values]
    if not drawn:
        raise ValueError("no figures to draw")
    done, png = cv2.imencode(".png", np.concatenate(drawn))
    assert done
    return png.tobytes()


def draw(panel: Bars) -> NDArray[np.uint8]:
    """One panel, its longest bar as long as there is room: uint8 BGR [height, WIDTH, 3]."""
    picture = np.full((TITLE + ROW * len(panel.values) + ROW // 2, WIDTH, 3), 255, np.uint8)
    _write(picture, panel.title, 8, TITLE - 12)
    most = max(panel.values.values()) or 1.0
    for i, (name, value) in enumerate(panel.values.items()):
        top = TITLE + ROW * i
        length = round(value / most * (WIDTH - LABEL - FIGURE))
        cv2.rectangle(picture, (LABEL, top + 4), (LABEL + length, top + ROW - 4), BAR, -1)
        _write(picture, name, 8, top + ROW - 8)
        _write(picture, f"{value:.3g}", LABEL + length + 8, top + ROW - 8)
    return picture


def _write(picture: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
