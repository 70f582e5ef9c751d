"""One clip in and one out by a restorer that changes nothing, and what a file holds: for the tests of `tasks.video`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tasks.video import restore_clip
from tests.tasks.night import Frames


class Same:
    """Restores nothing; keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[Frames] = []

    def restore(self, frames: Frames) -> Frames:
        self.seen.append(frames.copy())
        return frames


def restore(source: Path, target: Path, restorer: Any = None) -> int:
    return restore_clip(source, target, restorer or Same(), lambda done, expected: None, frame_wise=True)


def packets(path: Path, kind: str) -> list[tuple[bytes, Fraction]]:
    """A stream's packets and their times."""
    with av.open(str(path)) as container:
        found = [p for p in container.demux(getattr(container.streams, kind)[0]) if p.dts is not None]
        return [(bytes(p), Fraction(p.pts or 0) * (p.time_base or 0)) for p in found]


def seconds(path: Path) -> float:
    """Of the video stream."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.duration is None:
            return float(container.duration or 0) / av.time_base
        return float(stream.duration * (stream.time_base or 0))


def sound(path: Path) -> tuple[str, int, np.ndarray]:
    """Codec, rate and samples of the first audio stream."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        name, rate = stream.codec_context.name, stream.rate
        blocks = [f.to_ndarray().astype(float) for f in av.AudioResampler("fltp", "mono").resample(None) or []]
        resampler = av.AudioResampler("fltp", "mono")
        for frame in container.decode(stream):
            blocks += [f.to_ndarray() for f in resampler.resample(frame)]
    return name, rate, np.concatenate(blocks, axis=1)[0]
