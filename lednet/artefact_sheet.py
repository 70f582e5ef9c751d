"""The figures of every artefact, and a sheet of the worst cases: `python -m lednet.artefact_sheet CLIPS OUT`.

Held-out clips of the folder are made night, so that the truth is known, and restored: by the tone curve alone, by the
whole network frame by frame, and with a memory of earlier frames of the same still scene (`lednet.temporal`). OUT gets
artefacts.png, a row a kind of artefact, and artefacts.json with every figure. Not covered: what the measures are
(`lednet.artefacts`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lednet import checkpoint
from lednet.artefacts import MEASURES, Found, Picture, tile_seams
from lednet.clips import find_clips, split_clips
from lednet.degrade import find_recipe
from lednet.model import LEDNet
from lednet.restorer import LEAST_TILE, TILE_OVERLAP, Restorer
from lednet.steadiness import HELD_OUT, STEP_S, darkened, read_stretch
from lednet.temporal import TemporalSettings, frame_tones
from lednet.video import VideoRestorer

TRUTH, CURVE, FRAME_WISE, STEADY = "truth", "curve", "frame-wise", "steady"
WAYS = (TRUTH, CURVE, FRAME_WISE, STEADY)
TILES = "tile seams"
CROP, ZOOM, GAP, HEAD = 64, 3, 6, 18


@dataclass(frozen=True)
class Case:
    """One night frame, restored in every way."""

    name: str
    pictures: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Worst:
    """Where an artefact was worst of all cases."""

    case: Case
    figure: float
    place: tuple[int, int]


def cases(options: argparse.Namespace, restorer: Restorer) -> Iterator[Case]:
    """`options.nights` nights of each held-out clip. Every frame is still, so that a memory has something to keep."""
    recipe = find_recipe(options.recipe)
    watched = TemporalSettings().warm_up
    times = [k * STEP_S for k in range(watched + 1)]
    for path in split_clips(find_clips(options.clips), HELD_OUT)[1]:
        for night in range(options.nights):
            sharp = read_stretch(path, options.first + 30 * night, 1, options.width)
            dark = darkened(np.repeat(sharp, watched + 1, 0), recipe, night)
            video = VideoRestorer(restorer)
            video.watch(dark[:-1], times[:-1])
            yield Case(
                f"{path.stem} {night}",
                {
                    TRUTH: sharp[0],
                    CURVE: by_curve(restorer, dark[-1:])[0],
                    FRAME_WISE: restorer.restore(dark[-1:])[0],
                    STEADY: video.restore(dark[-1:], times[-1:])[0],
                    "dark": dark[-1],
                },
            )


def by_curve(restorer: Restorer, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames under the network's tone curve alone: what its other layers were given."""
    assert isinstance(restorer.model, LEDNet)
    with torch.inference_mode():
        x = restorer.upload(frames)
        return restorer.download(restorer.model.expose(x, frame_tones(x)))


