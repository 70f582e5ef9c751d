"""All figures of a restored picture at once: `python -m lednet.measure BEFORE AFTER [--reference SHARP] ...`.

With `--reference`, the same view sharp and in daylight: PSNR, SSIM, MAE, LPIPS and the detector's agreement. Always:
the figures without a reference. What can't be computed is said, with its reason; nothing is guessed. docs/metrics.md
explains each figure. Not covered: whole nights and cameras; flicker, which needs a clip.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lednet import quality
from lednet.detect import Detector, agreement, per_class
from lednet.losses import WeightsMissingError
from lednet.lpips_metric import LPIPS
from lednet.metrics import mae, psnr, ssim
from lednet.noreference.brisque import Regressor
from lednet.noreference.niqe import Pristine, niqe
from lednet.noreference.plain import lightness_order_error

Frame = NDArray[np.uint8]
Figures = dict[str, "float | None"]


@dataclass(frozen=True)
class Files:
    """Where weights lie that are not shipped; what is None is looked for in its usual place, or not computed."""

    alexnet: Path | None = None
    detector: Path | None = None
    brisque: Path | None = None


def read(path: Path) -> Frame:
    """A picture as uint8 [h, w, 3] sRGB. Raises ValueError if it can't be read."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path}: not a picture that OpenCV reads; pass another")
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8)


def as_tensor(frame: Frame) -> Tensor:
    """uint8 [h, w, 3] -> float [1, 3, h, w] in [0, 1]."""
    return torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255


def without_reference(frame: Frame, files: Files) -> tuple[Figures, list[str]]:
    """Figures of one frame on its own, None where not computed, and the reasons."""
    figures: Figures = dict(quality.measure(frame)._asdict())
    reasons: list[str] = []
    _add(figures, reasons, "niqe", lambda: niqe(frame, Pristine.load()))
    _add(figures, reasons, "brisque", lambda: Regressor.load(files.brisque).score(frame))
    return figures, reasons


def with_reference(frame: Frame, sharp: Frame, files: Files) -> tuple[Figures, list[str]]:
    """Figures of one frame against the sharp daylight original, None where not computed, and the reasons."""
    x, y = as_tensor(frame), as_tensor(sharp)
    figures: Figures = {"psnr": psnr(x, y).item()}
    reasons: list[str] = []
    _add(figures, reasons, "ssim", lambda: ssim(x, y).item())
    figures["mae"] = mae(x, y).item()
    _add(figures, reasons, "lpips", lambda: _lpips(files.alexnet)(x, y).item())
    if files.detector is None:
        reasons.append("detections not computed: no detector given")
        return figures, reasons
    detector = _detector(files.detector)
    found, wanted = detector.detect(frame), detector.detect(sharp)
    result = agreement(found, wanted)
    figures |= {"detection_precision": result.precision, "detection_recall": result.recall, "detection_f1": result.f1}
    figures |= {f"found_{label}": float(count) for label, count in sorted(per_class(found).items())}
    return figures, reasons


@cache
def _lpips(weights: Path | None) -> LPIPS:
    return LPIPS(weights)


@cache
def _detector(weights: Path) -> Detector:
    return Detector(weights)


def _add(figures: Figures, reasons: list[str], name: str, compute: Callable[[], float]) -> None:
    try:
        figures[name] = compute()
    except (WeightsMissingError, ValueError) as error:
        figures[name] = None
        reasons.append(str(error))


def compare(before: Frame, after: Frame, sharp: Frame | None, files: Files) -> tuple[dict[str, Figures], list[str]]:
    """{"before": ..., "after": ...} and the reasons for what is missing; LOE stands with "after"."""
    frames, table, reasons = {"before": before, "after": after}, {}, []
    for name, frame in frames.items():
        table[name], why = without_reference(frame, files)
        reasons += why
        if sharp is not None:
            figures, why = with_reference(frame, sharp, files)
            table[name] |= figures
            reasons += why
    _add(table["after"], reasons, "lightness_order_error", lambda: lightness_order_error(before, after))
    return table, list(dict.fromkeys(reasons))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lednet.measure", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--reference", type=Path, help="the same view, sharp and in daylight")
    parser.add_argument("--alexnet", type=Path, help="AlexNet's weights for LPIPS; default: torchvision's cache")
    parser.add_argument("--detector", type=Path, help="yolox_nano.onnx")
    parser.add_argument(
        "--brisque", type=Path, help="folder of the brisque package's models; default: the installed one"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        before, after = read(options.before), read(options.after)
        sharp = read(options.reference) if options.reference else None
        files = Files(options.alexnet, options.detector, options.brisque)
        table, reasons = compare(before, after, sharp, files)
    except (ValueError, WeightsMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        finite = {k: {n: v if _is_finite(v) else None for n, v in row.items()} for k, row in table.items()}
        print(json.dumps({**finite, "not_computed": reasons}))
        return 0
    print(f"{'':24} {'before':>10} {'after':>10}")
    for name in dict.fromkeys([*table["before"], *table["after"]]):
        print(f"{name:24} {_text(table['before'].get(name)):>10} {_text(table['after'].get(name)):>10}")
    for reason in reasons:
        print(reason)
    return 0


def _is_finite(value: float | None) -> bool:
    """JSON has no infinity: the PSNR of equal pictures, the NIQE of an empty one."""
    return value is not None and math.isfinite(value)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
