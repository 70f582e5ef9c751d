"""Clips with damage that FFmpeg's own encoders never make."""

from __future__ import annotations

from pathlib import Path

import av


def astray(source: Path, target: Path, number: int, by_s: int = 3600, count: int = 1, kind: str = "video") -> Path:
    """A copy of a clip in which `count` packets of its pictures, or of its sound with `kind` "audio", bear times that
    are later by `by_s`, as damaged timestamps may."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as out:
        copies = {stream.index: out.add_stream_from_template(stream) for stream in whole.streams}
        seen = 0
        for packet in whole.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == kind:
                packet.pts += by_s / packet.time_base if number <= seen < number + count else 0
                seen += 1
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    return target
