"""What a pass of a network costs, counted the same way for every method: parameters, multiply-adds, memory.

Multiply-adds are those of convolutions, matrix products and attention, as torch's own counter sees them, at 256x256:
half its FLOPs. Pointwise arithmetic, normalisation and Fourier transforms are not in it. Memory is the peak of the
tensors that live at once beside the weights, counted from their allocations, so it is the same on every device; what
OpenCV and numpy take is not seen, nor what a library's own kernels take for themselves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_flop_count

from lednet.model import LEDNet, LEDNetConfig

SIDE = 256
"""Pixels each way of the frame that multiply-adds are stated for, as papers do."""


def _of_onednn(x: list[int], weight: list[int], *_: Any, out_shape: list[int], **__: Any) -> int:
    return conv_flop_count(x, weight, out_shape)


def _of_attention(q: list[int], k: list[int], v: list[int], *_: Any, **__: Any) -> int:
    flops: int = sdpa_flop_count(q, k, v)  # type: ignore[no-untyped-call]
    return flops


UNKNOWN_TO_TORCH: dict[Any, Any] = {
    torch.ops.aten.mkldnn_convolution: _of_onednn,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _of_attention,
}
"""Operations that torch's counter leaves out: oneDNN's, which the CPU's own pass (`lednet.inference`) calls by itself,
and a CPU's attention."""


@dataclass(frozen=True)
class Cost:
    """Of one pass."""

    gmacs: float
    """Multiply-adds, in thousand millions."""
    memory_mb: float
    """Peak of the tensors beside the weights, in MiB."""


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages that operations allocate, until they are freed."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known = {t.untyped_storage().data_ptr() for t in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if not place or place in self._known:
            return
        self._known.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, place, size)

    def _free(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def memory_of(run: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Peak of the tensors that `run` allocates for [n, 3, h, w], in MiB."""
    peak = _Peak([x])
    with torch.no_grad(), peak:
        run(x)
    return peak.peak / 2**20


def gmacs_of(run: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Multiply-adds of `run` for [n, 3, h, w], in thousand millions; papers state those of `any_frame`."""
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=UNKNOWN_TO_TORCH) as counter:
        run(x)
    return float(counter.get_total_flops() / 2e9)


def any_frame(device: torch.device | None = None) -> Tensor:
    """[1, 3, `SIDE`, `SIDE`] in [0, 1]."""
    return torch.rand(1, 3, SIDE, SIDE, device=device)


def cost_of(run: Callable[[Tensor], Tensor], device: torch.device | None = None) -> Cost:
    """What a method costs on `any_frame`; `run` takes and gives [1, 3, h, w] in [0, 1]."""
    x = any_frame(device)
    return Cost(gmacs_of(run, x), memory_of(run, x))


@cache
def flops_of_pass(config: LEDNetConfig, batch: int, height: int, width: int) -> int:
    """Floating-point operations of one pass of a LEDNet over [batch, 3, height, width], as multiply-adds are counted.

    On tensors without data, so that it costs no time on the device; once in a process, as it takes half a second.
    """
    with torch.device("meta"):
        network, x = LEDNet(config).eval(), torch.empty(batch, 3, height, width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    return int(counter.get_total_flops())
