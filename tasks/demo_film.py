"""Filming the demo's scenes at night: exposure, shake, darkness and noise of one camera, and H.264 files of it.

Covers a frame's way from the scene to a file. Not covered: which cameras there are and when they film (`tasks.demo`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lednet.degrade import Recipe, make_night, restore_highlights, srgb_to_linear
from tasks.demo_draw import Picture
from tasks.demo_scene import WIDTH, Scene

CRF = "18"
SHAKE_PX = 1.5
"""Amplitude of each of the camera's vibrations, at a width of 640 pixels."""
SHAKE_HZ = (1.7, 3.1, 4.3, 6.7)


class Film:
    """A camera at night before a scene: motion blur, shake, darkness and noise."""

    def __init__(self, scene: Scene, recipe: Recipe, fps: int, subframes: int, seed: int) -> None:
        self.scene, self.recipe, self.fps, self.subframes = scene, recipe, fps, subframes
        self.linear = srgb_to_linear(torch.arange(256) / 255).numpy()[None]
        self.noise = torch.Generator().manual_seed(seed)
        draws = np.random.default_rng(seed)
        self.phases = draws.uniform(0, 2 * math.pi, (2, len(SHAKE_HZ)))
        self.strengths = draws.uniform(0.4, 1.0, (2, len(SHAKE_HZ))) * SHAKE_PX

    def truth(self, t: float) -> Picture:
        """The sharp, well-lit picture [h, w, 3] at the middle of the exposure."""
        return self.scene.render(t)

    def shoot(self, t: float) -> Picture:
        """The night's frame [h, w, 3], exposed around `t`. Its noise depends on how many were shot before."""
        times = t + (np.arange(self.subframes) - (self.subframes - 1) / 2) / (self.fps * self.subframes)
        linear = self.expose(
            [
                self._moved(self.scene.render(float(at)), dx, dy)
                for at, (dx, dy) in zip(times, self.shake(times), strict=True)
            ]
        )
        dark = make_night(linear[None], self.recipe, self.noise)[0]
        return np.ascontiguousarray((dark.permute(1, 2, 0) * 255).round().byte().numpy())

    def expose(self, burst: list[Picture]) -> torch.Tensor:
        """Sharp pictures -> their mean in linear light [3, h, w], lamps brighter than white: what
        `lednet.degrade.average_burst` computes, but by table, in a fifth of the time."""
        boost = torch.tensor(self.recipe.highlight_boost[0])
        total = torch.zeros(())
        for picture in burst:
            planes = np.stack([cv2.LUT(plane, self.linear) for plane in cv2.split(picture)])
            total = total + restore_highlights(torch.from_numpy(planes), boost)
        return total / len(burst)

    def _moved(self, picture: Picture, dx: float, dy: float) -> Picture:
        height, width = picture.shape[:2]
        move = np.array([[1, 0, dx * width / WIDTH], [0, 1, dy * width / WIDTH]])
        moved = cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        return moved.astype(np.uint8, copy=False)

    def shake(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The camera's displacement [n, 2] (x, y) at times [n], in pixels at a width of 640. Of mean zero, so that the
        frame's content stays where the truth has it."""
        turns = 2 * math.pi * times[:, None, None] * np.array(SHAKE_HZ) + self.phases
        path: NDArray[np.float64] = (np.sin(turns) * self.strengths).sum(2)
        path -= path.mean(0)
        return path


def write_video(path: Path, pictures: Iterator[Picture], fps: int) -> None:
    """Write pictures [h, w, 3], uint8 sRGB of one even size, as H.264 in MP4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": CRF, "preset": "veryfast", "bf": "0"})
        for k, picture in enumerate(pictures):
            if k == 0:
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, fps)
                stream.codec_context.thread_count = 1  # the same bytes on every machine
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
