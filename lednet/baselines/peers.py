"""The learned peers by name: what `lednet train --model NAME` trains and a checkpoint's card may name."""

from __future__ import annotations

from pathlib import Path

from lednet.baselines.darkir import DarkIR
from lednet.baselines.dpdnet import DPDNet
from lednet.baselines.drbn import DRBN
from lednet.baselines.dslr import DSLR
from lednet.baselines.enlighten_gan import EnlightenGAN
from lednet.baselines.lednet_eccv import LEDNetECCV
from lednet.baselines.llnet import LLNet
from lednet.baselines.local_global import LocalGlobal
from lednet.baselines.peer import Peer
from lednet.baselines.retinex_unet import RetinexUNet
from lednet.baselines.zero_dce_training import ZeroDCE

PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (*(DRBN, DSLR, EnlightenGAN, DPDNet, LLNet, ZeroDCE, RetinexUNet, LocalGlobal, LEDNetECCV, DarkIR),)
}
"""In the table's order: those of the paper's Table 1, those it names, those that set today's bar."""

SHIPPED_PEERS = Path(__file__).parent / "weights"
"""Folder of the checkpoints of all of them and of a LEDNet that was trained alike. Part of the repository, and not of
an installed package, which need not be a hundred times as large for the sake of a comparison."""
