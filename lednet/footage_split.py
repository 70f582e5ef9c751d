"""Three ways to part footage into training and validation, two of them to show what a leak does to a figure.

"clip" is the honest one and the default: whole clips are held out (`lednet.clips.split_clips`). "frame" holds out every
fifth frame of the fixed cameras and trains on those between, so that the network has seen the very scene it is judged
on: the mistake that figures such as 41.8 dB can come from. "camera" is judged on exactly the same frames, but has never
trained on those cameras. The difference of the last two, all else equal, is the leak. Fixed cameras are told by the
beginning of their clips' names; they give stills only. Other clips are split as ever, those held out unused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lednet.clips import Clip, ClipError

SPLITS = ("clip", "frame", "camera")
FIXED = "fixed_"
"""How the names of fixed cameras' clips begin."""

EVERY = 5
"""One frame in so many is held out."""


def part_frames(clip: Clip) -> tuple[Clip, Clip]:
    """A still camera's clip as (frames between, every fifth frame). Raises ClipError if it has fewer than two."""
    held = [i for i in range(len(clip.frames)) if i % EVERY == EVERY // 2]
    rest = [i for i in range(len(clip.frames)) if i % EVERY != EVERY // 2]
    if not held or not rest:
        raise ClipError(f"{clip.name}: {len(clip.frames)} frames are too few to part; pass a longer clip")
    between, judged = (replace(clip, frames=clip.frames[part], sharpness=()) for part in (rest, held))
    return between, judged


def split_leaky(
    training: Sequence[Path], fixed: Sequence[Path], split: str, read: Callable[[Sequence[Path]], list[Clip]]
) -> tuple[list[Clip], list[Clip]]:
    """(training clips, held-out clips) for the splits "frame" and "camera".

    Args:
        training: the moving clips that are trained on either way.
        fixed: those of fixed cameras.
        read: decodes clips; of the fixed ones only the stills are kept.

    Raises:
        ClipError: if there is no fixed camera, or one is too short.
    """
    if not fixed:
        raise ClipError(f"split {split}: no clip's name begins with {FIXED!r}; name fixed cameras' clips so")
    parts = [part_frames(clip) for clip in read(fixed) if not clip.high_speed]
    leaked = [between for between, _ in parts] if split == "frame" else []
    return [*read(training), *leaked], [judged for _, judged in parts]
