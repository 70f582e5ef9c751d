"""What a learned peer is: a network, the losses it is trained by, and which parameters each of them moves.

Covers the interface that the trainer (`lednet.peer_trainer`) and the Restorer use, and padding. Not covered: the
networks themselves, one small file each beside this one; their names (`peers`). A peer's hyper-parameters are those of
its paper and stand in its class: a checkpoint needs no more than the peer's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lednet.losses import LEDNetLoss


@dataclass(frozen=True)
class Batch:
    """What a training step has to go by."""

    degraded: Tensor
    """[n, 3, h, w], sRGB in [0, 1]."""
    label: Tensor
    """As `degraded`; a method that is trained without pairs must not compare the two."""
    done: float
    """Share of all steps that is behind, in [0, 1)."""
    common: LEDNetLoss
    """The loss of all methods that define none of their own: L1 and VGG19 features."""

    def supervise(self, image: Tensor) -> Tensor:
        """The common loss of a restored image [n, 3, h, w]: LEDNet's without its side image."""
        weights, features = self.common.weights, self.common.features
        with fp32(image):
            loss = F.l1_loss(image, self.label)
            if features is None:
                return loss
            some = math.ceil(len(image) * weights.perceptual_share)
            return loss + weights.perceptual * features.distance(image[:some], self.label[:some])

    def supervise_both(self, image: Tensor, side: Tensor, label: Tensor) -> Tensor:
        """The common loss of a restored image and a side image at 1/8; `label` is as large as the image."""
        with fp32(image):
            loss: Tensor = self.common(image, side, label).total
        return loss


class Turn(NamedTuple):
    """One move of one optimiser. A step has one, or several: those of a generator and its critics."""

    group: str
    """Key of `Peer.groups`."""
    loss: Tensor
    image: Tensor
    """What is restored, for the log; where a turn restores nothing, its input."""
    truth: Tensor | None = None
    """What that should be; None: the batch's labels."""


class Peer(nn.Module):
    """A learned method of the comparison.

    A subclass sets the class variables, gives `forward`, and, where it has losses or a course of its own, `losses` and
    `groups`. Modules that serve training alone stand in `helpers`: they are no part of a checkpoint.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    published_parameters: ClassVar[str]
    """How many trained numbers the paper or its public code has, and who says so."""
    multiple: ClassVar[int] = 1
    """`forward` takes sides that are multiples of this."""
    learning_rate: ClassVar[float] = 2e-4
    """Peak of the rate; the schedule is the same for all."""
    betas: ClassVar[tuple[float, float]] = (0.9, 0.98)
    bytes_per_pixel: ClassVar[int]
    """Peak working memory of one pass in fp32, as `lednet.cost` measures it."""

    def __init__(self) -> None:
        super().__init__()
        self.helpers = nn.ModuleDict()

    def restoring(self) -> dict[str, nn.Parameter]:
        """The parameters that restore, by name: all but the helpers'."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("helpers.")}

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the optimiser that moves them."""
        return {"all": list(self.parameters())}

    def losses(self, batch: Batch) -> Iterator[Turn]:
        """The turns of one step, in order; the next one is asked for after the optimiser of the last has moved."""
        image = self.restore(batch.degraded).float()
        yield Turn("all", batch.supervise(image), image)

    def restore(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] in [0, 1], any size -> restored, the same size, nominally in [0, 1]."""
        image: Tensor = self(pad(x, self.multiple))
        return image[:, :, : x.shape[2], : x.shape[3]]


def fp32(x: Tensor) -> torch.autocast:
    """A context in which nothing is rounded to bf16: networks may be, losses on fp32 images must not be."""
    return torch.autocast(x.device.type, enabled=False)


def pad(x: Tensor, multiple: int) -> Tensor:
    """[n, c, h, w] with its last row and column repeated until the sides are multiples."""
    missing = -x.shape[3] % multiple, -x.shape[2] % multiple
    return F.pad(x, (0, missing[0], 0, missing[1]), mode="replicate") if any(missing) else x


def resize(x: Tensor, like: Tensor) -> Tensor:
    """[n, c, h, w] bilinearly resized to the height and width of another."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def halve(x: Tensor) -> Tensor:
    """[n, c, h, w] bilinearly resized to half its sides, rounded up."""
    size = (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def conv(channels_in: int, channels_out: int, side: int = 3, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps the size, or divides it by the stride."""
    return nn.Conv2d(channels_in, channels_out, side, stride, side // 2, bias=bias)
