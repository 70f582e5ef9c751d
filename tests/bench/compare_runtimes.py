"""Our CPU pass beside other runtimes and number formats, at equal threads, interleaved in one run.

    python -m pip install --no-deps --target REF onnx onnx_ir onnxscript ml_dtypes protobuf openvino openvino-telemetry
    OMP_NUM_THREADS=1 python -m tests.bench.compare_runtimes REF [--shape 360x640] [--rounds 5]

The shipped small, from a float frame to a float frame; the tone curve is laid by torch everywhere (`lednet.export` has
it in ONNX, and any size). Compared are the pass that `Restorer` takes (`lednet.inference`), torch as the model is
trained (fp32, bf16, int8 linear layers), and the network as ONNX at this one size in onnxruntime (fp32, int8 with
ranges found at run time, int8 with ranges from calibration) and OpenVINO. What can't be had is said and left out.
`apart` is the mean difference from our pass in levels of 255, on a frame that is made up. Not covered: GPUs, other
sizes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lednet.inference import restore_frame
from lednet.light import tone_statistics
from lednet.model import LEDNet
from lednet.restorer import Restorer
from tests.bench.compare_peers import interleaved

OURS = "lednet.inference"
NAMES = ("x", "exposed", "told")
CALIBRATION = 4
"""Frames that the ranges of int8 are taken from."""

Pass = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """The model's pass with the tone curve laid and the noise told: what is to be computed elsewhere."""

    def __init__(self, model: LEDNet) -> None:
        super().__init__()
        self.model = deepcopy(model)
        self.model.noise = lambda told: told  # type: ignore[method-assign]

    def forward(self, x: Tensor, exposed: Tensor, told: Tensor) -> Tensor:
        self.model.expose = lambda *_: exposed  # type: ignore[method-assign, assignment]
        return self.model.restore(x, [told]).image


def inputs(model: LEDNet, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a network is given of a frame."""
    tones = tone_statistics(x)
    return x, model.expose(x, tones), model.noise(tones)


def frames(count: int, height: int, width: int) -> list[Tensor]:
    """Dark noisy frames with a lamp, [1, 3, h, w] in [0, 1]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    made = []
    for k in range(count):
        ground = 20 + 12 * np.sin(x / 31 + k) * np.cos(y / 17)
        lamp = 160 * np.exp(
            -((x - width * (k + 1) / (count + 1)) ** 2 + (y - height / 2) ** 2) / (height * width / 400)
        )
        noisy = (ground + lamp)[None] + rng.standard_normal((3, height, width), np.float32) * 5
        made.append(torch.from_numpy((noisy.clip(0, 255).round() / 255).astype(np.float32))[None])
    return made


def in_torch(model: LEDNet) -> dict[str, Callable[[], Pass]]:
    def as_trained(network: nn.Module, dtype: torch.dtype = torch.float32) -> Pass:
        network = network.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return lambda x: network(*(part.to(dtype) for part in inputs(model, x))).float()

    def linear_int8() -> Pass:
        kinds = {nn.Linear}
        return as_trained(torch.ao.quantization.quantize_dynamic(Network(model), kinds, torch.qint8))

    return {
        OURS: lambda: lambda x: restore_frame(model, x).image,
        f"{OURS} bf16": lambda: lambda x: restore_frame(model, x, products=torch.bfloat16).image,
        "torch fp32, as trained": lambda: as_trained(Network(model)),
        "torch bf16": lambda: as_trained(Network(model), torch.bfloat16),
        "torch, int8 linear layers": linear_int8,
    }


def fed(model: LEDNet, x: Tensor) -> dict[str, NDArray[Any]]:
    """The same for ONNX."""
    return {name: part.contiguous().numpy() for name, part in zip(NAMES, inputs(model, x), strict=True)}


def exported(model: LEDNet, example: Tensor, path: Path) -> None:
    """Write the network as ONNX, for frames of the example's size."""
    torch.onnx.export(
        Network(model), inputs(model, example), str(path), input_names=list(NAMES), output_names=["image"],
        dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip


def in_onnxruntime(model: LEDNet, path: Path) -> Pass:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["image"], fed(model, x))[0])

    return run


