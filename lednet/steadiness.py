"""How steady restored video is, frame-wise and with a memory: `python -m lednet.steadiness CLIPS [--night CLIPS]`.

Fixed cameras' clips, made night with one draw of `lednet.degrade` a clip and new noise in every frame, so
that the truth and what stands still in it are known; held-out clips of cameras that move, to which a memory must do no
harm; stills of those shown over and over, where everything stands still; real night clips, which have no truth.
Both ways see the same frames. docs/video.md explains the figures. Not covered: the memory itself (`lednet.temporal`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lednet.clips import ClipError, find_clips, split_clips
from lednet.degrade import Range, Recipe, find_recipe, make_night, uniform
from lednet.noreference.plain import flicker
from lednet.restorer import Restorer
from lednet.temporal import TemporalSettings
from lednet.video import VideoRestorer

Frames = NDArray[np.uint8]

FIXED = "fixed_"
"""How the names of fixed cameras' clips begin."""

STILL_LEVELS = 6.0
"""A place whose smoothed luma stays within so many levels of 255 in the sharp clip stands still."""

HELD_OUT = 0.2
"""Share of the clips that the shipped networks never saw; of these are the clips of cameras that move."""

LEAST_STILL = 0.05
"""Of less still area, no deviation is told."""

LIGHT_SIDE = 33
"""Pixels a side of the squares whose still places tell how light changes; their noise is averaged away."""

STEP_S = 0.1
"""Frames are taken to be so far apart, whatever the clip's rate."""

LEAST_WIDTH = 32
"""In pixels, of clips made narrower; of smaller pictures there is no optical flow."""


@dataclass(frozen=True)
class Steadiness:
    """Figures of one restored clip, in levels of 255; NaN where there is nothing to tell."""

    deviation: float
    """Mean over still pixels of the standard deviation over time; where the truth is known, of the difference from
    `steady_truth`, so that light which really changes costs nothing."""
    flicker: float
    """`lednet.noreference.plain.flicker` of the mean luma, less the truth's where that is known."""
    warping: float
    """Mean absolute difference from the frame before, warped along the optical flow, where the flow can be trusted."""
    psnr: float
    """dB, mean over the frames."""
    psnr_moving: float
    """dB, of the places alone that do not stand still."""
    ms: float
    """A frame."""


@dataclass(frozen=True)
class Shown:
    """A clip to restore: dark frames, and the sharp ones where there are any, uint8 [t, h, w, 3]."""

    name: str
    kind: str
    dark: Frames
    truth: Frames | None
    still: NDArray[np.bool_]
    """[h, w]"""


def read_stretch(path: Path, first: int, count: int, width: int) -> Frames:
    """Consecutive frames of a clip, at most `width` wide. Raises ClipError if there are fewer than `count`."""
    capture = cv2.VideoCapture(str(path))
    frames: list[Frames] = []
    index = 0
    while len(frames) < count and capture.grab():
        if index >= first:
            frames.append(_shrunk(np.asarray(capture.retrieve()[1], np.uint8)[:, :, ::-1], width))
        index += 1
    capture.release()
    if len(frames) < count:
        raise ClipError(f"{path}: {len(frames)} frames from frame {first} on, not {count}; pass a longer clip")
    return np.stack(frames)


def _shrunk(frame: Frames, width: int) -> Frames:
    if frame.shape[1] <= width:
        return np.ascontiguousarray(frame)
    size = (width, round(frame.shape[0] * width / frame.shape[1]))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def one_night(recipe: Recipe, generator: torch.Generator) -> Recipe:
    """A recipe with its strengths drawn once, for all frames of one fixed camera's clip.

    Dust would be drawn anew for every frame and lamps would move, so both are left out, as is camera shake.
    """

    def drawn(bounds: Range, log: bool = False) -> Range:
        value = float(uniform(bounds, (1,), generator, log))
        return value, value

    return replace(
        recipe,
        gain=drawn(recipe.gain),
        gamma=drawn(recipe.gamma),
        shot_noise=drawn(recipe.shot_noise, log=True),
        read_noise=drawn(recipe.read_noise, log=True),
        jpeg_quality=drawn(recipe.jpeg_quality),
        video_qp=drawn(recipe.video_qp),
        low_resolution=drawn(recipe.low_resolution),
        row_noise=drawn(recipe.row_noise),
        jpeg_probability=float(uniform((0, 1), (1,), generator) < recipe.jpeg_probability),
        video_probability=0.0,
        dust_probability=0.0,
        fog_probability=0.0,
        lamp_probability=0.0,
    )


