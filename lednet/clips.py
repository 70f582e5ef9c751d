"""Sharp footage for training: decoding clips with OpenCV, splitting them, and drawing degraded pairs from them.

Covers what the trainer needs and no more. Archived night footage is decoded elsewhere, with timestamps, by PyAV.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lednet.degrade import (
    Recipe,
    average_burst,
    interpolate,
    lose_colour,
    make_blur,
    make_night,
)
from lednet.degrade import uniform as draw
from lednet.degrade.subframes import Frame

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".gif", ".mpg")

HIGH_SPEED_FPS = 119.5
"""From this rate on, consecutive frames are close enough that their average is blur and not ghosts: 120 frames/s, which
cameras that say so film at 120000/1001."""

NO_FPS = 1000.0
"""From here on a stated rate is none: of files that count in milliseconds and state no rate, as recorders write them
whose frames come when they come, FFmpeg says 1000."""

NEW_CHAPTER = re.compile(r"(?P<kind>G[HXLS])(?P<chapter>\d\d)(?P<clip>\d{4})")
OLD_CHAPTER = re.compile(r"(?:GOPR|GP(?P<chapter>\d\d))(?P<clip>\d{4})")
"""How GoPros name their files: a clip's number stands last, and its chapters, of some gigabytes each, before it."""

MOST_SHRINK, MOST_SHRINK_OF_BURSTS = 5, 2
"""How far frames are shrunk at most before a crop is taken."""

VIEWED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""The parts of a frame's sides that a view of it takes in."""

LABEL_REACH = 2
"""The label is the sharpest of so many frames on either side of the place drawn; the burst is centred on it, so
that input and label never part."""


@dataclass(frozen=True)
class Clip:
    """Decoded frames of one video file."""

    name: str
    frames: Tensor
    """uint8 [t, 3, h, w], sRGB, on the training device."""
    high_speed: bool
    """Consecutive frames are close enough that their average is blur and not ghosts; otherwise stills, spread over the
    clip."""
    group: int = 0
    """Frames that follow each other, where groups of them are spread over the clip; only a group's centre is a label,
    as the others lie between frames and are a little soft. 0: all follow each other."""
    sharpness: tuple[float, ...] = ()
    """Of each frame; a burst is centred on the sharpest near its place. Not asked for where it is empty."""
    photo: bool = False
    """A photograph (`lednet.photos`), not a video."""


class ClipError(ValueError):
    """A training clip cannot be used; the message names the file, the cause and what to do."""