def in_tiles(restorer: Restorer, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame restored in the smallest tiles."""
    bound = restorer.pixels_at_once
    restorer.pixels_at_once = (LEAST_TILE - TILE_OVERLAP) ** 2
    try:
        return np.asarray(restorer.restore(frame[None])[0])
    finally:
        restorer.pixels_at_once = bound


class Collection:
    """Figures of all cases, and the worst of each artefact."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, dict[str, float]]] = {}
        """Artefact -> way -> case -> figure."""
        self.worst: dict[str, Worst] = {}

    def add(self, artefact: str, way: str, case: Case, found: Found) -> None:
        """Take one finding; the worst is kept of frames restored one by one."""
        self.figures.setdefault(artefact, {}).setdefault(way, {})[case.name] = found.figure
        known = self.worst.get(artefact)
        if way == FRAME_WISE and found.figure == found.figure and (known is None or found.figure > known.figure):
            self.worst[artefact] = Worst(case, found.figure, found.worst())

    def means(self) -> dict[str, dict[str, float]]:
        """Artefact -> way -> mean over the cases that it can be told of; NaN if of none."""

        def mean(figures: list[float]) -> float:
            told = [v for v in figures if v == v]
            return float(np.mean(told)) if told else float("nan")

        return {a: {w: mean(list(by.values())) for w, by in ways.items()} for a, ways in self.figures.items()}


def collect(found: Iterator[Case], restorer: Restorer, tiled: int) -> Collection:
    """Measure every case; tile seams of the first `tiled`."""
    collection = Collection()
    for number, case in enumerate(found):
        levels: dict[str, Picture] = {w: p.astype(np.float32) for w, p in case.pictures.items()}
        for artefact, measure in MEASURES.items():
            for way in WAYS:
                collection.add(artefact, way, case, measure(levels[way], levels[TRUTH]))
        if number < tiled:
            tiles = in_tiles(restorer, case.pictures["dark"]).astype(np.float32)
            collection.add(TILES, FRAME_WISE, case, tile_seams(levels[FRAME_WISE], tiles))
    return collection


def draw(collection: Collection) -> NDArray[np.uint8]:
    """A row an artefact: the worst case's place as tone curve alone, frame-wise, steady and truth. uint8 RGB."""
    side = CROP * ZOOM
    ways = (CURVE, FRAME_WISE, STEADY, TRUTH)
    canvas = np.full((len(collection.worst) * (side + HEAD + GAP), len(ways) * (side + GAP), 3), 255, np.uint8)
    for row, (artefact, worst) in enumerate(collection.worst.items()):
        top = row * (side + HEAD + GAP)
        words = f"{artefact} {worst.figure:.2f}: {worst.case.name}    ({', '.join(ways)})"
        cv2.putText(canvas, words, (2, top + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        for column, way in enumerate(ways):
            crop = _crop(worst.case.pictures[way], worst.place)
            shown = cv2.resize(crop, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_NEAREST)
            left = column * (side + GAP)
            canvas[top + HEAD : top + HEAD + shown.shape[0], left : left + shown.shape[1]] = shown
    return canvas


def _crop(picture: NDArray[np.uint8], place: tuple[int, int]) -> NDArray[np.uint8]:
    ys, xs = (
        slice(start, start + CROP)
        for start in (max(0, min(p - CROP // 2, s - CROP)) for p, s in zip(place, picture.shape, strict=False))
    )
    return np.ascontiguousarray(picture[ys, xs])


def write(collection: Collection, out: Path, about: dict[str, str]) -> None:
    """artefacts.png and artefacts.json in a folder, which is made; neither is ever seen half written."""
    out.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", draw(collection)[:, :, ::-1])
    if not done:
        raise ValueError(f"{out}: OpenCV could not encode the sheet")
    finite = {a: {w: {n: v if v == v else None for n, v in by.items()} for w, by in ways.items()}
              for a, ways in collection.figures.items()}  # fmt: skip
    files = {"artefacts.png": data.tobytes(), "artefacts.json": json.dumps(about | {"figures": finite}).encode()}
    for name, content in files.items():
        checkpoint.write_atomically(out / name, content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lednet.artefact_sheet", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", type=Path, help="folder of sharp clips; the held-out ones are used")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--recipe", default="night")
    parser.add_argument("--nights", type=int, default=3, help="of each clip")
    parser.add_argument("--first", type=int, default=10, help="frame of each clip to begin at")
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--tiled", type=int, default=1, help="cases restored in tiles too, at ten times the cost")
    options = parser.parse_args(arguments)
    try:
        checkpoint.load(options.model)  # a peer has no tone curve to stand beside: told before its pass fails
        restorer = Restorer(options.model, device=options.device)
        collection = collect(cases(options, restorer), restorer, options.tiled)
        write(collection, options.out, {"model": restorer.name, "sha256": restorer.sha256, "recipe": options.recipe})
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{'levels of 255':20}" + "".join(f"{way:>12}" for way in WAYS))
    for artefact, means in collection.means().items():
        values = (f"{means[w]:12.3f}" if w in means and means[w] == means[w] else f"{'-':>12}" for w in WAYS)
        print(f"{artefact:20}" + "".join(values))
    print(f"worst cases: {options.out / 'artefacts.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
