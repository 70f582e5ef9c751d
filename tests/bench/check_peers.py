"""Our peers (`lednet/baselines`) against their authors' public code: parameters, and outputs under equal weights.

    git clone https://github.com/flyywh/CVPR-2020-Semi-Low-Light REF/CVPR-2020-Semi-Low-Light
    git clone https://github.com/SeokjaeLIM/DSLR-release REF/DSLR-release
    git clone https://github.com/VITA-Group/EnlightenGAN REF/EnlightenGAN
    git clone https://github.com/kglore/llnet_color REF/llnet_color
    git clone https://github.com/Li-Chongyi/Zero-DCE REF/Zero-DCE
    git clone https://github.com/cuiziteng/Illumination-Adaptive-Transformer REF/Illumination-Adaptive-Transformer
    git clone https://github.com/sczhou/LEDNet REF/LEDNet
    git clone https://github.com/cidautai/DarkIR REF/DarkIR
    python -m pip install --no-deps --target REF/packages timm==0.6.13
    python -m tests.bench.check_peers REF [--picture FILE...] [--only NAME...]

What REF lacks is said and left out. Their network gets its published weights where its repository holds them, otherwise
random ones; ours gets the same by a table of renamings; both then see the same pictures. A picture is made (noise, a
dark texture) or is the middle of FILE: how sides that don't fit are padded is not compared. Exit status 1: a count or
an output differs, or nothing was compared. Not covered: losses and training; DPDNet (its code is for Keras) and
`retinex_unet`, which has no public code. LL-Net is Theano and Python 2: its parameters are counted from its layers'
widths, it is not run.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from math import prod
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from lednet.baselines.llnet import LLNet
from lednet.baselines.peer import Peer as Ours
from lednet.baselines.peers import PEERS
from lednet.torchvision_import import import_torchvision
from tests.bench.carry_weights import carry
from tests.bench.compare_peers import importing, parameters
from tests.bench.peer_code import CHECKS, Check

TOLERANCE = 1e-4
"""Largest difference that rounding explains, as a share of the largest output (at least of one)."""

SIDE = 256
"""Height and width of all pictures in pixels: a multiple of 128, since DSLR's innermost pyramid halves seven times."""


def load(root: Path, check: Check) -> nn.Module:
    """Their network as they initialise it. Raises ImportError if REF lacks it, or what it imports."""
    kinds = []
    for peer in check.theirs.values():
        with importing(root, peer):
            import_torchvision()  # several want it
            kinds.append(getattr(import_module(peer.module), peer.name))
    return check.make(*kinds).eval()


def fill(root: Path, check: Check, theirs: nn.Module) -> str:
    """Give their network its published weights, or random ones. Returns which, and why not the published ones."""
    cause = "random: none in the repository"
    state: dict[str, Tensor] = {}
    try:
        for file, prefix in check.weights:
            tensors = torch.load(root / file, map_location="cpu", weights_only=True)
            state |= {prefix + name: tensor for name, tensor in tensors.items()}
    except FileNotFoundError as error:
        state, cause = {}, f"random: REF has no {Path(error.filename).name}"
    except Exception as error:  # torch raises whatever unpickling and its zip reader raise
        state, cause = {}, f"random: {file} not loaded as weights alone, {type(error).__name__}"
    if state:
        theirs.load_state_dict(state)
        return ", ".join(Path(file).name for file, _ in check.weights)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():  # which shares its memory with the network
            if tensor.is_floating_point() and tensor.numel() == max(tensor.shape, default=1):
                noise = 0.2 * torch.randn(tensor.shape, generator=generator)
                tensor += noise.abs() if name.endswith("running_var") else noise  # nothing may wait at zero or one
    return cause


def made_pictures() -> Tensor:
    """Noise, and a dark texture with edges: [2, 3, 256, 256] in [0, 1]."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    waves = [
        0.5 + 0.25 * np.sin(x / (5 + 3 * c)) * np.cos(y / (9 - c)) + 0.25 * ((x // 24 + y // 40) % 2) for c in range(3)
    ]
    texture = np.stack(waves).clip(0, 1)
    noise = np.random.default_rng(0).random((3, SIDE, SIDE), np.float32)
    return torch.from_numpy(np.stack([noise, 0.3 * texture**2.2]).astype(np.float32))


def read_picture(path: Path) -> Tensor:
    """The middle of a picture: [1, 3, 256, 256] in [0, 1]."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None or min(image.shape[:2]) < SIDE:
        raise SystemExit(f"{path}: no picture of at least {SIDE} pixels each way; name another")
    top, left = ((length - SIDE) // 2 for length in image.shape[:2])
    rgb = image[top : top + SIDE, left : left + SIDE, ::-1].astype(np.float32) / 255
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]


