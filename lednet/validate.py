"""Figures on real blurred pairs: `python -m lednet.validate --pairs FOLDER`, with torch, numpy and OpenCV alone.

The pairs are really blurred pictures with their sharp ones (`<name>_blur.png`, `<name>_sharp.png`) of scenes that no
training saw; each is darkened by a recipe, with fixed seeds. The network stands beside two floors: the input as it is,
and the best fixed gamma, fitted on training pairs when the checkpoint was made, where it was trained on that recipe.
8-bit sRGB, RGB, data range 1; no image is rescaled to the reference. Not covered: the comparison with published
methods.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor

from lednet import checkpoint
from lednet.baselines.gamma import gamma_of_card, restore_gamma
from lednet.clips import fault_of_name
from lednet.degrade import Recipe, find_recipe, make_night, srgb_to_linear
from lednet.metrics import mae, psnr, ssim
from lednet.restorer import Restorer

SEEDS = 12
"""Nights drawn for each pair, by a recipe that draws any."""


def read_image(path: Path) -> Tensor:
    """A picture as float [1, 3, h, w] sRGB in [0, 1]. Raises ValueError if it can't be read."""
    if fault := fault_of_name(path):
        raise ValueError(fault)
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # a header that states more pixels than OpenCV takes
        image = None
    if image is None:
        raise ValueError(f"{path}: not a picture that OpenCV reads; replace it")
    return torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() / 255


def read_pairs(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, blurred, sharp) of every pair in a folder. Raises ValueError for none, or one that does not fit."""
    blurred = sorted(folder.glob("*_blur.png"))
    if not blurred:
        raise ValueError(f"{folder}: holds no *_blur.png with their *_sharp.png")
    for path in blurred:
        name = path.name.removesuffix("_blur.png")
        blur, sharp = read_image(path), read_image(folder / f"{name}_sharp.png")
        if blur.shape != sharp.shape:
            sizes = " and ".join(f"{x.shape[3]}x{x.shape[2]}" for x in (blur, sharp))
            raise ValueError(f"{path}: is not as large as its {name}_sharp.png ({sizes}); replace one of them")
        yield name, blur, sharp


def nights(blurred: Tensor, recipe: Recipe) -> list[Tensor]:
    """`SEEDS` nights of a picture; one where the recipe leaves nothing to chance, as `paper` does."""
    drawn = [make_night(srgb_to_linear(blurred), recipe, torch.Generator().manual_seed(s)) for s in range(SEEDS)]
    return drawn if any(not torch.equal(dark, drawn[0]) for dark in drawn) else drawn[:1]


def floors_of(card: checkpoint.Card, recipe: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """What the network has to beat, by name: the input, and the gamma on its card, which only its own recipes have."""
    floors: dict[str, Callable[[Tensor], Tensor]] = {"identity": lambda dark: dark}
    try:
        gamma = gamma_of_card(card, recipe)
    except ValueError:
        return floors
    return floors | {f"fixed gamma {gamma}": lambda dark: restore_gamma(dark, gamma)}


def compare(folder: Path, model: str, recipe: str, device: str) -> dict[str, dict[str, float]]:
    """Mean PSNR (dB), SSIM and MAE over all pairs and their `nights`, of the input, the fixed gamma and the network.

    Args:
        recipe: a built-in one's name, or the path of a .toml file.

    Raises:
        ValueError: if the pairs, the checkpoint or the recipe can't be used.
    """
    drawn = find_recipe(recipe)
    restorer = Restorer(model, device=device)
    floors = floors_of(checkpoint.read_card(checkpoint.locate(model)), recipe)
    figures: dict[str, list[tuple[float, float, float]]] = {method: [] for method in (*floors, restorer.name)}
    for _, blurred, sharp in read_pairs(folder):
        for dark in nights(blurred, drawn):
            frames = (dark * 255).round().byte().permute(0, 2, 3, 1).numpy()
            restored = torch.from_numpy(restorer.restore(frames)).permute(0, 3, 1, 2).float() / 255
            images = {method: restore(dark) for method, restore in floors.items()} | {restorer.name: restored}
            for method, image in images.items():
                figures[method].append(tuple(f(image, sharp).item() for f in (psnr, ssim, mae)))  # type: ignore[arg-type]
    return {
        method: {name: sum(r[i] for r in rows) / len(rows) for i, name in enumerate(("psnr", "ssim", "mae"))}
        for method, rows in figures.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lednet.validate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", default="small")
    parser.add_argument("--recipe", default="night", help="a name, or a .toml file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        figures = compare(options.pairs, options.model, options.recipe, options.device)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"{'recipe ' + Path(options.recipe).name:20} {'PSNR dB':>8} {'SSIM':>7} {'MAE':>7}")
    for method, row in figures.items():
        print(f"{method:20} {row['psnr']:8.2f} {row['ssim']:7.3f} {row['mae']:7.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
