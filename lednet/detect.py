"""Does restoration help seeing? A COCO detector's finds in a frame, and their agreement with those in daylight.

The detector is YOLOX-nano (Ge et al., 2021, arXiv:2107.08430) as .onnx, run by onnxruntime where it is installed (the
optional extra `detect`), else by OpenCV; pre- and post-processing are our own. The weights are a file that is passed.
Not covered: tracking, training, mean average precision (it needs people's labels).

What it can't see: agreement takes the detector's finds in the sharp daylight original for the truth, mistakes included;
a detector trained on daylight photographs knows no haul trucks, and finds what looks like its classes.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lednet.losses import WeightsMissingError

SIDE = 416
"""Side of the detector's input."""

PADDING = 114
STRIDES = (8, 16, 32)
LEAST_SCORE = 0.3
"""Objectness times class score below which nothing is found."""

MOST_OVERLAP = 0.45
"""Boxes of one class that overlap by more are one find."""

AGREEING_OVERLAP = 0.5

CLASSES = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,"
    "snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush".split(",")
)
"""COCO's 80 classes, in the detector's order."""

Frame = NDArray[np.uint8]
Array = NDArray[Any]


@dataclass(frozen=True)
class Detection:
    """One object found."""

    label: str
    """One of `CLASSES`."""
    score: float
    """0 to 1."""
    box: tuple[float, float, float, float]
    """left, top, right, bottom in the frame's pixels."""


@dataclass(frozen=True)
class Agreement:
    """How detections agree with those taken for the truth, by class and overlap."""

    matched: int
    found: int
    wanted: int

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.matched + other.matched, self.found + other.found, self.wanted + other.wanted)

    @property
    def precision(self) -> float:
        """Share of the finds that are right; NaN if nothing was found."""
        return self.matched / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the wanted that was found; NaN if nothing was wanted."""
        return self.matched / self.wanted if self.wanted else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; NaN if nothing was found or wanted."""
        both = self.found + self.wanted
        return 2 * self.matched / both if both else float("nan")


class Detector:
    """YOLOX-nano on frames.

    Args:
        weights: yolox_nano.onnx (input [1, 3, 416, 416], output [1, 3549, 85] that is not decoded yet).
        runtime: "onnxruntime", "opencv", or "auto" for the first where it is installed.

    Raises:
        WeightsMissingError: if the file is not there.
        ValueError: if it is no such network, or the runtime is not installed.
    """

    def __init__(self, weights: Path, runtime: str = "auto") -> None:
        if not weights.is_file():
            raise WeightsMissingError(f"detections not computed: no detector at {weights}; pass yolox_nano.onnx")
        if runtime == "auto":
            runtime = "onnxruntime" if importlib.util.find_spec("onnxruntime") else "opencv"
        if runtime not in RUNTIMES:
            raise ValueError(f"no runtime {runtime!r}; choose one of {', '.join(RUNTIMES)}, or auto")
        self.runtime = runtime
        try:
            self._run = RUNTIMES[runtime](weights)
        except ImportError as error:
            raise ValueError(f"{runtime} does not load ({error}); install it, or choose opencv") from error
        except Exception as error:  # each runtime has error types of its own
            raise ValueError(
                f"{weights}: {runtime} reads no network from it ({error}); pass yolox_nano.onnx"
            ) from error

    def detect(self, frame: Frame, least_score: float = LEAST_SCORE) -> list[Detection]:
        """What it finds in one uint8 [h, w, 3] sRGB frame, surest first."""
        data, scale = letterbox(frame)
        return finds(decode(self._run(data)), scale, (frame.shape[0], frame.shape[1]), least_score)


def _with_onnxruntime(weights: Path) -> Callable[[Array], Array]:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # workers run side by side; one frame takes some 40 ms
    session = runtime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda data: np.asarray(session.run(None, {name: data})[0])


def _with_opencv(weights: Path) -> Callable[[Array], Array]:
    network = cv2.dnn.readNetFromONNX(str(weights))

    def run(data: Array) -> Array:
        network.setInput(data)
        return np.asarray(network.forward())

    return run