def darkened(frames: Frames, recipe: Recipe, seed: int) -> Frames:
    """Sharp frames -> the night of a fixed camera: equal light, noise of its own in every frame."""
    generator = torch.Generator().manual_seed(seed)
    night = one_night(recipe, generator)
    dark = []
    for frame in frames:
        x = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255
        levels = make_night(night.response.to_linear(x), night, generator)[0] * 255
        dark.append(levels.round().byte().permute(1, 2, 0).numpy())
    return np.stack(dark)


def still_places(frames: Frames) -> NDArray[np.bool_]:
    """Where the smoothed luma stays within `STILL_LEVELS`, [h, w]."""
    luma = np.stack([cv2.blur(_luma(f), (3, 3)) for f in frames])
    return np.asarray(luma.max(0) - luma.min(0) < STILL_LEVELS)


def _luma(frame: Frames) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32)


def figures(restored: Frames, shown: Shown, ms: float) -> Steadiness:
    """Figures of restored frames, the last of those of `shown`."""
    truth = None if shown.truth is None else shown.truth[-len(restored) :]
    y = restored.astype(np.float32)
    deviation = (y if truth is None else y - steady_truth(truth, shown.still)).std(0).mean(-1)
    brightness = np.array([_luma(f).mean() for f in restored])
    if truth is not None:
        brightness -= [_luma(f).mean() for f in truth]
    errors = None if truth is None else ((y - truth) ** 2).mean(-1)
    return Steadiness(
        float(deviation[shown.still].mean()) if shown.still.mean() > LEAST_STILL else float("nan"),
        flicker(brightness),
        warping_error(restored, restored if truth is None else truth),
        float("nan") if errors is None else float(np.mean([_psnr(e.mean()) for e in errors])),
        float("nan") if errors is None or shown.still.all() else _psnr(errors[:, ~shown.still].mean()),
        ms,
    )


