"""A drawn night's clip for benchmarks, of any length and size. Not covered: the demo's night (`tasks.demo_film`)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

NIGHT = "2026-01-15"
FPS = 25


def drawn_clip(path: Path, count: int, height: int, width: int, seed: int = 0) -> None:
    """Write a dark, noisy H.264 clip in which a light wanders."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = 20 + 12 * np.sin(x / 31) * np.cos(y / 17)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for k in range(count):
            light = 160 * np.exp(-((x - 8 * k % width) ** 2 + (y - height / 2) ** 2) / (height * width / 400))
            noisy = (ground + light)[..., None] + rng.standard_normal((height, width, 3), np.float32) * 5
            frame = av.VideoFrame.from_ndarray(noisy.clip(0, 255).astype(np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
