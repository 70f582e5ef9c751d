"""Clips with damage that FFmpeg's own encoders never make."""

from __future__ import annotations

from pathlib import Path

import av


def astray(source: Path, target: Path, number: int, by_s: int = 3600) -> Path:
    """A copy of a clip, one frame of which bears a time that is later by `by_s`, as a damaged timestamp may."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        for k, packet in enumerate(p for p in whole.demux(video=0) if p.dts is not None):
            packet.stream = stream
            if k == number:
                packet.pts += by_s / packet.time_base
            out.mux(packet)
    return target
