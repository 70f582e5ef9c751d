"""Fits NIQE's model of sharp daylight pictures: `python -m lednet.noreference.fit --clips FOLDER [--out FILE.npz]`.

From every training clip (the split of `lednet.clips.split_clips`, by clip) some frames, evenly spread. Frames of
`HALVE_FROM` rows or more are halved first, which takes compression's traces away. Of each frame those blocks count
whose sharpness is above `SHARP` of the sharpest (section II.C of the paper); frames darker or lighter than `DAYLIGHT`
are left out. Writes the mean and covariance, and beside them a .json that names clips, frames, blocks and settings.
Held-out clips are then scored as they are, blurred, noisy and darkened, which shows what the model is worth. Not
covered: BRISQUE, whose regressor needs people's scores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import lednet
from lednet.clips import find_clips, split_clips
from lednet.noreference.niqe import LEAST_SIDE, MODEL, Pristine, block_features, niqe

FRAMES = 12
"""Frames taken of a clip."""

HELD_OUT = 0.15
"""Share of the clips that the model is not fitted on."""

HALVE_FROM = 700
SHARP = 0.75
DAYLIGHT = (0.2, 0.8)
"""Mean of all three channels, 0 to 1."""

LEAST_BLOCKS = 360
"""Ten a feature; with fewer the covariance is mostly chance."""

Frame = NDArray[np.uint8]


def frames_of(path: Path, most: int = FRAMES) -> Iterator[Frame]:
    """Evenly spread daylight frames, uint8 [h, w, 3] sRGB, large ones halved."""
    capture = cv2.VideoCapture(str(path))
    stride = max(1, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) // most)
    index = taken = 0
    while taken < most and capture.grab():
        if index % stride == 0:
            ok, frame = capture.retrieve()
            if ok:
                taken += 1
                picture = prepared(np.ascontiguousarray(frame[:, :, ::-1]).astype(np.uint8))
                if min(picture.shape[:2]) >= LEAST_SIDE and DAYLIGHT[0] < picture.mean() / 255 < DAYLIGHT[1]:
                    yield picture
        index += 1
    capture.release()


def prepared(frame: Frame) -> Frame:
    """Halved from `HALVE_FROM` rows on."""
    if frame.shape[0] < HALVE_FROM:
        return frame
    size = (frame.shape[1] // 2, frame.shape[0] // 2)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def sharp_blocks(frame: Frame) -> NDArray[Any]:
    """Features [blocks, 36] of a frame's sharpest blocks."""
    features, sharpness = block_features(frame)
    sharp: NDArray[Any] = features[(sharpness > SHARP * sharpness.max()) & np.isfinite(features).all(1)]
    return sharp


def fit(clips: Sequence[Path]) -> tuple[Pristine, dict[str, list[int]]]:
    """The model of these clips, and of each clip [frames, blocks].

    Raises:
        ValueError: if they have fewer than `LEAST_BLOCKS` sharp blocks.
    """
    blocks, counts = [], {}
    for path in clips:
        found = [sharp_blocks(frame) for frame in frames_of(path)]
        counts[path.name] = [len(found), sum(map(len, found))]
        blocks += found
    features = np.concatenate(blocks) if blocks else np.empty((0, 1))
    if len(features) < LEAST_BLOCKS:
        raise ValueError(f"only {len(features)} sharp blocks in {len(clips)} clips, {LEAST_BLOCKS} needed; add footage")
    return Pristine(features.mean(0), np.cov(features, rowvar=False)), counts


def blurred(frame: Frame) -> Frame:
    """Defocused by a Gaussian of 2 px."""
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 2), np.uint8)


def noisy(frame: Frame) -> Frame:
    """With independent noise of sigma 0.1."""
    noise = np.random.default_rng(0).normal(0, 25.5, frame.shape)
    return (frame + noise).round().clip(0, 255).astype(np.uint8)


def darkened(frame: Frame) -> Frame:
    """A twentieth of the light, in whole levels."""
    return (frame // 20).astype(np.uint8)


CHANGES: dict[str, Callable[[Frame], Frame]] = {
    "as it is": lambda frame: frame,
    "blurred": blurred,
    "noisy": noisy,
    "darkened": darkened,
}


def check(model: Pristine, clips: Sequence[Path]) -> dict[str, float]:
    """Mean NIQE of held-out clips' frames, as they are and changed."""
    frames = [frame for path in clips for frame in frames_of(path, 4)]
    return {name: float(np.mean([niqe(change(f), model) for f in frames])) for name, change in CHANGES.items()}


def save(model: Pristine, card: dict[str, Any], path: Path) -> None:
    """Write the model and its card, each under another name first, so that no half of one is ever seen."""
    unfinished, unfinished_card = path.with_suffix(".unfinished.npz"), path.with_suffix(".unfinished.json")
    np.savez_compressed(unfinished, mean=model.mean, covariance=model.covariance)
    unfinished_card.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
    unfinished_card.replace(path.with_suffix(".json"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lednet.noreference.fit", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=MODEL)
    options = parser.parse_args(arguments)
    try:
        training, held_out = split_clips(find_clips(options.clips), HELD_OUT)
        model, counts = fit(training)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    scores = {name: round(score, 3) for name, score in check(model, held_out).items()} if held_out else {}
    card = {
        "what": "NIQE's model of sharp daylight pictures: mean and covariance of 36 block features",
        "made_by": f"python -m lednet.noreference.fit, lednet {lednet.__version__}",
        "settings": {"frames": FRAMES, "halve_from": HALVE_FROM, "sharp": SHARP, "daylight": DAYLIGHT},
        "clips": {name: {"frames": c[0], "blocks": c[1]} for name, c in counts.items()},
        "blocks": sum(c[1] for c in counts.values()),
        "held_out": [path.name for path in held_out],
        "held_out_niqe": scores,
    }
    save(model, card, options.out)
    print(json.dumps(card, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
