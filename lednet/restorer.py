"""Restorer: uint8 frames in, uint8 frames out.

Covers device and precision, batching and tiling under a memory bound. Not covered: the copies to the device and back
(`lednet.transfer`), compiling (`lednet.compiled`), video files (`tasks.decode`, `tasks.video`) and what is remembered
of earlier frames (`lednet.video`): here equal frames give equal results, in any order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lednet import checkpoint
from lednet.baselines.peer import Peer
from lednet.compiled import CompiledPass
from lednet.inference import frame_statistic, multiplies_bf16, restore_frame
from lednet.memory import keep_freed_memory
from lednet.model import SMALLEST, STATISTICS, Core, LEDNet
from lednet.transfer import Pending, collect, together, transfer_for

TILE_OVERLAP = 128
"""Pixels that neighbouring tiles share; their results are blended over it."""

TILE_SHARE = 0.6
"""Of the pixels of a whole frame that memory has room for, those of a tile: what tiles of several sizes leave behind
does not fit the next ones, and the frame itself lies beside them."""

TILE_GRID = 64
"""Tiles begin at multiples of this, where the attention windows of the finest scale begin too."""

LEAST_TILE = 256

BYTES_OF_CPU_PASS, BYTES_OF_MODEL_PASS = 20, 34
"""Peak working memory of one pass per frame pixel and per channel of the finest scale, in fp32. From bytes to bytes the
CPU's pass took up to 18.7 at 1080p (docs/performance.md), the model's some 4 more; on a GPU none was measured yet."""


def choose_device(device: str) -> torch.device:
    """ "auto" is the first GPU, or else the CPU. Raises ValueError if the named device can't be used."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:  # whose message lists every kind of device that torch has ever heard of
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r}: none that can be used; pass 'auto', 'cpu', 'cuda', 'cuda:1' ...")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device}: no CUDA device can be used here; pass device='cpu' or 'auto'")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device}: there are {torch.cuda.device_count()}, from cuda:0 on; pass one of them")
    return chosen


def tile_spans(length: int, tile: int) -> list[tuple[int, int]]:
    """Where tiles of one axis begin and end: they begin on `TILE_GRID` and share `TILE_OVERLAP` with the next.

    The last one may be shorter than `tile`, but is longer than the overlap.
    """
    step = tile - TILE_OVERLAP
    starts = [0]
    while starts[-1] + tile < length:
        starts.append(starts[-1] + step)
    return [(start, min(start + tile, length)) for start in starts]


def _restore_on_one_thread() -> None:
    """What is left to a forked process: torch's other threads stayed with its parent, and it would wait for them."""
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_restore_on_one_thread)


