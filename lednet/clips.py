"""Sharp footage for training: decoding clips with OpenCV, splitting them, and drawing degraded pairs from them.

Covers what the trainer needs and no more. Archived night footage is decoded elsewhere, with timestamps, by PyAV.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lednet.degrade import (
    Recipe,
    average_burst,
    blur,
    linear_to_srgb,
    make_night,
    shake_kernels,
    srgb_to_linear,
)
from lednet.degrade import uniform as draw

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".gif", ".mpg")

HIGH_SPEED_FPS = 120.0
"""From this rate on, consecutive frames are close enough that their average is blur and not ghosts."""

MOST_SHRINK, MOST_SHRINK_OF_BURSTS = 5, 2
"""How far frames are shrunk at most before a crop is taken."""


@dataclass(frozen=True)
class Clip:
    """Decoded frames of one video file."""

    name: str
    frames: Tensor
    """uint8 [t, 3, h, w], sRGB, on the training device."""
    high_speed: bool
    """Consecutive frames at `HIGH_SPEED_FPS` or more, fit for bursts; otherwise stills, spread over the clip."""


class ClipError(ValueError):
    """A training clip cannot be used; the message names the file, the cause and what to do."""


def read_clip(path: Path, most_frames: int, high_speed: bool, device: torch.device) -> Clip:
    """Decode up to `most_frames` frames: consecutive ones of a high-speed clip, evenly spread ones of any other.

    Raises:
        ClipError: if OpenCV reads no frame of it.
    """
    capture = cv2.VideoCapture(str(path))
    frames: list[np.ndarray] = []
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    stride = 1.0 if high_speed else max(1.0, count / most_frames)
    index = 0
    while len(frames) < most_frames and capture.grab():
        if index >= len(frames) * stride:
            ok, frame = capture.retrieve()
            if ok:
                frames.append(np.ascontiguousarray(frame[:, :, ::-1].transpose(2, 0, 1)))
        index += 1
    capture.release()
    if not frames:
        raise ClipError(f"{path}: OpenCV decodes no frame of it; remove it or re-encode it as H.264")
    return Clip(path.stem, torch.from_numpy(np.stack(frames)).to(device), high_speed)


def is_high_speed(path: Path) -> bool:
    """Whether a clip was filmed at `HIGH_SPEED_FPS` or more: by its container, or by "240fps" and the like in its name.

    High-speed footage is often re-timed to 30 fps for playing, so a name that states the rate wins.
    """
    if any(tag in path.stem.lower() for tag in ("120fps", "240fps", "480fps")):
        return True
    capture = cv2.VideoCapture(str(path))
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return HIGH_SPEED_FPS <= fps <= 1000


def split_clips(paths: Sequence[Path], held_out_share: float) -> tuple[list[Path], list[Path]]:
    """Split by clip, never by frame: (training, held out).

    A clip's side depends on its name alone, so adding footage moves no clip across. The one exception: while no name
    of two or more clips falls on the held-out side, the lowest-ranked clip stands in for it, until one does.
    """

    def rank(path: Path) -> float:
        return zlib.crc32(path.stem.encode()) / 2**32

    ordered = sorted(paths, key=rank)
    held = [p for p in ordered if rank(p) < held_out_share] or (ordered[:1] if len(ordered) > 1 else [])
    return [p for p in ordered if p not in held], held


def find_clips(folder: Path) -> list[Path]:
    """The video files of a folder, by name. Raises ClipError if there is none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise ClipError(f"{folder}: no video files in it ({', '.join(VIDEO_SUFFIXES)}); pass a folder of clips")
    return paths


class PairSampler:
    """Draws (degraded, label) batches from clips, degraded on the fly on the clips' device.

    A high-speed clip gives a burst averaged in linear light, its label the centre frame; any other clip gives a
    still, moved along a random camera-shake path. Equal generator states give equal batches.
    """

    def __init__(self, clips: Sequence[Clip], recipe: Recipe, generator: torch.Generator) -> None:
        if not clips:
            raise ClipError("no training clips: the folder holds held-out clips only; add footage")
        self.clips, self.recipe, self.generator = list(clips), recipe, generator

    def _integer(self, high: int) -> int:
        return int(torch.randint(high, (1,), generator=self.generator, device=self.generator.device))

    def _shrink(self, shown: tuple[int, int], height: int, width: int) -> int:
        """How many times to shrink the frame before cropping: every other time as far as it goes, else anything.

        A restorer is given whole frames, and only a whole frame tells how dark the night is; fine detail is learnt from
        the crops that are not shrunk.
        """
        most = max(1, min(MOST_SHRINK, shown[0] // height, shown[1] // width))
        return most if self._integer(2) else 1 + self._integer(most)

    def _crop(self, clip: Clip, height: int, width: int) -> tuple[Tensor, Tensor, bool]:
        """One random crop: (blurred linear light, sharp sRGB), each [3, height, width]; whether it is unmoved."""
        shown = (clip.frames.shape[2], clip.frames.shape[3])
        shrink = self._shrink(shown, height, width)
        height, width = shrink * height, shrink * width
        y, x = self._integer(max(shown[0] - height, 0) + 1), self._integer(max(shown[1] - width, 0) + 1)
        boost = draw(self.recipe.highlight_boost, (1, 1, 1), self.generator)
        # Bursts of 5 to 15 frames, fewer of a shorter clip; shrunk further, their motion is gone, and stills will do.
        burst = clip.high_speed and shrink <= MOST_SHRINK_OF_BURSTS
        reach = min(2 + self._integer(6), (clip.frames.shape[0] - 1) // 2) if burst else 0
        centre = reach + self._integer(clip.frames.shape[0] - 2 * reach)
        window = clip.frames[centre - reach : centre + reach + 1, :, y : y + height, x : x + width].float() / 255
        short = (0, width - window.shape[-1], 0, height - window.shape[-2])
        if any(short):
            window = functional.pad(window, short, mode="replicate")
        linear = average_burst(window, boost)
        if shrink > 1:  # in linear light, as a sensor of larger pixels would
            label = linear_to_srgb(functional.avg_pool2d(srgb_to_linear(window[reach]), shrink))
            return functional.avg_pool2d(linear, shrink), label.clamp(0, 1), not burst
        return linear, window[reach], not burst

    def sample(self, batch: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """A batch of pairs: (degraded, label), each float [batch, 3, height, width] sRGB in [0, 1]."""
        blurred, labels, still = [], [], []
        for _ in range(batch):
            clip = self.clips[self._integer(len(self.clips))]
            linear, label, unmoved = self._crop(clip, height, width)
            flip, turn = self._integer(2), self._integer(2)
            dims = [d for d, on in ((-1, flip), (-2, turn)) if on]
            blurred.append(linear.flip(dims))
            labels.append(label.flip(dims))
            still.append(unmoved)
        linear_batch, label_batch = torch.stack(blurred), torch.stack(labels)
        length = draw(self.recipe.shake_px, (batch,), self.generator)
        length = length * torch.tensor(still, device=length.device)
        linear_batch = blur(linear_batch, shake_kernels(length, self.generator))
        return make_night(linear_batch, self.recipe, self.generator), label_batch