def steady_truth(truth: Frames, still: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The sharp frames [t, h, w, 3] without the noise of the camera that took them, of use where [h, w] is still.

    Their mean over time, in each frame's light: that of the still places around. Their own noise, 0.4 to 1.6 levels in
    the clips at hand, is no light and not to be restored: a video without any would count as unsteady by so much.
    """
    counted = still.astype(np.float32)[:, :, None]
    side = (LIGHT_SIDE, LIGHT_SIDE)
    light = np.stack([cv2.blur(frame * counted, side) for frame in truth.astype(np.float32)])
    return np.asarray(truth.mean(0) * light / light.mean(0).clip(1e-3), np.float32)


def _psnr(mse: float) -> float:
    return float(10 * np.log10(255**2 / max(mse, 1e-9)))


def warping_error(restored: Frames, guide: Frames) -> float:
    """Mean absolute difference of each frame from the one before, warped to it along the flow of `guide`, in levels.

    Pixels whose flow there and back do not meet within a pixel are left out as occluded. Lai et al., ECCV 2018, with
    absolute for squared differences and OpenCV's DIS flow.
    """
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    height, width = restored.shape[1:3]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    errors = []
    for k in range(1, len(restored)):
        now, before = (np.asarray(cv2.cvtColor(guide[i], cv2.COLOR_RGB2GRAY), np.uint8) for i in (k, k - 1))
        back = np.asarray(flow_of.calc(now, before, np.zeros((height, width, 2), np.float32)))
        forth = np.asarray(flow_of.calc(before, now, np.zeros((height, width, 2), np.float32)), np.float32)
        met = _moved(forth, grid + back) + back
        seen = (np.abs(met) < 1).all(-1)
        apart = np.abs(_moved(restored[k - 1].astype(np.float32), grid + back) - restored[k]).mean(-1)
        if seen.any():
            errors.append(apart[seen].mean())
    return float(np.mean(errors)) if errors else float("nan")


def _moved(picture: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    across, down = (np.ascontiguousarray(places[..., i]) for i in (0, 1))
    return np.asarray(cv2.remap(picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def compared(shown: Shown, restorer: Restorer) -> dict[str, Steadiness]:
    """Both ways on one clip. The first `warm_up` frames are only watched, as before every shard of a night."""
    skip = TemporalSettings().warm_up
    video = VideoRestorer(restorer)
    times = [k * STEP_S for k in range(len(shown.dark))]
    video.watch(shown.dark[:skip], times[:skip])
    restored: dict[str, list[Frames]] = {"frame-wise": [], "steady": []}
    spent = dict.fromkeys(restored, 0.0)
    for k in range(skip, len(shown.dark)):  # in turns, so that a busy machine slows both
        frame = shown.dark[k : k + 1]
        for way in restored:
            started = time.process_time()
            restored[way].append(
                restorer.restore(frame) if way == "frame-wise" else video.restore(frame, times[k : k + 1])
            )
            spent[way] += time.process_time() - started
    frames = len(shown.dark) - skip
    return {w: figures(np.concatenate(r), shown, 1000 * spent[w] / frames) for w, r in restored.items()}


def clips_of(options: argparse.Namespace) -> Iterator[Shown]:
    """The clips of the folders, those of fixed cameras first."""
    count = options.frames + TemporalSettings().warm_up
    recipe = find_recipe(options.recipe)
    paths = find_clips(options.folder)
    fixed = [p for p in paths if p.name.startswith(FIXED)]
    for seed in range(options.nights):
        for path in fixed:
            sharp = read_stretch(path, options.first, count, options.width)
            yield Shown(f"{path.stem} {seed}", "fixed", darkened(sharp, recipe, seed), sharp, still_places(sharp))
    held_out = [p for p in split_clips(paths, HELD_OUT)[1] if p not in fixed]
    for seed, path in enumerate(held_out[: options.others]):
        sharp = read_stretch(path, options.first, count, options.width)
        yield Shown(path.stem, "moving", darkened(sharp, recipe, seed), sharp, still_places(sharp))
        same = np.repeat(sharp[:1], count, 0)
        yield Shown(path.stem, "still", darkened(same, recipe, seed), same, np.ones(sharp.shape[1:3], bool))
    for path in find_clips(options.night) if options.night else []:
        dark = read_stretch(path, options.first, count, options.width)
        yield Shown(path.stem, "real night", dark, None, still_places(dark))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lednet.steadiness", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help=f"sharp clips; those of fixed cameras begin with {FIXED}")
    parser.add_argument("--night", type=Path, help="clips of real nights")
    parser.add_argument("--model", default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--recipe", default="night")
    parser.add_argument("--nights", type=int, default=2, help="synthesised nights of each fixed camera")
    parser.add_argument("--others", type=int, default=3, help="held-out clips of cameras that move")
    parser.add_argument("--first", type=int, default=0, help="frame of each clip to begin at")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        _check(options)
        restorer = Restorer(options.model, device=options.device)
        rows = []
        for shown in clips_of(options):
            result = compared(shown, restorer)
            rows.append({"clip": shown.name, "kind": shown.kind} | {w: _known(f) for w, f in result.items()})
            if not options.json:
                _print(shown, result, len(rows) == 1)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"model": restorer.name, "sha256": restorer.sha256, "rows": rows}))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise ValueError for a number that no clip can be read or measured by."""
    for name, least in (("nights", 0), ("others", 0), ("first", 0), ("frames", 1), ("width", LEAST_WIDTH)):
        if getattr(options, name) < least:
            raise ValueError(f"--{name} {getattr(options, name)}: must be {least} or more")


def _known(figures: Steadiness) -> dict[str, float | None]:
    """Figures for JSON, which has no word for NaN: None for what a clip can't tell."""
    return {name: None if math.isnan(value) else value for name, value in asdict(figures).items()}


def _print(shown: Shown, result: dict[str, Steadiness], head: bool) -> None:
    if head:
        names = "deviation flicker warping psnr moving ms".split()
        print(f"{'clip':22} {'kind':10} {'way':10} " + " ".join(f"{n:>9}" for n in names))
    for way, found in result.items():
        values = " ".join("        -" if v != v else f"{v:9.2f}" for v in asdict(found).values())
        print(f"{shown.name:22.22} {shown.kind:10} {way:10} {values}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