class Restorer:
    """Restores dark and blurred frames with the checkpoint of a LEDNet, or of one of its peers.

    Threads may share one, and it can be pickled (but for `compile`). A forked process restores on one thread; for more,
    begin processes by `spawn`.

    Args:
        model: name of a shipped checkpoint ("small", "base"), path of a .safetensors file, or a network, which is not
            copied: it is set to evaluation, moved to the device and cast to the precision.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        precision: "fp32", "bf16", or "auto": bf16 on a GPU, and for LEDNet on a CPU that multiplies it. On the CPU that
            is what LEDNet's blocks multiply in (`lednet.inference`); weights and all else of it stay fp32.
        memory_mb: bound of the working memory of one pass. A batch that needs more is split, and a single frame that
            needs more is tiled.
        compile: let torch.compile write the kernels of LEDNet's pass (`lednet.compiled`). For GPUs, and never yet run
            on one: a minute or so for each new size of frame and batch, after which frames should come faster. Of a
            tiled frame only the pass that restores is compiled. Peers go without; a CPU compiles fp32.

    Raises:
        CheckpointError: if the checkpoint is missing, damaged or not what its card says.
        ValueError: if the device or the precision is not to be had, or the memory is below 1 MiB.
    """

    def __init__(
        self,
        model: str | Path | LEDNet | Peer,
        *,
        device: str = "auto",
        precision: str = "auto",
        memory_mb: int = 3072,
        compile: bool = False,
    ) -> None:
        if precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision must be auto, fp32 or bf16, not {precision!r}")
        if memory_mb < 1:
            raise ValueError(f"memory_mb must be at least 1, not {memory_mb}")
        self.device = choose_device(device)
        net: LEDNet | Peer
        if isinstance(model, LEDNet | Peer):
            self.name, self.sha256, net = "unsaved", "", model
        else:
            net, card = checkpoint.load_network(model)
            self.name, self.sha256 = card.name, card.sha256
        if self.device.type == "cpu":
            keep_freed_memory()
        self.frame_by_frame = self.device.type == "cpu" and isinstance(net, LEDNet)
        """Whether passes take the CPU's own layout (`lednet.inference`), which knows no batches."""
        fast = multiplies_bf16() and not compile if self.frame_by_frame else self.device.type == "cuda"
        bf16 = precision == "bf16" or (precision == "auto" and fast)
        self.products = torch.bfloat16 if bf16 else torch.float32
        """What the network multiplies in; on the CPU, LEDNet's blocks."""
        self.dtype = torch.float32 if self.frame_by_frame else self.products
        """What the network takes and gives."""
        self.model: LEDNet | Peer = net.eval().to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.compiled = CompiledPass(net) if compile and isinstance(net, LEDNet) else None
        self.transfer = transfer_for(self.device)
        self.pixels_at_once = int(memory_mb * 2**20 / (self._bytes_per_pixel(net) * self.dtype.itemsize / 4))

    def _bytes_per_pixel(self, net: LEDNet | Peer) -> int:
        """Working memory of a pass in fp32, per pixel of its frames."""
        if isinstance(net, Peer):
            return net.bytes_per_pixel
        return (BYTES_OF_CPU_PASS if self.frame_by_frame else BYTES_OF_MODEL_PASS) * net.config.channels[0]

    def restore(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Restore frames [n, h, w, 3], uint8 sRGB in RGB order -> the same shape and type.

        Frames do not influence each other. Sides below 16 px are padded for the network and cut again. What is given
        back is contiguous, whatever the strides of what was given.

        Raises:
            ValueError: if the array is not uint8 [n, h, w, 3].
        """
        parts = self.passes(frames)
        return collect(((part, self._begin(frames[part])) for part in parts), np.empty(frames.shape, np.uint8))

    def begin(self, frames: NDArray[np.uint8]) -> Pending:
        """As `restore`, but a GPU is only set to work: the frames are there once what this gives is called.

        Meanwhile the next batch can be begun. On the CPU all is done before this returns.
        """
        return together([(part, self._begin(frames[part])) for part in self.passes(frames)], frames)

    def passes(self, frames: NDArray[np.uint8]) -> list[slice]:
        """Which of the frames [n, h, w, 3] each pass takes. Raises ValueError for anything but uint8 RGB frames."""
        _refuse_others(frames)
        step = self.frames_at_once(*frames.shape[1:3])
        return [slice(i, i + step) for i in range(0, len(frames), step)]

    def _begin(self, frames: NDArray[np.uint8]) -> Pending:
        with torch.inference_mode():
            return self.begin_download(self.restore_image(self.upload(frames)))

    def frames_at_once(self, height: int, width: int) -> int:
        """How many frames of a size one pass may take under the memory bound; one where they are tiled."""
        return max(1, self.pixels_at_once // max(1, height * width))

    def restore_image(self, x: Tensor, known: Sequence[Tensor] = ()) -> Tensor:
        """One pass over [n, 3, h, w] in [0, 1] on the device, whole or in tiles -> the same shape, not clamped.

        `known` are the first few of the frames' statistics where the caller has them (`LEDNet.restore`).
        """
        height, width = x.shape[2:]
        short = (0, max(0, SMALLEST - width), 0, max(0, SMALLEST - height))
        if any(short):
            x = torch.nn.functional.pad(x, short, mode="replicate")
        tiled = x.shape[2] * x.shape[3] > self.pixels_at_once
        return (self._restore_tiles(x, known) if tiled else self._image(x, known))[:, :, :height, :width]

    def upload(self, frames: NDArray[np.uint8], dtype: torch.dtype | None = None) -> Tensor:
        """uint8 frames [n, h, w, 3] -> [n, 3, h, w] in [0, 1] on the device, in the network's type or another."""
        return self.transfer.upload(frames).permute(0, 3, 1, 2).to(dtype or self.dtype) / 255

    def download(self, image: Tensor) -> NDArray[np.uint8]:
        """Inverse of `upload`, clamped and rounded."""
        return self.begin_download(image)()

    def begin_download(self, image: Tensor) -> Pending:
        """As `download`, but a GPU is not waited for."""
        return self.transfer.download((image.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1))

    def _image(self, x: Tensor, known: Sequence[Tensor]) -> Tensor:
        """One pass that restores: compiled, if that is wanted."""
        return self.compiled(x, known) if self.compiled else self._pass(x, known)

    def _pass(self, x: Tensor, pooled: Sequence[Tensor] = ()) -> Tensor:
        """One pass over [n, 3, h, w] -> the restored images; see `LEDNet.restore`."""
        if isinstance(self.model, Peer):
            return self.model.restore(x)
        if not self.frame_by_frame:
            return self.model.restore(x, pooled).image
        return _together([restore_frame(self.model, *one, products=self.products).image for one in _each(x, pooled)])

    def _statistic(self, network: LEDNet, x: Tensor, pooled: Sequence[Tensor], core: Core) -> Tensor:
        """The first statistic that `pooled` lacks, of a tile [n, 3, h, w]; see `LEDNet.statistic`."""
        if not self.frame_by_frame:
            return network.statistic(x, pooled, core)
        return _together([frame_statistic(network, *one, core, self.products) for one in _each(x, pooled)])

    def _restore_tiles(self, x: Tensor, known: Sequence[Tensor]) -> Tensor:
        """Restore every tile with the statistics of the whole frame, so that it looks as if it had not been cut out.

        Each statistic depends on those before it, so the tiles are gone over once for each, as deep as it takes, and
        once to restore: tiling trades some three times the time, and that of the overlaps, for memory. A peer has no
        such way: its tiles are restored each for itself.
        """
        pooled = list(known)
        while len(pooled) < STATISTICS and not isinstance(self.model, Peer):
            pooled.append(self._gather(self.model, x, pooled))
        image, weight = torch.zeros_like(x, dtype=torch.float32), torch.zeros_like(x[:, :1], dtype=torch.float32)
        for ys, xs in self._tiles(x):
            restored = self._image(x[:, :, ys, xs], pooled).float()
            w = _ramp(ys, x.shape[2], x.device)[:, None] * _ramp(xs, x.shape[3], x.device)
            image[:, :, ys, xs] += restored * w
            weight[:, :, ys, xs] += w
        return image / weight

    def _gather(self, network: LEDNet, x: Tensor, known: Sequence[Tensor]) -> Tensor:
        """The frame's first statistic beyond the known ones, from its tiles, every pixel counted once."""
        total = torch.zeros((), device=x.device)
        for ys, xs in self._tiles(x):
            core = _core(ys, x.shape[2]), _core(xs, x.shape[3])
            share = (core[0].stop - core[0].start) * (core[1].stop - core[1].start) / (x.shape[2] * x.shape[3])
            total = total + share * self._statistic(network, x[:, :, ys, xs], known, core)
        return total

    def _tiles(self, x: Tensor) -> Iterator[tuple[slice, slice]]:
        height, width = x.shape[2:]
        pixels = int(TILE_SHARE * self.pixels_at_once)
        side = max(LEAST_TILE, int(pixels**0.5) // TILE_GRID * TILE_GRID)
        tall = min(side, height)
        wide = min(max(side, pixels // tall // TILE_GRID * TILE_GRID), width)
        for top, down in tile_spans(height, tall):
            for left, right in tile_spans(width, wide):
                yield slice(top, down), slice(left, right)


def _refuse_others(frames: object) -> None:
    """Raises ValueError for anything but uint8 RGB frames."""
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"frames must be a NumPy array, uint8 [n, h, w, 3], not a {type(frames).__name__}")
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape[1:]:
        raise ValueError(f"frames must be uint8 [n, h, w, 3], sides from 1 px, got {frames.dtype} {list(frames.shape)}")


def _each(x: Tensor, pooled: Sequence[Tensor]) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Each frame of [n, 3, h, w] by itself, with its own of the statistics."""
    return ((x[i : i + 1], [p[i : i + 1] for p in pooled]) for i in range(len(x)))


def _together(parts: Sequence[Tensor]) -> Tensor:
    """As a batch again; one by itself is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _core(part: slice, length: int) -> slice:
    """The middle of a tile along one axis, in its own pixels: without half the overlap towards each neighbour."""
    start = TILE_OVERLAP // 2 if part.start > 0 else 0
    stop = part.stop - part.start - (TILE_OVERLAP // 2 if part.stop < length else 0)
    return slice(start, stop)


def _ramp(part: slice, length: int, device: torch.device) -> Tensor:
    """Blending weights along one axis of a tile: 1 inside, falling linearly over the overlap towards inner borders."""
    distance = torch.arange(part.start, part.stop, device=device, dtype=torch.float32)
    rise = (distance - part.start + 1) / TILE_OVERLAP if part.start > 0 else torch.ones_like(distance)
    fall = (part.stop - distance) / TILE_OVERLAP if part.stop < length else torch.ones_like(distance)
    return torch.minimum(rise, fall).clamp(0, 1)
