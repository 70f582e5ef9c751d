"""The authors' code of our peers: where it stands below a folder of clones, how it is made and how it is run.

For `check_peers`, whose first lines list the clones. Not covered: their weights' names (`carry_weights`), comparing.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.drbn import DRBN
from lednet.baselines.peer import Peer as Ours
from tests.bench import carry_weights, compare_peers
from tests.bench.carry_weights import Renames
from tests.bench.compare_peers import Peer

ENLIGHTEN_OPTIONS = SimpleNamespace(
    **dict.fromkeys(("tanh", "linear_add", "linear", "latent_threshold", "latent_norm", "syn_norm"), False),
    self_attention=True,
    times_residual=True,
    use_norm=1,
    use_avgpool=0,
    skip=1.0,
)
"""As EnlightenGAN's `scripts/script.py` sets them, for training and for prediction."""


class Check(NamedTuple):
    """One comparison."""

    ours: str
    """Key of `PEERS`."""
    theirs: dict[str, Peer]
    """Where their modules stand below REF; several are seen as one, each under its key."""
    make: Callable[..., nn.Module]
    """Their classes, in that order -> their network."""
    run: Callable[[nn.Module, Tensor], Tensor]
    """Their network on pictures [n, 3, h, w] in [0, 1] -> restored, in [0, 1] too."""
    renames: Renames = ()
    weights: tuple[tuple[str, str], ...] = ()
    """(file below REF, what its tensors' names begin with in their network)."""
    part: str = ""
    """What the names of our tensors begin with, if but a part of our network is compared."""
    run_part: Callable[[Ours, Tensor], Tensor] = lambda ours, x: ours(x)
    differs: str = "nothing"


def run_drbn(theirs: nn.Module, x: Tensor) -> Tensor:
    """Stage 1, its coarse results enlarged as their test script does, and stage 2."""
    full, half, quarter = theirs.get_submodule("bands")(x)
    coarse = [F.interpolate(image, scale_factor=k, mode="bilinear") for image, k in ((quarter, 4), (half, 2))]
    restored: Tensor = theirs.get_submodule("recompose")([x, *coarse, full])[0]
    return restored


def run_enlighten(theirs: nn.Module, x: Tensor) -> Tensor:
    """Pictures from -1 to 1 and their darkness, as their data set makes them."""
    red, green, blue = x.unbind(1)
    dark = 1 - (0.299 * red + 0.587 * green + 0.114 * blue)
    return (theirs(2 * x - 1, dark[:, None])[0] + 1) / 2  # type: ignore[no-any-return]


def bands_of(ours: Ours, x: Tensor) -> Tensor:
    """The result of our DRBN's first stage."""
    assert isinstance(ours, DRBN)
    return ours.bands(x)[0]


def drbn(stage: str, name: str) -> Peer:
    return Peer(f"CVPR-2020-Semi-Low-Light/{stage}/src", ("model",), f"model.{name.lower()}", name)


DRBN_1, DRBN_2 = "DRBL-stage1", "DRBL-stage2-other-datasets"
COLOURS = SimpleNamespace(n_colors=3)
SIDE_HEAD = "theirs counts the side image's head, {}, ours does not; padding: ours repeats the border, theirs {}"

CHECKS = {
    "DRBN, stage 1": Check(
        "drbn",
        {"bands": drbn(DRBN_1, "DRBN")},
        lambda bands: nn.ModuleDict({"bands": bands(COLOURS)}),
        lambda theirs, x: theirs.get_submodule("bands")(x)[0],
        carry_weights.RECURSIONS,
        ((f"CVPR-2020-Semi-Low-Light/{DRBN_1}/src/pretrain/model_s1.pt", "bands."),),
        "recursions.",
        bands_of,
    ),
    "DRBN, both stages": Check(
        "drbn",
        {"bands": drbn(DRBN_2, "DRBN"), "recompose": drbn(DRBN_2, "RECOMPOSE")},
        lambda bands, recompose: nn.ModuleDict({"bands": bands(COLOURS), "recompose": recompose(COLOURS)}),
        run_drbn,
        carry_weights.RECURSIONS,
        (
            (f"CVPR-2020-Semi-Low-Light/{DRBN_2}/src/pretrain/model_s2.pt", "bands."),
            (f"CVPR-2020-Semi-Low-Light/{DRBN_2}/src/pretrain/model_R_s2.pt", "recompose."),
        ),
        differs="theirs makes a sigmoid for the bands' weights and does not use it; neither does ours",
    ),
    "DSLR": Check(
        "dslr",
        {"": Peer("DSLR-release", (), "model", "LMSN")},
        lambda kind: kind(),
        lambda theirs, x: theirs(x)[2],
        carry_weights.RESTORERS,
    ),
    "EnlightenGAN": Check(
        "enlighten_gan",
        {"": Peer("EnlightenGAN", ("models",), "models.networks", "Unet_resize_conv")},
        lambda kind: kind(ENLIGHTEN_OPTIONS, True),
        run_enlighten,
        carry_weights.ATTENTION_UNET,
        differs="their upsampling is this torch's; torch 0.3.1, which they name, aligned the corners",
    ),
    "Zero-DCE": Check(
        "zero_dce_trained",
        {"": Peer("Zero-DCE/Zero-DCE_code", (), "model", "enhance_net_nopool")},
        lambda kind: kind(),
        lambda theirs, x: theirs(x)[1],
        weights=(("Zero-DCE/Zero-DCE_code/snapshots/Epoch99.pth", ""),),
    ),
    "IAT": Check(
        "local_global",
        {"": compare_peers.PEERS["IAT"]},
        lambda kind: kind(),
        lambda theirs, x: theirs(2 * x - 1)[2],
        weights=(("Illumination-Adaptive-Transformer/IAT_enhance/best_Epoch_lol.pth", ""),),
        differs="input from -1 to 1 is made inside ours; for LOL-v2 (these weights) their loader makes it",
    ),
    "LEDNet (ECCV 2022)": Check(
        "lednet_eccv",
        {"": compare_peers.PEERS["LEDNet (ECCV 2022)"]},
        lambda kind: kind(),
        lambda theirs, x: theirs(x),
        carry_weights.ECCV,
        differs=SIDE_HEAD.format("3,459", "mirrors it"),
    ),
    "DarkIR-m": Check(
        "darkir",
        {"": compare_peers.PEERS["DarkIR-m"]},
        lambda kind: kind(),
        lambda theirs, x: theirs(x),
        carry_weights.DARKIR,
        differs=SIDE_HEAD.format("6,915", "adds black"),
    ),
}
