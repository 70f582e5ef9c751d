"""Clips with damage that FFmpeg's own encoders never make."""

from __future__ import annotations

from pathlib import Path

import av


def astray(source: Path, target: Path, number: int, by_s: int = 3600, count: int = 1) -> Path:
    """A copy of a clip, `count` frames of which bear times that are later by `by_s`, as damaged timestamps may."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        for k, packet in enumerate(p for p in whole.demux(video=0) if p.dts is not None):
            packet.stream = stream
            if number <= k < number + count:
                packet.pts += by_s / packet.time_base
            out.mux(packet)
    return target
