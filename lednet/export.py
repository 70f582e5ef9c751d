"""A LEDNet as one ONNX file, for frames of any size: `python -m lednet.export --model small --out small.onnx`.

Covers tracing the network (`lednet.export_network`), running the result in onnxruntime at sizes other than the traced
one beside the network itself, and writing the file, which is there only if both agree. Not covered: other number
formats (a runtime's own tools convert the file), TensorRT (docs/performance.md names the command), peers, tiles.

The file takes `frame`, fp32 sRGB in [0, 1], [n, 3, height, width] with any n and sides from 16 px up, and gives
`restored`, the same, cut to [0, 1]. Tone curve, padding and cutting back are in the graph.

Needs onnx and onnxscript to write and onnxruntime to check; nothing else of lednet does.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lednet import checkpoint
from lednet.export_network import ExportNetwork
from lednet.model import SMALLEST, LEDNet

NEEDED = ("onnx", "onnxscript", "onnxruntime")

OPSET = 18
"""Of ONNX's operators; the least that torch's exporter writes, so that older runtimes read the file too."""

TRACED = (2, 40, 72)
"""Batch, height and width that the network is traced with; unequal, and none of them one."""

CHECKED = ((1, 16, 24), (3, 61, 83), (1, 72, 600))
"""Batches, heights and widths of a check: the least, an odd one, and one wider than the windows of every scale."""

MOST_APART = 0.1
"""Mean difference that a check allows, in levels of 255; rounding alone comes to a thousandth of it."""

Shape = tuple[int, int, int]


class ExportError(ValueError):
    """A network can't be exported or what was exported is not the network; the message says what to do."""


@dataclass(frozen=True)
class Agreement:
    """How far a file's result is from the network's at one size, in levels of 255."""

    shape: Shape
    """Batch, height, width."""
    mean: float
    largest: float


def export(model: str | Path | LEDNet, target: Path, more: Sequence[Shape] = ()) -> list[Agreement]:
    """Write a LEDNet to `target` as ONNX, once it has been checked at the sizes `CHECKED`; returns how they agree.

    Args:
        model: name of a shipped checkpoint, path of a .safetensors file, or a network, left in evaluation mode.
        more: batches, heights and widths in pixels to check besides.

    Raises:
        CheckpointError: if the checkpoint is missing, damaged or no LEDNet's.
        ExportError: if a package is missing, a size is too small, or the file's result is not the network's.
    """
    require(NEEDED)
    for shape in more:
        if min(shape[1:]) < SMALLEST:
            raise ExportError(f"can't check at {name_of(shape)}: sides begin at {SMALLEST} px; choose a larger size")
    described = {}
    if not isinstance(model, LEDNet):
        model, card = checkpoint.load(model)
        described = {"checkpoint": card.name, "sha256": card.sha256}
    model = model.eval()
    data = to_onnx(model, described)
    found = check(data, model, (*CHECKED, *more))
    for agreement in found:
        if not agreement.mean < MOST_APART:  # a NaN is no agreement
            raise ExportError(
                f"{target} not written: at {name_of(agreement.shape)} onnxruntime's result is {agreement.mean:.3g} "
                f"levels of 255 from the network's on average, {MOST_APART} are allowed; try another version of torch "
                "or onnxscript"
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_atomically(target, data)
    return found


def require(packages: Sequence[str]) -> None:
    """Raises ExportError naming what is not installed."""
    for name in packages:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ExportError(
                f"ONNX not exported: {name} does not load ({error}); python -m pip install {' '.join(packages)}"
            ) from error


def to_onnx(model: LEDNet, described: dict[str, str]) -> bytes:
    """A network in evaluation mode -> the bytes of an ONNX file; `described` becomes its metadata.

    Raises ExportError if the exporter does not take it.
    """
    try:
        with torch.no_grad(), quiet():
            program: Any = torch.onnx.export(
                ExportNetwork(model).eval(), (dark_frames(TRACED),), dynamo=True, opset_version=OPSET, verbose=False,
                input_names=["frame"], output_names=["restored"],
                dynamic_shapes={"frame": {0: "n", 2: "height", 3: "width"}},
            )  # fmt: skip
    except RuntimeError as error:
        raise ExportError(
            f"ONNX not exported: torch {torch.__version__} does not export the network "
            f"({textwrap.shorten(str(error), 300)}); try another version of torch or onnxscript"
        ) from error
    written = program.model_proto
    for key, value in described.items():
        written.metadata_props.add(key=key, value=value)
    data: bytes = written.SerializeToString()
    return data


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the exporter's progress and its remarks about its own insides off the terminal; errors are raised."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def check(data: bytes, model: LEDNet, shapes: Sequence[Shape]) -> list[Agreement]:
    """Run an ONNX file in onnxruntime on the CPU beside `LEDNet.restore`, on drawn frames of each shape.

    Raises ExportError if it does not run, or gives images of another shape.
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session: Any = None
    found: list[Agreement] = []
    for shape in shapes:
        frame = dark_frames(shape)
        with torch.inference_mode():
            expected = model.restore(frame).image.clamp(0, 1)
        try:
            session = session or runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            got = torch.from_numpy(session.run(["restored"], {"frame": frame.numpy()})[0])
        except Exception as error:  # onnxruntime has error types of its own
            raise ExportError(
                f"at {name_of(shape)} onnxruntime does not run what was exported "
                f"({textwrap.shorten(str(error), 300)}); try another version of torch, onnxscript or onnxruntime"
            ) from error
        if got.shape != expected.shape:
            raise ExportError(f"at {name_of(shape)} onnxruntime gives {list(got.shape)}, not {list(expected.shape)}")
        apart = 255 * (got - expected).abs()
        found.append(Agreement(shape, float(apart.mean()), float(apart.max())))
    return found


def dark_frames(shape: Shape) -> Tensor:
    """Dark noisy frames with a lamp in them, fp32 [n, 3, h, w] in [0, 1]; each of a batch is lit otherwise."""
    n, height, width = shape
    rng = np.random.default_rng([n, height, width])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = 20 + 12 * np.sin(x / 31) * np.cos(y / 17)
    lamp = 160 * np.exp(-((x - width / 2) ** 2 + (y - height / 3) ** 2) / (height * width / 100))
    light = np.linspace(1, 0.4, n, dtype=np.float32)[:, None, None, None]
    noisy = (ground + lamp) * light + rng.standard_normal((n, 3, height, width), np.float32) * 5
    return torch.from_numpy((noisy.clip(0, 255) / 255).astype(np.float32))


def name_of(shape: Shape) -> str:
    """As a person writes it: 2 x 123x211 for two frames of 123 rows and 211 columns."""
    return f"{shape[0]} x {shape[1]}x{shape[2]}"


def parse_size(text: str) -> Shape:
    """HxW -> one frame of that height and width. Raises argparse.ArgumentTypeError."""
    try:
        height, width = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write HEIGHTxWIDTH, as 360x640") from None
    return 1, height, width


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lednet export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="small", help="shipped checkpoint, or path of a .safetensors file")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument(
        "--check", type=parse_size, nargs="+", metavar="HxW", default=[], help="sizes to check besides the usual ones"
    )
    options = parser.parse_args(arguments)
    try:
        found = export(options.model, options.out, options.check)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB; beside the network, in levels of 255:")
    print(f"{'frames':>16} {'mean':>9} {'largest':>9}")
    for agreement in found:
        print(f"{name_of(agreement.shape):>16} {agreement.mean:9.6f} {agreement.largest:9.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
