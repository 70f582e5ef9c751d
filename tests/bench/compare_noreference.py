"""NIQE's and BRISQUE's features beside those of implementations that are not ours and not built on each other's.

    python -m pip install --no-deps --target REF scikit-video==1.1.11 opencv-contrib-python-headless==5.0.0.93
    PYTHONPATH=REF python -m tests.bench.compare_noreference REF

Both are put into a folder of their own, never into the environment: OpenCV's contributed build would take the other's
place. Compared are grey photographs that scikit-image ships. Of NIQE the features of whole blocks at the first scale:
scikit-video's second scale rests on a function that SciPy no longer has.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from lednet.noreference import brisque
from lednet.noreference.niqe import BLOCK, block_features

PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "clock_motion.png", "coffee.png", "gravel.png")
BLOCKS = 12
"""Blocks compared of each picture."""


def load(path: Path) -> ModuleType:
    """A file of a package as a module, without running the package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path}: install scikit-video there first")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def video_features(block: NDArray[Any], stats: ModuleType) -> NDArray[Any]:
    """scikit-video's 18 features of a block of normalised luma: its own, then those of four products of neighbours."""
    alpha, _, left, right, *_ = stats.aggd_features(block.copy())
    products = [[float(v) for v in stats.aggd_features(p)[:4]] for p in stats.paired_product(block)]
    return np.array([alpha, (left + right) / 2, *np.ravel(products)])


def main() -> None:
    """Compare every photograph and print the largest differences."""
    if len(sys.argv) != 2 or not (skvideo := Path(sys.argv[1]) / "skvideo/utils").is_dir():
        raise SystemExit("usage: compare_noreference REF, the folder that the head of this file says how to fill")
    np.int, np.float = int, float  # type: ignore[attr-defined]  # which scikit-video still uses
    mscn, stats = load(skvideo / "mscn.py"), load(skvideo / "stats.py")
    for name in PHOTOGRAPHS:
        grey = cv2.imread(str(Path(skimage.data.__file__).with_name(name)), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        frame = np.repeat(grey[..., None], 3, 2).astype(np.uint8)
        theirs = cv2.quality.QualityBRISQUE_computeFeatures(frame).ravel()  # type: ignore[attr-defined]
        height, width = (side // BLOCK * BLOCK for side in grey.shape)
        plane = grey[:height, :width].astype(np.float32)
        values = mscn.compute_image_mscn_transform(plane, extend_mode="nearest")[0]
        places = [(y, x) for y in range(0, height, BLOCK) for x in range(0, width, BLOCK)][:BLOCKS]
        blocks = np.array([video_features(values[y : y + BLOCK, x : x + BLOCK], stats) for y, x in places])
        apart = np.nanmax(np.abs(block_features(frame)[0][: len(blocks), :18] - blocks))
        far = np.abs(brisque.features(frame) - theirs).max()
        print(f"{name:18} NIQE, scikit-video: {apart:.4f}    BRISQUE, OpenCV {cv2.__version__}: {far:.4f}", flush=True)


if __name__ == "__main__":
    main()
