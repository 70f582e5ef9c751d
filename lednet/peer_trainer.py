"""Training a peer as LEDNet is trained: the same pairs in the same order, the same steps and crops, its own losses.

Covers what a peer's run has of its own: its network, an optimiser for each group of its parameters, its losses, its
card; and the settings by which a run of the comparison differs from a plain one. The loop, resuming and the clips are
`lednet.trainer`'s, the losses `lednet.baselines`'. LEDNet's first steps, for the tone curve alone, are steps like all
others for a peer: as many pictures of the same sizes, but crops, since frames that are shrunk hold little blur to learn
from. From then on both see the same pairs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from lednet.baselines.peer import Batch, Peer
from lednet.baselines.peers import PEERS
from lednet.cost import cost_of
from lednet.curves import read_metrics
from lednet.footage_split import SPLITS
from lednet.losses import LEDNetLoss, VGG19Features
from lednet.metrics import psnr, ssim
from lednet.model import LEDNet
from lednet.train_settings import TrainSettings, learning_rate
from lednet.trainer import Trainer

LEDNET = "lednet"
"""The name of our own network among the peers'."""


@dataclass(frozen=True)
class ComparisonSettings(TrainSettings):
    """A run of the comparison: of another network, or with another split. A plain run has plain `TrainSettings`."""

    model: str = LEDNET
    """Whose `size` counts if it is LEDNet; peers have one size each."""
    split: str = "clip"
    """One of `lednet.footage_split.SPLITS`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model not in (LEDNET, *PEERS):
            raise ValueError(f"unknown model {self.model!r}; name one of {', '.join((LEDNET, *PEERS))}")
        if self.split not in SPLITS:
            raise ValueError(f"unknown split {self.split!r}; name one of {', '.join(SPLITS)}")

    @staticmethod
    def of(plain: TrainSettings, model: str, split: str) -> TrainSettings:
        """The settings for a model and a split: those of a plain run where it is one, so that its state still fits."""
        if model == LEDNET and split == "clip":
            return plain
        values = {f.name: getattr(plain, f.name) for f in fields(plain)}
        return ComparisonSettings(**values | {"model": model, "split": split})


def make_trainer(settings: TrainSettings, *rest: Any) -> Trainer:
    """The trainer for these settings; `rest` as `Trainer`'s."""
    peer = isinstance(settings, ComparisonSettings) and settings.model != LEDNET
    return (PeerTrainer if peer else Trainer)(settings, *rest)


class PeerTrainer(Trainer):
    """One training run of a peer; resumes as `Trainer` does."""

    views = False
    model: Peer
    average: Peer  # type: ignore[assignment]
    settings: ComparisonSettings

    def _build(self, features: VGG19Features | None, origin: LEDNet | None) -> None:
        if origin is not None:
            raise ValueError(f"--init goes on from a LEDNet, not from a {self.settings.model}; leave it out")
        self.model = PEERS[self.settings.model]().to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.loss = LEDNetLoss(self.settings.loss, features).to(self.device)
        decay, betas = self.settings.weight_decay, self.model.betas
        self.moved = self.model.groups()
        self._optimizers = {
            name: torch.optim.AdamW(group, weight_decay=decay, betas=betas) for name, group in self.moved.items()
        }

    @property
    def name(self) -> str:
        """What the checkpoint is called: as the peer."""
        return self.settings.model

    @property
    def in_bf16(self) -> bool:
        """On GPUs alone: how fast each peer's gradients in bf16 are on a CPU was not measured."""
        return self.device.type == "cuda"

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each group of parameters."""
        return {f"optimizer_{name}": optimizer for name, optimizer in self._optimizers.items()}

    def flops_of_step(self, step: int) -> float:
        """Not counted: a peer's turns are not all passes of one network."""
        return 0.0

    def _learn(self, degraded: Tensor, label: Tensor) -> tuple[float, float]:
        """All turns of a step, each with its optimiser; returns the first turn's loss and PSNR."""
        self.model.train()
        rate = learning_rate(self.step, self.settings, self.settings.all_steps)
        batch = Batch(degraded, label, self.step / self.settings.all_steps, self.loss)
        turns = self.model.losses(batch)
        told: list[tuple[float, float]] = []
        while True:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bf16):
                turn = next(turns, None)
            if turn is None:
                break
            self._descend(turn.loss, self._optimizers[turn.group], rate, self.moved[turn.group], (degraded, label))
            truth = label if turn.truth is None else turn.truth
            told.append((turn.loss.item(), psnr(turn.image.detach().clamp(0, 1), truth).mean().item()))
        for mean, now in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mean.copy_(now)  # the statistics of batch normalisation are averages already
        return told[0]

    def _figures(self, degraded: Tensor, label: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            restored = self.average.restore(degraded).float().clamp(0, 1)
        return {"psnr_peer": psnr(restored, label), "ssim_peer": ssim(restored, label)}

    def description(self) -> dict[str, Any]:
        """Who it is, what it costs, and its curve: [step, loss, PSNR in dB on the training batches]."""
        self.average.eval()
        cost = cost_of(self.average.restore, self.device)
        return {
            "model": self.model.name,
            "source": self.model.source,
            "parameters": sum(p.numel() for p in self.model.restoring().values()),
            "published_parameters": self.model.published_parameters,
            "gmacs_at_256": round(cost.gmacs, 3),
            "memory_mb_at_256": round(cost.memory_mb, 1),
            "curve": self._curve(),
        }

    def _curve(self) -> list[list[float]]:
        path = self.out / "metrics.jsonl"
        lines = read_metrics(path) if path.exists() else []
        found = [line for line in lines if "loss" in line and line["step"] <= self.step]
        return [[line["step"], round(line["loss"], 5), round(line["psnr"], 3)] for line in found]