def fault_of_name(path: Path) -> str:
    """What is wrong with a path that is not UTF-8, as one from an old disk may be; empty for any other.

    Ask before OpenCV opens a file: such a name ends the process in it.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = os.fsencode(path).decode(errors="backslashreplace")
        return f"{name}: its name is not UTF-8, so that OpenCV can't open it; rename it"
    return ""


def read_clip(path: Path, most_frames: int, high_speed: bool, device: torch.device) -> Clip:
    """Decode up to `most_frames` frames: consecutive ones of a high-speed clip, evenly spread ones of any other.

    Raises:
        ClipError: if OpenCV reads no frame of it.
    """
    spread = None if high_speed else most_frames
    frames = [frame for _, frame in islice(_decode(path, spread), most_frames)]
    return Clip(path.stem, _upload(frames, device), high_speed, sharpness=tuple(map(sharpness, frames)))


def sharpness(frame: Frame) -> float:
    """Variance of the Laplacian of an RGB frame's luma: says which of two neighbouring frames is the sharper."""
    return float(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def read_bursts(path: Path, count: int, between: int, device: torch.device) -> Clip | None:
    """Bursts of a clip below `HIGH_SPEED_FPS`: `count` times three frames that follow each other, spread over it.

    Frames are put between them by optical flow, so that a frame's time is cut in `between` parts; the middle one of
    the three is the burst's centre and its label.

    Returns:
        None if it has fewer than three frames.

    Raises:
        ClipError: if OpenCV reads no frame of it.
    """
    last: list[Frame] = []
    frames: list[Frame] = []
    stride = max(3.0, _frame_count(path) / count)
    begun = 0
    for index, frame in _decode(path, None):
        last = [*last[-2:], frame]
        if index >= begun * stride + 2 and begun < count:
            first, second, third = last
            frames += [*interpolate(first, second, between), *interpolate(second, third, between), third]
            begun += 1
    if not frames:
        return None
    return Clip(path.stem, _upload(frames, device), True, 2 * between + 1)


def _stated(path: Path, what: int) -> float:
    """One of OpenCV's properties of a clip, as its container states it; 0 where it can't be opened."""
    capture = cv2.VideoCapture(str(path))
    value = float(capture.get(what))
    capture.release()
    return value


def _frame_count(path: Path) -> int:
    """As the container states it. Where FFmpeg would make it of the clip's length and a rate that is none, its frames
    are counted: frames that are spread by a count far too high are but a few."""
    if _stated(path, cv2.CAP_PROP_FPS) < NO_FPS:
        return int(_stated(path, cv2.CAP_PROP_FRAME_COUNT))
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def frame_bytes(path: Path) -> int:
    """What one decoded frame of a clip takes; 0 where the container does not say."""
    return round(3 * _stated(path, cv2.CAP_PROP_FRAME_WIDTH) * _stated(path, cv2.CAP_PROP_FRAME_HEIGHT))


def _decode(path: Path, spread: int | None) -> Iterator[tuple[int, Frame]]:
    """(index, RGB frame) of all frames, or of `spread` of them spread evenly by the container's count."""
    stride = 1.0 if spread is None else max(1.0, _frame_count(path) / spread)
    capture = cv2.VideoCapture(str(path))
    try:
        index, taken = 0, 0
        while capture.grab():
            if index >= taken * stride:
                ok, frame = capture.retrieve()
                if ok:
                    yield index, np.ascontiguousarray(frame[:, :, ::-1]).astype(np.uint8, copy=False)
                    taken += 1
            index += 1
    finally:
        capture.release()
    if taken == 0:
        raise ClipError(f"{path}: OpenCV decodes no frame of it; remove it or re-encode it as H.264")


def _upload(frames: Sequence[Frame], device: torch.device) -> Tensor:
    """RGB frames -> uint8 [t, 3, h, w] on the device."""
    return torch.from_numpy(np.stack([f.transpose(2, 0, 1) for f in frames])).to(device)


def is_high_speed(path: Path) -> bool:
    """Whether a clip was filmed at `HIGH_SPEED_FPS` or more: by its container, or by "240fps" and the like in its name.

    High-speed footage is often re-timed to 30 fps for playing, so a name that states the rate wins.
    """
    if any(tag in path.stem.lower() for tag in ("120fps", "240fps", "480fps")):
        return True
    return HIGH_SPEED_FPS <= _stated(path, cv2.CAP_PROP_FPS) < NO_FPS


def split_clips(paths: Sequence[Path], held_out_share: float) -> tuple[list[Path], list[Path]]:
    """Split by clip, never by frame: (training, held out).

    A clip's side depends on its name alone, so adding footage moves no clip across; chapters of one GoPro clip go with
    the first. The one exception: while no name of two or more clips falls on the held-out side, the lowest-ranked clip
    stands in for it, until one does.
    """

    def rank(path: Path) -> float:
        return zlib.crc32(_first_chapter(path.stem).encode()) / 2**32

    ordered = sorted(paths, key=rank)
    held = [p for p in ordered if rank(p) < held_out_share]
    if not held and ordered and rank(ordered[0]) < rank(ordered[-1]):
        held = [p for p in ordered if rank(p) == rank(ordered[0])]
    return [p for p in ordered if p not in held], held


def clip_and_chapter(stem: str) -> tuple[str, int]:
    """What a GoPro file's name says: (clip, chapter); any other name is a clip of one chapter.

    GX010119 and GX020119 are chapters 1 and 2 of clip GX0119; GOPR0119 and GP010119 chapters 0 and 1 of GOPR0119.
    """
    if new := NEW_CHAPTER.fullmatch(stem.upper()):
        return new["kind"] + new["clip"], int(new["chapter"])
    if old := OLD_CHAPTER.fullmatch(stem.upper()):
        return f"GOPR{old['clip']}", int(old["chapter"] or 0)
    return stem, 0


def _first_chapter(stem: str) -> str:
    """The name of the first chapter of a file's clip."""
    clip, chapter = clip_and_chapter(stem)
    return f"{clip[:2]}01{clip[2:]}" if chapter and not clip.startswith("GOPR") else clip


def find_clips(folder: Path) -> list[Path]:
    """The video files of a folder, by name. Raises ClipError if there is none, or OpenCV can't be given one's name."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES) if folder.is_dir() else []
    paths = [p for p in found if not p.name.startswith("._")]  # what macOS keeps beside files on a foreign disk
    if not paths:
        kinds = ", ".join(VIDEO_SUFFIXES)
        raise ClipError(f"{folder}: no video files directly in it ({kinds}); pass the folder that holds the clips")
    for fault in filter(None, map(fault_of_name, paths)):
        raise ClipError(fault)
    return paths


class PairSampler:
    """Draws (degraded, label) batches from clips, degraded on the fly on the clips' device.

    A high-speed clip gives a burst averaged in linear light, its label the centre frame; any other clip gives a
    still, moved along a random camera-shake path. The recipes share each batch evenly, beginning with a random one:
    steps that are all of one recipe pull the network to and fro. Equal generator states give equal batches.
    """

    def __init__(self, clips: Sequence[Clip], recipes: Sequence[Recipe], generator: torch.Generator) -> None:
        if not clips:
            raise ClipError("no training clips: the folder holds held-out clips only; add footage")
        self.clips, self.recipes, self.generator = list(clips), list(recipes), generator
        self.aside = generator.device.type != "cpu"
        """Whether whole numbers are drawn on the CPU, from a seed that the generator draws for each batch: asked of a
        GPU, each of the some nine a picture would wait for all that it still has to do."""
        self._choices = generator

    def _integer(self, high: int) -> int:
        return int(torch.randint(high, (1,), generator=self._choices, device=self._choices.device))

    def _shrink(self, shown: tuple[int, int], height: int, width: int) -> int:
        """How many times to shrink the frame before cropping, at most as far as it goes.

        Crops are for detail, so that less is likelier: blur and sharpness are a camera's own only where a pixel is the
        camera's own.
        """
        most = max(1, min(MOST_SHRINK, shown[0] // height, shown[1] // width))
        return 1 + min(self._integer(most), self._integer(most))

    def _patch(self, frames: Tensor, height: int, width: int) -> Tensor:
        """A random place of uint8 [t, 3, h, w], of [height, width]; where the frame is short, its edge is repeated."""
        y, x = (self._integer(max(shown - wanted, 0) + 1) for shown, wanted in
                zip(frames.shape[2:], (height, width), strict=True))  # fmt: skip
        window = frames[:, :, y : y + height, x : x + width]
        short = (0, width - window.shape[-1], 0, height - window.shape[-2])
        return functional.pad(window.float(), short, mode="replicate").byte() if any(short) else window

    def _crop(self, clip: Clip, recipe: Recipe, height: int, width: int) -> tuple[Tensor, Tensor, bool]:
        """One random crop: (blurred linear light, sharp sRGB), each [3, height, width]; whether it is unmoved, as is a
        still, and a high-speed clip of one or two frames."""
        shrink = self._shrink((clip.frames.shape[2], clip.frames.shape[3]), height, width)
        linear, frame, unmoved = self._burst(clip, recipe, shrink * height, shrink * width, shrink)
        if shrink > 1:  # in linear light, as a sensor of larger pixels would
            sharp = functional.avg_pool2d(recipe.response.to_linear(frame), shrink)
            return functional.avg_pool2d(linear, shrink), recipe.response.to_stored(sharp).clamp(0, 1), unmoved
        return linear, frame.float() / 255, unmoved

    def _view(self, clip: Clip, recipe: Recipe, height: int, width: int) -> tuple[Tensor, Tensor, bool]:
        """Like `_crop`, but what another lens would show: the whole frame, or a part of its sides (`VIEWED`), in this
        shape, brought to this size in linear light."""
        shown = clip.frames.shape[2:]
        part = VIEWED[self._integer(len(VIEWED))]
        shrink = part * min(shown[0] / height, shown[1] / width)
        linear, frame, unmoved = self._burst(clip, recipe, round(shrink * height), round(shrink * width), shrink)
        both = torch.stack([linear, recipe.response.to_linear(frame)])
        linear, sharp = functional.interpolate(both, (height, width), mode="bilinear", antialias=True).unbind()
        return linear, recipe.response.to_stored(sharp).clamp(0, 1), unmoved

    def _burst(self, clip: Clip, recipe: Recipe, height: int, width: int, shrink: float) -> tuple[Tensor, Tensor, bool]:
        """A random place of this size, to be shrunk so far: a burst's mean in linear light [3, height, width], its
        centre, uint8; and whether it is unmoved."""
        boost = draw(recipe.highlight_boost, (1, 1, 1), self.generator)
        # Shrunk further, motion is gone, and stills will do.
        centre, reach = self._frames(clip, clip.high_speed and shrink <= MOST_SHRINK_OF_BURSTS)
        window = self._patch(clip.frames[centre - reach : centre + reach + 1], height, width)
        return average_burst(window, boost, recipe.response), window[reach], reach == 0

    def _frames(self, clip: Clip, moving: bool) -> tuple[int, int]:
        """A burst's centre, and how many frames it has on either side: 2 to 7, fewer of a shorter clip."""
        count = clip.frames.shape[0]
        group = clip.group or count
        reach = min(2 + self._integer(6), (group - 1) // 2) if moving else 0
        if clip.group:
            return self._integer(count // group) * group + group // 2, reach
        place = reach + self._integer(count - 2 * reach)
        if not moving or not clip.sharpness:
            return place, reach
        near = range(max(reach, place - LABEL_REACH), min(count - reach, place + LABEL_REACH + 1))
        return max(near, key=lambda i: clip.sharpness[i]), reach

    def sample(self, batch: int, height: int, width: int, view: bool = False) -> tuple[Tensor, Tensor]:
        """A batch of pairs: (degraded, label), each float [batch, 3, height, width] sRGB in [0, 1].

        With `view`, of whole frames, or large parts of them, brought to this size, and none upside down: what a frame
        shows as a whole.
        """
        if self.aside:
            self._choices = self.generator
            self._choices = torch.Generator().manual_seed(self._integer(2**62))
        first = self._integer(len(self.recipes))
        shares: dict[Recipe, int] = {}
        for i in range(batch):
            recipe = self.recipes[(first + i) % len(self.recipes)]
            shares[recipe] = shares.get(recipe, 0) + 1
        parts = [self._degraded(recipe, count, height, width, view) for recipe, count in shares.items()]
        degraded, labels = zip(*parts, strict=True)
        return torch.cat(degraded), torch.cat(labels)

    def _degraded(self, recipe: Recipe, count: int, height: int, width: int, view: bool) -> tuple[Tensor, Tensor]:
        """So many pairs of one recipe."""
        blurred, labels, still = [], [], []
        for _ in range(count):
            clip = self.clips[self._integer(len(self.clips))]
            linear, label, unmoved = (self._view if view else self._crop)(clip, recipe, height, width)
            flip, turn = self._integer(2), self._integer(2) and not view
            dims = [d for d, on in ((-1, flip), (-2, turn)) if on]
            blurred.append(linear.flip(dims))
            labels.append(label.flip(dims))
            still.append(unmoved)
        linear_batch, label_batch = torch.stack(blurred), torch.stack(labels)
        linear_batch = make_blur(linear_batch, recipe, torch.tensor(still), self.generator)
        linear_batch, label_batch, infrared = lose_colour(linear_batch, label_batch, recipe, self.generator)
        return make_night(linear_batch, recipe, self.generator, infrared), label_batch
