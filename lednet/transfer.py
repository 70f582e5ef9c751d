"""Frames on their way to the device and back: uint8 both ways, and on a GPU beside the computing.

Covers the copies, and collecting what was begun. Not covered: what becomes of the levels on the device
(`lednet.restorer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Frames = NDArray[np.uint8]

Pending = Callable[[], Frames]
"""Waits for frames that are under way and gives them; they are the caller's, nothing later overwrites them."""

Part = tuple[slice, Pending]


class HostTransfer:
    """On the CPU nothing is copied."""

    def upload(self, frames: Frames) -> Tensor:
        """Frames [n, h, w, 3] as a tensor."""
        return _tensor(frames)

    def download(self, levels: Tensor) -> Pending:
        """Inverse of `upload`."""
        frames: Frames = levels.numpy()
        return lambda: frames


class PinnedTransfer:
    """Copies to and from a GPU, each way on a stream of its own, through pinned host memory.

    So the next frames come, and the last ones go, while the present ones are computed. Pinned blocks are torch's: it
    keeps those that are let go and hands one out again only once its copy is over, so that a steady run allocates two
    or three of a frame's size for each way, and none after.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.down = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def upload(self, frames: Frames) -> Tensor:
        """Frames [n, h, w, 3] on the device, for what the current stream does next; `frames` may be altered at once."""
        staged = _tensor(frames).pin_memory()
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.up):
            levels = staged.to(self.device, non_blocking=True)
        computing.wait_stream(self.up)
        levels.record_stream(computing)  # its memory belongs to the other stream, which must not use it again too soon
        return levels

    def download(self, levels: Tensor) -> Pending:
        """Inverse of `upload`; returns before the current stream has computed them."""
        levels = levels.contiguous()
        self.down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.down):
            fetched = levels.to("cpu", non_blocking=True)  # into pinned memory
            arrived = self.down.record_event()
        levels.record_stream(self.down)

        def wait() -> Frames:
            arrived.synchronize()
            frames: Frames = fetched.numpy()
            return frames

        return wait


def _tensor(frames: Frames) -> Tensor:
    """An array as a tensor; copied where torch would not have it: not contiguous, or read only as some readers give."""
    return torch.from_numpy(np.require(frames, requirements=("C", "W")))


Transfer = HostTransfer | PinnedTransfer


def transfer_for(device: torch.device) -> Transfer:
    """The way to a device and back."""
    return PinnedTransfer(device) if device.type == "cuda" else HostTransfer()


def collect(parts: Iterable[Part], into: Frames) -> Frames:
    """Fill `into` with its parts. Taking a part may begin it, so the next is taken before one is waited for."""
    last: Part | None = None
    for part in parts:
        if last is not None:
            into[last[0]] = last[1]()
        last = part
    if last is not None:
        into[last[0]] = last[1]()
    return into


def together(parts: Sequence[Part], like: Frames) -> Pending:
    """All parts of an array of the size of `like`, each of them begun, as one; a single part is not copied."""
    return parts[0][1] if len(parts) == 1 else lambda: collect(parts, np.empty(like.shape, np.uint8))
