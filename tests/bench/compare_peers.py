"""Our small beside the public code of other restorers, at equal threads, interleaved in one run.

    git clone https://github.com/cidautai/DarkIR REF/DarkIR
    git clone https://github.com/sczhou/LEDNet REF/LEDNet
    git clone https://github.com/cuiziteng/Illumination-Adaptive-Transformer REF/Illumination-Adaptive-Transformer
    git clone https://github.com/cidautai/FLOL REF/FLOL
    python -m pip install --no-deps --target REF/packages timm==0.6.13 kornia==0.8.1 kornia_rs
    OMP_NUM_THREADS=2 python -m tests.bench.compare_peers REF [--shape 360x640] [--rounds 5]

What REF lacks is said and left out; the packages, which IAT and FLOL import, go into a folder of their own, never into
the environment. Speed does not depend on the weights, so all of them have random ones: nothing is said of quality.
Theirs is the network's forward on a float tensor, fp32, in inference mode; ours is `Restorer.restore`, from 8-bit frame
to 8-bit frame, in fp32, and as it comes where this CPU multiplies bf16. Not covered: GPUs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from lednet.inference import multiplies_bf16
from lednet.memory import keep_freed_memory
from lednet.model import LEDNet
from lednet.restorer import Restorer
from lednet.torchvision_import import import_torchvision

OURS, OURS_BF16 = "LEDNet small, ours", "... in bf16"


class Peer(NamedTuple):
    """Where a network stands below REF."""

    folder: str
    """What its modules' names start from."""
    packages: tuple[str, ...]
    """Packages whose own `__init__`, which would import all of a training framework, is passed over."""
    module: str
    name: str
    """Of its class, made with its defaults, or of the function that makes it."""


PEERS = {
    "DarkIR-m": Peer("DarkIR", ("archs",), "archs.DarkIR", "DarkIR"),
    "LEDNet (ECCV 2022)": Peer(
        "LEDNet", ("basicsr", "basicsr.archs", "basicsr.utils"), "basicsr.archs.lednet_arch", "LEDNet"
    ),
    "IAT": Peer("Illumination-Adaptive-Transformer/IAT_enhance", ("model",), "model.IAT_main", "IAT"),
    "FLOL": Peer("FLOL", ("model", "utils"), "model.flol", "create_model"),
}


@contextmanager
def importing(root: Path, peer: Peer) -> Iterator[None]:
    """Let a peer's modules be imported, and forget them afterwards: several of them are called `model`."""
    folder = root / peer.folder
    paths, before = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(folder), str(root / "packages")]
    for name in peer.packages:
        package = sys.modules[name] = ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
    try:
        yield
    finally:
        sys.path[:] = paths
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if name in peer.packages or str(file).startswith(f"{folder}/"):
                del sys.modules[name]


def load(root: Path, peer: Peer) -> nn.Module:
    """A peer's network with random weights. Raises ImportError if REF lacks it, or what it imports."""
    with importing(root, peer), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_torchvision()  # timm wants it
        network: nn.Module = getattr(import_module(peer.module), peer.name)()
    return network.eval()


def passes(root: Path, shape: tuple[int, int]) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name -> parameters, and one pass over one frame of height and width."""
    torch.manual_seed(0)
    frame = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), np.uint8)
    found: dict[str, tuple[int, Callable[[], object]]] = {}
    for name, precision in ({OURS: "fp32"} | ({OURS_BF16: "bf16"} if multiplies_bf16() else {})).items():
        restorer = Restorer(LEDNet("small"), device="cpu", precision=precision)
        found[name] = (parameters(restorer.model), lambda restorer=restorer: restorer.restore(frame))  # type: ignore[misc]
    image = torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255
    for name, peer in PEERS.items():
        try:
            network = load(root, peer)
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        found[name] = (parameters(network), lambda network=network: network(image))  # type: ignore[misc]
    return found


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@torch.inference_mode()
def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of every round, all of them in turn in each; one round before goes uncounted."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if round_:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def main() -> None:
    """Print a table, and how many times as long as ours each takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("ref", type=Path)
    parser.add_argument("--shape", default="360x640", help="height x width in pixels, multiples of 8")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    height, width = (int(side) for side in options.shape.split("x"))
    kept = keep_freed_memory()  # helps them as it helps ours
    found = passes(options.ref, (height, width))
    times = interleaved({name: run for name, (_, run) in found.items()}, options.rounds)
    print(
        f"{width}x{height}, fp32, {torch.get_num_threads()} thread(s), torch {torch.__version__}, medians of "
        f"{options.rounds} rounds in turn, freed memory {'kept' if kept else 'returned'}"
    )
    print(f"{'':20} {'parameters':>11} {'wall s':>8} {'CPU s':>8} {'times ours, by round':>22}")
    for name, (count, _) in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times[name], strict=True))
        ratio = statistics.median(t[0] / ours[0] for t, ours in zip(times[name], times[OURS], strict=True))
        print(f"{name:20} {count:11,} {wall:8.3f} {cpu:8.3f} {ratio:22.2f}")


if __name__ == "__main__":
    main()