def in_openvino(model: LEDNet, path: Path, precision: str) -> Pass:
    openvino = import_module("openvino")
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(compiled(fed(model, x))[0].copy())

    return run


def quantised(model: LEDNet, path: Path, calibration: list[Tensor] | None) -> Path:
    """The network in int8: convolutions and products, by ranges met at run time or those of some frames."""
    tools = import_module("onnxruntime.quantization")
    prepared, target = (
        path.with_suffix(".pre.onnx"),
        path.with_suffix(f".{'static' if calibration else 'dynamic'}.onnx"),
    )
    import_module("onnxruntime.quantization.shape_inference").quant_pre_process(
        str(path), str(prepared), skip_symbolic_shape=True
    )
    if calibration is None:
        tools.quantize_dynamic(str(prepared), str(target), op_types_to_quantize=["Conv", "MatMul", "Gemm"])
        return target

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.left = [fed(model, x) for x in calibration]

        def get_next(self) -> dict[str, Any] | None:
            return self.left.pop() if self.left else None

    tools.quantize_static(
        str(prepared), str(target), Reader(), op_types_to_quantize=["Conv", "MatMul", "Gemm"], per_channel=True
    )
    return target


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("ref", type=Path)
    parser.add_argument("--shape", default="360x640", help="height x width in pixels, multiples of 8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="words; those whose names hold none of them are left out")
    options = parser.parse_args()
    height, width = (int(side) for side in options.shape.split("x"))
    sys.path.append(str(options.ref.absolute()))
    warnings.simplefilter("ignore")
    model = Restorer("small", device="cpu").model
    assert isinstance(model, LEDNet)
    frame, *calibration = frames(1 + CALIBRATION, height, width)
    with TemporaryDirectory(prefix="lednet-bench-") as folder, torch.inference_mode():
        path = Path(folder) / "small.onnx"
        ways = in_torch(model) | {
            "onnxruntime fp32": lambda: in_onnxruntime(model, path),
            "onnxruntime int8, dynamic": lambda: in_onnxruntime(model, quantised(model, path, None)),
            "onnxruntime int8, static": lambda: in_onnxruntime(model, quantised(model, path, calibration)),
            "OpenVINO fp32": lambda: in_openvino(model, path, "f32"),
            "OpenVINO bf16": lambda: in_openvino(model, path, "bf16"),
        }
        wanted = options.only.split()
        ways = {n: w for n, w in ways.items() if n == OURS or not wanted or any(word in n for word in wanted)}
        runs: dict[str, Pass] = {}
        try:
            exported(model, frame, path)
        except Exception as error:
            print(f"no ONNX: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        for name, prepare in ways.items():
            try:
                runs[name] = prepare()
                runs[name](frame)
            except Exception as error:  # whatever a runtime says: the others are compared all the same
                runs.pop(name, None)
                print(f"{name}: left out, {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        ours = runs[OURS](frame)
        apart = {
            name: 255 * float((run(frame).clamp(0, 1) - ours.clamp(0, 1)).abs().mean()) for name, run in runs.items()
        }
        times = interleaved({n: lambda run=r: run(frame) for n, r in runs.items()}, options.rounds)  # type: ignore[misc]
    print(f"{width}x{height}, {torch.get_num_threads()} thread(s), medians of {options.rounds} rounds in turn")
    print(f"{'':28} {'wall s':>8} {'CPU s':>8} {'times ours, by round':>21} {'apart, levels':>14}")
    for name, rounds in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(t[0] / our[0] for t, our in zip(rounds, times[OURS], strict=True))
        print(f"{name:28} {wall:8.3f} {cpu:8.3f} {ratio:21.2f} {apart[name]:14.4f}")


if __name__ == "__main__":
    main()
