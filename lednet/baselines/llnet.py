"""LL-Net: a stacked sparse denoising auto-encoder on patches.

Source: Lore, Akintayo and Sarkar, "LLNet: a deep autoencoder approach to natural low-light image enhancement", Pattern
Recognition, 2017; widths of the authors' colour version. Patches of 17 pixels are darkened and noisy, the network gives
them back bright and clean. Its own course: three layers are trained one after the other as denoising auto-encoders
with sparse codes, then unrolled into a decoder, then all of it is tuned. Frames are restored patch by patch, three
pixels apart, and overlaps are averaged. Course after the paper; the colour code pretrains all five hidden layers, under
Gaussian noise and with codes that are 0.2 active.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.baselines.peer import Batch, Peer, Turn

PATCH, STEP = 17, 3
VALUES = 3 * PATCH * PATCH
WIDTHS = (VALUES, 2000, 1900, 1800)
PRETRAINED = 0.1
"""Share of the steps that each of the three layers is pretrained for."""

PATCHES_A_STEP = 1024
CORRUPTION, SPARSITY, SPARSITY_WEIGHT = 0.1, 0.05, 0.01
"""Share of a layer's input set to zero; how active a code shall be on average, and what being otherwise costs."""

ROWS_AT_ONCE = 16
"""Rows of patches that are restored at a time."""


class LLNet(Peer):
    """Six fully connected layers on patches."""

    name, title = "llnet", "LL-Net"
    source = "Lore et al., Pattern Recognition 2017"
    published_parameters = "17,918,467 (from the public code's layer widths, by tests/bench/check_peers.py)"
    learning_rate = 1e-3
    bytes_per_pixel = 1730

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(WIDTHS))
        self.decode = nn.ModuleList(nn.Linear(b, a) for a, b in pairwise(WIDTHS))
        self.register_buffer("unrolled", torch.zeros((), dtype=torch.uint8))
        for layer in (*self.encode, *self.decode):
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight, 4.0)
            nn.init.zeros_(layer.bias)

    def codes(self, patches: Tensor, layers: int) -> Tensor:
        """Patches [k, 867] in [0, 1] -> the codes of the first few layers."""
        for layer in self.encode[:layers]:
            patches = layer(patches).sigmoid()
        return patches

    def restore_patches(self, patches: Tensor) -> Tensor:
        """Patches [k, 867] in [0, 1] -> the same."""
        values = self.codes(patches, len(WIDTHS))
        for layer in reversed(self.decode):
            values = torch.sigmoid(layer(values))
        return values

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w], any size -> restored."""
        n, _, height, width = x.shape
        below, right = (max(PATCH - side, -(side - PATCH) % STEP) for side in (height, width))
        x = F.pad(x, (0, right, 0, below), mode="replicate")
        total, weight = torch.zeros_like(x, dtype=torch.float32), torch.zeros_like(x[:, :1], dtype=torch.float32)
        for top in range(0, x.shape[2] - PATCH + 1, ROWS_AT_ONCE * STEP):
            strip = x[:, :, top : top + (ROWS_AT_ONCE - 1) * STEP + PATCH]
            patches = F.unfold(strip, PATCH, stride=STEP)
            values = self.restore_patches(patches.transpose(1, 2).reshape(-1, VALUES)).float()
            columns = values.reshape(n, -1, VALUES).transpose(1, 2)
            rows = slice(top, top + strip.shape[2])
            size = (strip.shape[2], strip.shape[3])
            total[:, :, rows] += F.fold(columns, size, PATCH, stride=STEP)
            weight[:, :, rows] += F.fold(torch.ones_like(columns[:, : PATCH * PATCH]), size, PATCH, stride=STEP)
        restored: Tensor = (total / weight)[:, :, :height, :width].to(x.dtype)
        return restored

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Each layer and the bias of its way back, for pretraining; and all of it."""
        pairs = zip(self.encode, self.decode, strict=True)
        alone = {f"layer{i}": [*a.parameters(), *list(b.parameters())[1:]] for i, (a, b) in enumerate(pairs)}
        return alone | super().groups()

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """One denoising auto-encoder after the other on clean patches, then the mapping from dark to clean ones."""
        patches, wanted = self._patches(batch)
        layer = int(batch.done / PRETRAINED)
        if layer < len(self.encode):
            with torch.no_grad():
                below = self.codes(wanted, layer)
            yield Turn(f"layer{layer}", self.pretrain(layer, below), batch.degraded)
            return
        self._unroll()
        values = self.restore_patches(patches).float()
        squares, truth = (t.reshape(-1, 3, PATCH, PATCH) for t in (values, wanted))
        yield Turn("all", F.mse_loss(values, wanted), squares, truth)

    def pretrain(self, layer: int, values: Tensor) -> Tensor:
        """Loss of one layer and its transpose as a sparse denoising auto-encoder of values [k, c] in [0, 1]."""
        kept = values * (torch.rand_like(values) > CORRUPTION)
        code = self.encode[layer](kept).sigmoid().float()
        mirror = self.encode[layer].weight.T
        assert isinstance(mirror, Tensor)
        back = F.linear(code, mirror, self.decode[layer].bias).sigmoid().float()  # type: ignore[arg-type]
        active = code.mean(0).clamp(1e-4, 1 - 1e-4)
        divergence = SPARSITY * (SPARSITY / active).log() + (1 - SPARSITY) * ((1 - SPARSITY) / (1 - active)).log()
        loss: Tensor = F.mse_loss(back, values) + SPARSITY_WEIGHT * divergence.mean()
        return loss

    def _unroll(self) -> None:
        """Once, after pretraining: the decoder becomes the encoder's transpose, with the biases it has learnt."""
        if self.unrolled:
            return
        with torch.no_grad():
            for a, b in zip(self.encode, self.decode, strict=True):
                assert isinstance(a, nn.Linear)
                assert isinstance(b, nn.Linear)
                b.weight.copy_(a.weight.T)
            self.get_buffer("unrolled").fill_(1)

    @staticmethod
    def _patches(batch: Batch) -> tuple[Tensor, Tensor]:
        """The same patches, drawn at random, of the degraded and the clean pictures: [k, 867] each."""
        both = [
            F.unfold(t, PATCH, stride=STEP).transpose(1, 2).reshape(-1, VALUES) for t in (batch.degraded, batch.label)
        ]
        chosen = torch.randperm(len(both[0]), device=both[0].device)[:PATCHES_A_STEP]
        return both[0][chosen], both[1][chosen]
