"""VideoRestorer: the frames of one camera in order, restored without flicker.

Covers uint8 frames in, uint8 frames out, with a memory between calls. What is remembered: `lednet.temporal`. Not
covered: files (`tasks.video`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lednet.restorer import Restorer
from lednet.temporal import Memory, TemporalSettings
from lednet.transfer import Pending, collect, together


class VideoRestorer:
    """Restores frames that follow each other, remembering what stands still.

        video = VideoRestorer(Restorer("small"))
        for frame, time_s in ...:
            restored = video.restore(frame[None], [time_s])[0]

    The memory is this object's own: one for each camera. It begins anew by itself where time stops, goes back or jumps,
    where the frame's size changes, and place by place where something moves; the same frames after `forget` give the
    same results. Costs a frame's time over a plain restoration and about eight frames' memory.
    """

    def __init__(self, restorer: Restorer, settings: TemporalSettings | None = None) -> None:
        self.restorer, self.memory = restorer, Memory(settings)

    def forget(self) -> None:
        """Begin anew."""
        self.memory.forget()

    def watch(self, frames: NDArray[np.uint8], times_s: Sequence[float]) -> None:
        """Remember frames without restoring them, at a small part of the cost. Arguments as of `restore`."""
        with torch.inference_mode():
            for part in self._passes(frames, times_s):
                self._remembered(frames[part], times_s[part])

    def restore(self, frames: NDArray[np.uint8], times_s: Sequence[float]) -> NDArray[np.uint8]:
        """Restore the next frames [n, h, w, 3], uint8 sRGB, shown at `times_s` in seconds -> the same shape and type.

        Raises:
            ValueError: if the array is not uint8 [n, h, w, 3], or there is not one time a frame.
        """
        parts = self._passes(frames, times_s)
        begun = ((part, self._begin(frames[part], times_s[part])) for part in parts)
        return collect(begun, np.empty(frames.shape, np.uint8))

    def begin(self, frames: NDArray[np.uint8], times_s: Sequence[float]) -> Pending:
        """As `restore`, but a GPU is only set to work, as by `Restorer.begin`."""
        parts = self._passes(frames, times_s)
        return together([(part, self._begin(frames[part], times_s[part])) for part in parts], frames)

    def _passes(self, frames: NDArray[np.uint8], times_s: Sequence[float]) -> list[slice]:
        if len(frames) != len(times_s):
            raise ValueError(f"{len(frames)} frames need as many times, not {len(times_s)}")
        return self.restorer.passes(frames)

    def _begin(self, frames: NDArray[np.uint8], times_s: Sequence[float]) -> Pending:
        with torch.inference_mode():
            x, tones = self._remembered(frames, times_s)
            return self.restorer.begin_download(self.restorer.restore_image(x, [tones]))

    def _remembered(self, frames: NDArray[np.uint8], times_s: Sequence[float]) -> tuple[Tensor, Tensor]:
        # In fp32: a mean of 8-bit levels is finer than they are, and bf16 is coarser.
        images = self.restorer.upload(frames, torch.float32)
        taken = [self.memory.take(x[None], t) for x, t in zip(images, times_s, strict=True)]
        # In one layout, whichever frames come together: another would be rounded differently.
        x = torch.cat([x for x, _ in taken]).to(self.restorer.dtype, memory_format=torch.channels_last)
        return x, torch.cat([tones for _, tones in taken])
