"""What bounds a pass on this machine: its floating-point operations and memory traffic beside measured ceilings.

Covers counting the work of a call, the ceilings of a device (a copy, a matrix product; measured, not looked up), the
peak memory of a call and the kernels that take its time. Source: Williams et al., "Roofline", CACM 52(4), 2009. Not
covered: what is timed (`lednet.bench`), caches: the traffic is what operators read and write, wherever it stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, shape_wrapper

from lednet.cost import UNKNOWN_TO_TORCH
from lednet.memory import return_freed_memory

MATRIX = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices that the arithmetic ceiling is taken from."""
LEAST_COPY = 1 << 20
TRIES = 5
TOGETHER = {"cpu": 1, "cuda": 20}
"""Calls that a try of a ceiling is made of: beside a single one on a GPU, which takes some tens of microseconds, its
launch and the wait for it would count as much as the copy."""

NO_TRAFFIC = (
    "aten::empty", "aten::empty_like", "aten::empty_strided", "aten::detach", "aten::_reshape_alias",
    "aten::_unsafe_view",
)  # fmt: skip

COUNTED: dict[Any, Callable[..., int]] = flop_registry | {
    op: shape_wrapper(count)  # type: ignore[no-untyped-call]
    for op, count in UNKNOWN_TO_TORCH.items()
}
"""The floating-point operations of an operator, by its arguments and what it gives."""


class Ceilings(NamedTuple):
    """The best this device does."""

    flops_per_s: float
    bytes_per_s: float
    """Read and written, in a copy of a tensor as large as the one that was asked about."""


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, while it is entered, the operators' floating-point operations and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and note what it costs; one that is made of others is counted by those."""
        kwargs = kwargs or {}
        if func._overloadpacket not in COUNTED:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if func._overloadpacket in COUNTED:
            self.flops += COUNTED[func._overloadpacket](*args, **kwargs, out_val=out)
        returns = func._schema.returns
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        if not is_view and func._schema.name not in NO_TRAFFIC:
            self.bytes += _bytes_of(tree_leaves((args, kwargs, out)))
        return out


def _bytes_of(values: Iterable[Any]) -> int:
    """Of each tensor, what is expanded along an axis counts once: attention's bias is one for all rows."""
    tensors = (v for v in values if isinstance(v, Tensor))
    return sum(
        math.prod(n for n, stride in zip(v.shape, v.stride(), strict=True) if stride) * v.element_size()
        for v in tensors
    )


def ceilings(device: torch.device, dtype: torch.dtype, copied_bytes: int) -> Ceilings:
    """Measure a device, with the threads that this process has.

    Args:
        copied_bytes: of the copy; as many as the pass's largest features have, so that a cache helps both alike.
    """
    source = torch.zeros(max(copied_bytes, LEAST_COPY) // 4, device=device)
    target = torch.empty_like(source)
    moved = 2 * source.numel() * 4 / _best(lambda: target.copy_(source), device)
    return Ceilings(most_flops_per_s(device, dtype), moved)


def most_flops_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """Of a product of large matrices. Draws from no generator but its own: training resumes to the bit."""
    side, chance = MATRIX[device.type], torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(side, side, device=device, dtype=dtype, generator=chance) for _ in range(2))
    return 2 * side**3 / _best(lambda: a @ b, device)


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's queue drained before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _best(call: Callable[[], object], device: torch.device) -> float:
    calls = TOGETHER[device.type]

    def stretch() -> None:
        for _ in range(calls):
            call()

    call()
    return min(seconds(stretch, device) for _ in range(TRIES)) / calls


class Kernel(NamedTuple):
    """What was launched of one kind."""

    name: str
    calls: int
    ms: float
    """Of all of them together."""


def costliest(call: Callable[[], object], device: torch.device, most: int) -> list[Kernel]:
    """What takes the time of a call, costliest first: a GPU's kernels by their time there, or a CPU's operators.

    Of a CPU, what the calling thread runs.
    """
    on_gpu = device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=kinds) as profile:
        seconds(call, device)
    found = [
        Kernel(e.key, e.count, (e.self_device_time_total if on_gpu else e.self_cpu_time_total) / 1000)
        for e in profile.key_averages()
        if (e.device_type == torch.autograd.DeviceType.CUDA) == on_gpu
    ]
    return sorted(found, key=lambda kernel: -kernel.ms)[:most]


def peak_memory_mb(call: Callable[[], object], device: torch.device) -> float:
    """How much more memory a call takes at its peak than before it: on the device, or of this process.

    NaN where the system does not tell (elsewhere than on Linux).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    return_freed_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
        held = _status_mb("VmRSS")
    except OSError:
        call()
        return math.nan
    call()
    return max(0.0, _status_mb("VmHWM") - held)


def _status_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return math.nan