class Gap(NamedTuple):
    """How far the outputs of both lie apart on some pictures, absolute."""

    largest: float
    mean: float
    changed: float
    """How far theirs lies from its input on average: a network that does nothing would agree with any."""
    rounding: bool
    """Whether that explains it."""


@torch.inference_mode()
def difference(check: Check, theirs: nn.Module, ours: Ours, pictures: Sequence[Tensor]) -> Gap:
    """Both on the same pictures, [1, 3, h, w] each."""
    gaps = []
    for x in pictures:
        wanted, got = check.run(theirs, x.clone()), check.run_part(ours, x)  # some of theirs work in place
        gap, bound = (wanted - got).abs(), TOLERANCE * max(1.0, float(wanted.abs().max()))
        largest = float(gap.max())
        gaps.append(Gap(largest, float(gap.mean()), float((wanted - x).abs().mean()), largest <= bound))
    columns = list(zip(*gaps, strict=True))
    return Gap(max(columns[0]), fmean(columns[1]), fmean(columns[2]), all(columns[3]))


def count_llnet(root: Path) -> int:
    """Weights and biases of LL-Net's layers, by the widths in its script. Raises ImportError if REF lacks it."""
    script = root / "llnet_color/llnet_color.py"
    if not script.is_file():
        raise ImportError(f"no {script}")
    text = script.read_text()
    patch, hidden = (
        re.search(rf"^{name} = [(\[](.*)[)\]]", text, re.MULTILINE) for name in ("patch_size", "hp_hlsize")
    )
    if not patch or not hidden:
        raise ImportError(f"{script} names no layers' widths")
    ends = 3 * prod(int(side) for side in patch[1].split(","))
    widths = [ends, *(int(width) for width in hidden[1].split(",")), ends]
    return sum(a * b + b for a, b in pairwise(widths))


class Row(NamedTuple):
    """What the table says of one network."""

    cells: tuple[str, ...]
    """Parameters of theirs and of ours, weights, differences on made and on real pictures, what differs."""
    fine: bool


def compare(root: Path, check: Check, pictures: Sequence[Sequence[Tensor]]) -> Row:
    """One network. Raises ImportError if REF lacks it."""
    torch.manual_seed(0)
    theirs, ours = load(root, check), PEERS[check.ours]().eval()
    weights = fill(root, check, theirs)
    carry(theirs.state_dict(), ours, check.renames, check.part)
    counted = sum(p.numel() for name, p in ours.restoring().items() if name.startswith(check.part))
    side = sum(p.numel() for name, p in theirs.named_parameters() if name.startswith("side_out."))
    gaps = [difference(check, theirs, ours, some) if some else None for some in pictures]
    cells = [f"{gap.largest:.1e}, {gap.mean:.1e} of {gap.changed:.1e}" if gap else "-" for gap in gaps]
    fine = all(gap.rounding for gap in gaps if gap) and parameters(theirs) - side == counted
    return Row((f"{parameters(theirs):,}", f"{counted:,}", weights, *cells, check.differs), fine)


def main() -> None:
    """Print a table; exit with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("ref", type=Path)
    parser.add_argument("--picture", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--only", nargs="+", default=list(CHECKS), choices=CHECKS, metavar="NAME")
    options = parser.parse_args()
    torch.set_flush_denormal(True)  # some published weights are denormal, which CPUs multiply thirty times slower
    pictures = [list(made_pictures().chunk(2)), [read_picture(path) for path in options.picture]]
    print(f"torch {torch.__version__}, fp32, CPU; {len(pictures[0])} made and {len(pictures[1])} real pictures;")
    print("differences of the outputs: largest, mean of what theirs changes on average\n")
    print("| network | theirs | ours | weights | made pictures | real pictures | what differs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    failed, compared = [], 0
    for name in options.only:
        check = CHECKS[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # names of old torch
                row = compare(options.ref, check, pictures)
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        print(f"| {name} | {' | '.join(row.cells)} |", flush=True)
        compared += 1
        failed += [] if row.fine else [name]
    try:
        theirs, counted = count_llnet(options.ref), parameters(LLNet())
        print(f"| LL-Net | {theirs:,} | {counted:,} | not run | - | - | counted from its layers' widths (Theano) |")
        failed += [] if theirs == counted else ["LL-Net"]
        compared += 1
    except ImportError as error:
        print(f"LL-Net: left out, {error}", file=sys.stderr)
    if not compared:  # nothing that was looked at must not pass for nothing that differs
        raise SystemExit(f"{options.ref}: nothing in it to compare with; the head of this file says how it is filled")
    if failed:
        raise SystemExit(f"not the same: {', '.join(failed)}")


if __name__ == "__main__":
    main()