RUNTIMES = {"onnxruntime": _with_onnxruntime, "opencv": _with_opencv}


def letterbox(frame: Frame) -> tuple[Array, float]:
    """The detector's input [1, 3, 416, 416], BGR in 0 to 255, shrunk into the upper left; and the scale."""
    height, width = frame.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    small = cv2.resize(np.ascontiguousarray(frame[:, :, ::-1]), size, interpolation=cv2.INTER_LINEAR)
    canvas = np.full((SIDE, SIDE, 3), PADDING, np.float32)
    canvas[: size[1], : size[0]] = small
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), scale


def decode(output: Array) -> Array:
    """Raw output [1, cells, 85] -> [cells, 85]: centre, width and height in input pixels, objectness, class scores.

    YOLOX section 2.2: a cell's offset is in units of its stride, sizes are logarithms.

    Raises:
        ValueError: if the output is not that of a 416-pixel YOLOX of 80 classes.
    """
    corners = [np.indices((SIDE // s, SIDE // s))[::-1].reshape(2, -1).T for s in STRIDES]
    strides = np.concatenate([np.full((len(c), 1), s, np.float32) for c, s in zip(corners, STRIDES, strict=True)])
    if output.shape != (1, len(strides), 5 + len(CLASSES)):
        raise ValueError(f"the detector's output is {output.shape}, not (1, {len(strides)}, {5 + len(CLASSES)})")
    cells: Array = output[0].astype(np.float32)
    cells[:, :2] = (cells[:, :2] + np.concatenate(corners)) * strides
    cells[:, 2:4] = np.exp(cells[:, 2:4]) * strides
    return cells


def finds(cells: Array, scale: float, shape: tuple[int, int], least_score: float) -> list[Detection]:
    """Decoded cells [cells, 85] -> detections in a frame of this (height, width), overlaps of one class removed."""
    scores = cells[:, 4:5] * cells[:, 5:]
    labels, best = scores.argmax(1), scores.max(1)
    sure = best >= least_score
    cells, labels, best = cells[sure], labels[sure], best[sure]
    corner = cells[:, :2] - cells[:, 2:4] / 2
    boxes = np.concatenate([corner, corner + cells[:, 2:4]], 1) / scale
    boxes = boxes.clip(0, np.array([shape[1], shape[0]] * 2))
    kept: list[int] = []
    for i in np.argsort(-best, kind="stable").tolist():
        rivals = [j for j in kept if labels[j] == labels[i]]
        if not rivals or overlaps(boxes[i : i + 1], boxes[rivals]).max() <= MOST_OVERLAP:
            kept.append(i)
    return [Detection(CLASSES[labels[i]], float(best[i]), tuple(boxes[i].tolist())) for i in kept]


def overlaps(a: Array, b: Array) -> Array:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4] (left, top, right, bottom)."""
    corner, end = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (end - corner).clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    union: Array = areas[0][:, None] + areas[1][None] - shared
    share: Array = np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)
    return share


def per_class(detections: Sequence[Detection]) -> dict[str, int]:
    """How many of each class that was found."""
    counts: dict[str, int] = {}
    for detection in detections:
        counts[detection.label] = counts.get(detection.label, 0) + 1
    return counts


def agreement(found: Sequence[Detection], wanted: Sequence[Detection]) -> Agreement:
    """How finds agree with those in the sharp daylight original of the same view.

    A find is right if a wanted one of its class, not yet taken by a surer find, overlaps it by `AGREEING_OVERLAP`.
    """
    free = list(wanted)
    matched = 0
    for detection in sorted(found, key=lambda d: -d.score):
        rivals = [w for w in free if w.label == detection.label]
        if not rivals:
            continue
        shared = overlaps(np.array([detection.box]), np.array([w.box for w in rivals]))[0]
        if shared.max() >= AGREEING_OVERLAP:
            free.remove(rivals[int(shared.argmax())])
            matched += 1
    return Agreement(matched, len(found), len(wanted))
