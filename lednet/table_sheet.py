"""The comparison as pictures: side-by-side crops of a bright part, a dark part and a moving edge, a row a method.

Covers where the crops are cut and the sheet that is drawn of them. They are chosen by rule, from the input and the
reference alone, so that no method's best or worst place is picked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lednet.table_pairs import Example

SIDE = 112
GAP, NAME_WIDTH, HEAD_HEIGHT = 4, 250, 40
QUALITY = 92


def choose_crops(example: Example) -> dict[str, tuple[slice, slice]]:
    """Where the input is brightest, where it is darkest, and where motion took most of an edge: squares of `SIDE`."""
    height, width = example.reference.shape[2:]
    side = min(SIDE, height, width)
    light = example.degraded.mean(1, keepdim=True)
    grey = example.reference.mean(1, keepdim=True)
    edges = _edges(grey)
    # Blur is told by the edges that the input has less of, at the reference's brightness.
    lost = (edges - _edges(light * grey.mean() / light.mean().clamp_min(1e-3))).clamp_min(0)
    # A dark place is of interest where the reference shows something there.
    detail = F.avg_pool2d(edges, side, 8)
    score = {
        "bright part": F.avg_pool2d(light, side, 8),
        "dark part": detail.clamp_max(float(detail.median())) - F.avg_pool2d(light, side, 8),
        "moving edge": F.avg_pool2d(lost, side, 8),
    }
    crops = {}
    for name, scores in score.items():
        best = int(scores.argmax())
        y, x = best // scores.shape[3] * 8, best % scores.shape[3] * 8
        crops[name] = slice(y, y + side), slice(x, x + side)
    return crops


def _edges(grey: Tensor) -> Tensor:
    """Differences of diagonal neighbours, [n, 1, h, w]."""
    return F.pad((grey[:, :, 1:, 1:] - grey[:, :, :-1, :-1]).abs(), (0, 1, 0, 1))


@dataclass
class Sheet:
    """Collects crops of a few examples while methods are run, then draws them."""

    examples: dict[str, Example]
    """Example's name -> example: those that are shown."""
    rows: dict[str, dict[str, list[NDArray[np.uint8]]]] = field(default_factory=dict)
    """Method's title -> example's name -> its crops."""

    def add(self, title: str, example: Example, restored: Tensor) -> None:
        """Keep the crops of one method's result, if the example is one of those that are shown."""
        if example.name in self.examples:
            picture = (restored[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            crops = [picture[ys, xs] for ys, xs in choose_crops(example).values()]
            self.rows.setdefault(title, {})[example.name] = crops

    def draw(self) -> bytes:
        """The sheet as the bytes of a JPEG file, the references first."""
        for example in self.examples.values():
            self.add("reference", example, example.reference)
        titles = ["reference", *(title for title in self.rows if title != "reference")]
        heads = [(kind, e.group, e.scene) for e in self.examples.values() for kind in choose_crops(e)]
        step = SIDE + GAP
        canvas = np.full((HEAD_HEIGHT + step * len(titles), NAME_WIDTH + step * len(heads), 3), 255, np.uint8)
        for i, (kind, group, scene) in enumerate(heads):
            for line, text in enumerate((kind, group[:18], scene)):
                _write(canvas, text, NAME_WIDTH + i * step, 11 + 12 * line)
        for row, title in enumerate(titles):
            top = HEAD_HEIGHT + row * step
            _write(canvas, title, 4, top + SIDE // 2)
            for i, crop in enumerate(crop for name in self.examples for crop in self.rows[title][name]):
                left = NAME_WIDTH + i * step
                canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        done, data = cv2.imencode(".jpg", canvas[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not done:
            raise ValueError("sheet.jpg: OpenCV could not encode it")
        return bytes(data)


def _write(canvas: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
