"""Training on several devices at once: one process a device, started by torchrun.

    torchrun --nproc-per-node 4 -m lednet.train --data CLIPS --out RUN ...

Covers what the processes say to each other. Every one learns from batches of its own, gradients are averaged, so all
keep the same weights; the first writes and tells. Not covered: the training (`lednet.trainer`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

SEEDS_APART = 1_000_003
"""Between the seeds of one process and the next."""


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and of how many; alone by default."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and tells."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """A seed of this process's own; the first's is the seed itself."""
        return seed + SEEDS_APART * self.rank

    def average(self, tensors: Iterable[Tensor | None]) -> None:
        """Make floating-point tensors the mean over all processes, in place. All must call it with the same shapes."""
        if self.count == 1:
            return
        found = [x for x in tensors if x is not None and x.is_floating_point()]
        together = torch.cat([x.detach().float().flatten() for x in found])
        dist.all_reduce(together)
        for x, mean in zip(found, together.split([x.numel() for x in found]), strict=True):  # type: ignore[no-untyped-call]
            x.copy_((mean / self.count).view_as(x))

    def together(self, state: Tensor) -> list[Tensor]:
        """Every process's random state, in order of rank, on the CPU."""
        if self.count == 1:
            return [state.cpu()]
        found: list[Tensor | None] = [None] * self.count
        dist.all_gather_object(found, state.cpu())
        return [x for x in found if x is not None]

    def any(self, told: bool) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return told
        found: list[bool | None] = [None] * self.count
        dist.all_gather_object(found, told)
        return any(found)

    def wait(self) -> None:
        """Until every process has come here."""
        self.any(False)


def join(device: torch.device) -> tuple[Ranks, torch.device]:
    """This process's place among those that torchrun started, and its device; alone where torchrun did not.

    Raises:
        ValueError: if a machine is asked for more processes than it has GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks(), device
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ValueError(f"process {local} of this machine has no GPU: it has {torch.cuda.device_count()}; "
                             "pass --nproc-per-node that, or --device cpu")  # fmt: skip
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(dist.get_rank(), count), device


def leave() -> None:
    """Part from the others, where there are any."""
    if dist.is_initialized():
        dist.destroy_process_group()
