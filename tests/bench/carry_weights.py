"""Carry the weights of a network of others over into ours, by a table of renamings; and the tables.

For `check_peers`. A table's rows are (regular expression in their tensors' names, what it becomes), applied in turn.
Not covered: loading files, and networks whose tensors have the same names as ours (they need no table).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

Renames = Sequence[tuple[str, str]]
"""(regular expression in their tensors' names, what it becomes), applied in turn."""

RECURSIONS: Renames = (
    *((rf"recur{i}\.", f"recursions.{i - 1}.") for i in (1, 2, 3, 4)),
    *(("SFENet1", "first"), ("SFENet2", "second"), (r"convs\.(\d)\.conv\.0", r"convs.\1")),
    *((r"(recompose.*)RDBs\.0", r"\1block"), ("RDBs", "blocks"), ("LFF", "fuse"), ("GFF", "fuse")),
    *((r"(recompose.*)UPNet2", r"\1last.1"), (r"(recompose.*)UPNet", r"\1last.0"), ("recompose", "recomposition")),
    *((r"UPNet\.", "images.0."), (r"UPNet2\.", "images.1."), (r"UPNet4\.", "images.2.")),
    *((r"\.Down", ".down"), (r"\.Up", ".up"), (r"^bands\.", "")),
)
RESTORERS: Renames = (
    *((f"Stage{i}", f"levels.{3 - i}") for i in (1, 2, 3)),
    *((rf"(levels\.2.*)\.res_l{i}", rf"\1.levels.{3 - i}") for i in (1, 2, 3)),
    *((rf"\.res_l{i}", f".levels.{2 - i}") for i in (1, 2)),
    *((r"\.conv1\.", ".first."), (r"\.conv2\.", ".second.")),
    *((rf"\.conv{i}_1", f".down.{i - 1}") for i in (1, 2, 3)),
    *((rf"\.conv{i}_r1", f".encode.{i - 1}") for i in (1, 2, 3)),
    *((rf"\.Deconv{i}_1", f".up.{3 - i}") for i in (1, 2, 3)),
    *((rf"\.Deconv{i}_r1", f".decode.{3 - i}") for i in (1, 2, 3)),
)
ATTENTION_UNET: Renames = (
    *((f"deconv{i}", f"narrow.{8 - i}") for i in (5, 6, 7, 8)),
    *((rf"^(conv|bn){i}_", rf"down.{i - 1}.\1") for i in (1, 2, 3, 4, 5)),
    *((rf"^(conv|bn){i}_", rf"up.{9 - i}.\1") for i in (6, 7, 8, 9)),
    *((r"\.conv1\.", ".first."), (r"\.conv2\.", ".second."), (r"\.bn(\d)", r".norm\1"), ("conv10", "light")),
)
ECCV: Renames = (
    *((r"^E_block1\.([01])\.", r"stem.\1."), (r"^E_block1\.2", "E_block1")),
    *((rf"E_block{i}\.reshape_conv", f"encode.{i - 1}.1") for i in (1, 2, 3)),
    *((f"E_block{i}", f"encode.{i - 1}.0") for i in (1, 2, 3)),
    *((r"D_block0\.1", "image"), (r"D_block0\.0", "D_block0"), ("D_block3", "deepest")),
    *((r"D_block(\d)\.reshape_conv", r"decode.\1.0"), (r"D_block(\d)", r"decode.\1.1")),
    *((rf"conv_fac_k{i}", f"skip.{i - 1}.predict") for i in (1, 2, 3)),
    *((rf"conv_{i}c\.predict_a", f"curve.{i - 1}.predict") for i in (1, 2, 3)),
    *((rf"PPM{i}", f"pool.{i - 1}") for i in (1, 2, 3)),
    *((r"features\.(\d)\.1", r"parts.\1.0"), (r"features\.(\d)\.2", r"parts.\1.1")),
    *(("M_block1", "middle.0"), ("M_block2", "middle.1"), ("side_out", "helpers.side")),
    *(("body1", "first"), (r"body2\.2", "third"), ("body2", "second")),
    *((r"top\.([01])\.", r"enter.\1."), (r"top\.2", "mix.0"), (r"top\.3", "mix.1")),
    *((r"top\.[45]\.weight", "leave.weight"), (r"bot\.1", "short")),
)
DARKIR: Renames = (
    *(("intro", "stem"), ("ending", "image"), ("side_out", "helpers.side"), (r"\.modules_list", "")),
    *(("encoders", "encode"), ("decoders", "decode"), ("downs", "down"), ("ups", "up")),
    *(("middle_blks_enc", "middle_light"), ("middle_blks_dec", "middle_blur"), (r"\.branch\.0", "")),
    *(("extra_conv", "extra"), ("conv1", "widen"), (r"sca\.1", "scale"), ("conv3", "narrow")),
    *((r"freq\.process1\.0", "amplitudes.first"), (r"freq\.process1\.2", "amplitudes.second")),
    *(("conv4", "first"), ("conv5", "second")),
)
CONSTANT = r"\.filt$"
"""Tensors of theirs that nothing learns, and that ours makes when it needs them."""


def carry(theirs: Mapping[str, Tensor], ours: nn.Module, renames: Renames, part: str = "") -> None:
    """Give ours the tensors of theirs. Raises ValueError if one has no place, or a place of ours no tensor."""
    own = ours.state_dict()
    state = {}
    for old, tensor in theirs.items():
        name = old
        for pattern, new in renames:
            name = re.sub(pattern, new, name)
        if re.search(CONSTANT, name):
            continue
        if name not in own or name in state or own[name].shape != tensor.shape:
            raise ValueError(f"their {old} {tuple(tensor.shape)}, renamed {name}, has no place in ours")
        state[name] = tensor
    needed = [name for name in own if name.startswith(part) and not name.startswith("helpers.")]
    if missing := [name for name in needed if name not in state]:
        raise ValueError(f"theirs has nothing for our {', '.join(missing)}")
    ours.load_state_dict(state, strict=False)
