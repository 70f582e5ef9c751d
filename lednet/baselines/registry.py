"""Every method of the comparison by name, with its citation and how to make it ready.

Covers what a row of the table stands for. Not covered: data, metrics and the table itself (`lednet.evaluate_table`).
No method is told the scene or the clip, and none but the oracle sees the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lednet.baselines import ebdb, jnb
from lednet.baselines.adaptive_retinex import adaptive_retinex
from lednet.baselines.clahe import clahe
from lednet.baselines.clahe_pca import clahe_pca
from lednet.baselines.defocus import deblurred_by
from lednet.baselines.flol import restore_flol
from lednet.baselines.frames import Picture, Restore, one_by_one
from lednet.baselines.gamma import restore_gamma, restore_oracle
from lednet.baselines.iat import restore_iat
from lednet.baselines.peers import PEERS, SHIPPED_PEERS
from lednet.baselines.published import Published
from lednet.baselines.retinex import retinex
from lednet.baselines.sci import PREFIX, SHARED, restore_sci
from lednet.baselines.zero_dce import restore_zero_dce, restore_zero_dce_pp
from lednet.losses import WeightsMissingError
from lednet.restorer import Restorer, choose_device

ALIKE = "small_alike"
"""The LEDNet that had the peers' budget. The shipped `small` was trained longer: no fair comparison."""

OWN_SOURCE = "after Guo et al., Mine Engineering 12(4), 2024; this package's own"


@dataclass(frozen=True)
class Needs:
    """What methods may need to become ready."""

    gamma: float | None
    """The best fixed gamma, fitted on training pairs of the same recipe; None if it is not known."""
    weights: Path | None = None
    """Folder of the published weights."""
    device: str = "auto"
    """For networks; the classical methods run on the CPU."""
    trained: Path = SHIPPED_PEERS
    """Folder of what was trained alike, as `lednet.train_peers` leaves it."""


@dataclass(frozen=True)
class Ready:
    """A method ready to run."""

    restore: Restore
    """Frames [n, 3, h, w], float sRGB in [0, 1] -> the same."""
    parameters: int = 0
    """Trained numbers; 0 for classical methods."""


@dataclass(frozen=True)
class Method:
    """A row of the table."""

    title: str
    source: str
    """The paper it is written from."""
    make: Callable[[Needs], Ready]
    """Raises WeightsMissingError or CheckpointError where weights are not to be had."""


@dataclass(frozen=True)
class Oracle:
    """A row that sees the reference: a bound, not a restorer."""

    title: str
    source: str
    restore: Callable[[Tensor, Tensor], Tensor] = field(repr=False)
    """(frames, reference), both as in `Ready.restore` -> restored frames."""


def _classical(method: Callable[[Picture], Picture]) -> Callable[[Needs], Ready]:
    return lambda needs: Ready(one_by_one(method))


def _brightened(method: Callable[[Picture], Picture]) -> Callable[[Needs], Ready]:
    restore = one_by_one(method)

    def make(needs: Needs) -> Ready:
        brightened = _gamma(needs).restore
        return Ready(lambda x: restore(brightened(x)))

    return make


def _gamma(needs: Needs) -> Ready:
    gamma = needs.gamma
    if gamma is None:
        raise WeightsMissingError("the best fixed gamma under this recipe is not known; name training clips by --data")
    return Ready(lambda x: restore_gamma(x, gamma), parameters=1)


def _published(
    restore: Callable[[Published, Tensor], Tensor], file: str, prefix: str = "", without: str = " "
) -> Callable[[Needs], Ready]:
    def make(needs: Needs) -> Ready:
        device = choose_device(needs.device)
        weights = Published(needs.weights, file, device, prefix)

        def run(x: Tensor) -> Tensor:
            with torch.inference_mode():
                return restore(weights, x.to(device)).to(x.device)

        return Ready(run, weights.parameters(without))

    return make


def lednet_method(model: str, title: str = "") -> Method:
    """A LEDNet checkpoint, by its shipped name or the path of a .safetensors file, as a row."""

    def make(needs: Needs) -> Ready:
        restorer = Restorer(model, device=needs.device)

        def run(x: Tensor) -> Tensor:
            frames = (x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
            return torch.from_numpy(restorer.restore(frames)).permute(0, 3, 1, 2).float().to(x.device) / 255

        return Ready(run, sum(p.numel() for p in restorer.model.parameters()))

    return Method(title or f"LEDNet {model}", OWN_SOURCE, make)


def find_trained(folder: Path, name: str) -> Path:
    """What was trained alike: <folder>/<name>.safetensors, or where `lednet.train_peers` leaves it.

    Raises:
        WeightsMissingError: if there is none.
    """
    left = folder / "lednet" / "small.safetensors" if name == ALIKE else folder / name / f"{name}.safetensors"
    for path in (folder / f"{name}.safetensors", left):
        if path.is_file():
            return path
    raise WeightsMissingError(
        f"not trained: no {name}.safetensors in {folder}; python -m lednet.train_peers trains it, "
        "--trained names another folder"
    )


def trained_method(name: str, title: str, source: str) -> Method:
    """A network trained on our pairs within the same budget as the others, as a row."""
    return Method(title, source, lambda needs: lednet_method(str(find_trained(needs.trained, name))).make(needs))


_SCI = "Ma et al., CVPR 2022"
_EBDB = "Karaali and Jung, IEEE TIP 2018; Krishnan and Fergus, NIPS 2009"
_JNB = "Shi et al., CVPR 2015, dictionary of our own; Krishnan and Fergus, NIPS 2009"

METHODS: dict[str, Method] = {
    "identity": Method("the input as it is", "floor", lambda needs: Ready(lambda x: x)),
    "gamma": Method("best fixed gamma", "floor", _gamma),
    "clahe": Method("CLAHE", "Zuiderveld, Graphics Gems IV, 1994", _classical(clahe)),
    "clahe_pca": Method("CLAHE-PCA", "named by Guo et al. 2024; our reading", _classical(clahe_pca)),
    "msrcr": Method("multi-scale Retinex (MSRCR)", "Jobson et al., IEEE TIP 1997", _classical(retinex)),
    "adaptive_retinex": Method("adaptive Retinex", "Ahn et al., IEEE ICCE 2013", _classical(adaptive_retinex)),
    "jnb": Method("JNB", _JNB, _classical(deblurred_by(jnb.defocus_map))),
    "gamma_jnb": Method("fixed gamma, then JNB", _JNB, _brightened(deblurred_by(jnb.defocus_map))),
    "ebdb": Method("EBDB", _EBDB, _classical(deblurred_by(ebdb.defocus_map))),
    "gamma_ebdb": Method("fixed gamma, then EBDB", _EBDB, _brightened(deblurred_by(ebdb.defocus_map))),
    "zero_dce": Method("Zero-DCE, published", "Guo et al., CVPR 2020", _published(restore_zero_dce, "zerodce.pth")),
    "zero_dce_pp": Method(
        "Zero-DCE++, published", "Li et al., TPAMI 2021", _published(restore_zero_dce_pp, "zerodcepp.pth")
    ),
    "sci_easy": Method("SCI easy, published", _SCI, _published(restore_sci, "sci_easy.pt", PREFIX, SHARED)),
    "sci_medium": Method("SCI medium, published", _SCI, _published(restore_sci, "sci_medium.pt", PREFIX, SHARED)),
    "sci_difficult": Method(
        "SCI difficult, published", _SCI, _published(restore_sci, "sci_difficult.pt", PREFIX, SHARED)
    ),
    "iat": Method("IAT (LOL-v2), published", "Cui et al., BMVC 2022", _published(restore_iat, "iat_lol.pth")),
    "flol": Method("FLOL, published", "Benito et al., arXiv 2501.09718", _published(restore_flol, "flol_all.pt")),
    **{name: trained_method(name, f"{peer.title}, trained alike", peer.source) for name, peer in PEERS.items()},
    ALIKE: trained_method(ALIKE, "LEDNet small, trained alike", OWN_SOURCE),
    "small": lednet_method("small"),
    "base": lednet_method("base"),
}
"""The table's rows, in its order."""

ORACLES: dict[str, Oracle] = {
    "oracle_gamma": Oracle("oracle: each image's best gamma and gain", "sees the reference", restore_oracle),
}
