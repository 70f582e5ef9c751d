"""Non-blind deconvolution with a hyper-Laplacian prior on the gradients.

Source: Krishnan and Fergus, "Fast image deconvolution using hyper-Laplacian priors", NIPS 2009, exponent 2/3. Two steps
alternate: gradients by a look-up table (their section 2.2), the picture by one division of spectra (2.1). The kernels
are Gaussians, so the cosine transform, whose borders are mirrored, stands in for the Fourier transform: no ringing
from borders that are glued to the opposite side.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lednet.baselines.frames import Picture

EXPONENT = 2 / 3
MOST_FIDELITY, LEAST_FIDELITY = 2000.0, 20.0
"""Range of lambda; the former is the default of Krishnan and Fergus, for noise of 1 % and below."""

LITTLE_NOISE = 0.01

BETA_FROM, BETA_TO, BETA_STEP = 1.0, 256.0, 2 * math.sqrt(2)
TABLE_TO, TABLE_SIZE = 1.5, 4096
"""Gradients of pictures in [0, 1] are at most 1 but for overshoot."""


def gaussian(sigma: float) -> NDArray[np.float64]:
    """Samples of a Gaussian of sum one, out to four standard deviations."""
    radius = max(1, math.ceil(4 * sigma))
    x = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (x / sigma) ** 2)
    return np.asarray(taps / taps.sum())


def _response(taps: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """What symmetric taps do to each cosine of a signal of this length with mirrored borders."""
    frequency = np.pi * np.arange(length) / length
    radius = len(taps) // 2
    return taps[radius] + 2 * sum(taps[radius + j] * np.cos(j * frequency) for j in range(1, radius + 1))  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def _shrinkage(beta: float) -> Picture:
    """argmin over w of |w|^(2/3) + beta / 2 (w - v)^2, for v from 0 to `TABLE_TO`: Newton's method from v down."""
    v = np.linspace(0, TABLE_TO, TABLE_SIZE)
    w = v.copy()
    for _ in range(12):
        safe = w.clip(1e-9)
        slope = EXPONENT * safe ** (EXPONENT - 1) + beta * (w - v)
        bend = EXPONENT * (EXPONENT - 1) * safe ** (EXPONENT - 2) + beta
        w = np.where(bend > 0, w - slope / np.where(bend > 0, bend, 1), 0).clip(0, v)
    cost = w**EXPONENT + beta / 2 * (w - v) ** 2
    return np.asarray(np.where(cost < beta / 2 * v**2, w, 0), np.float32)


def _shrink(v: Picture, beta: float) -> Picture:
    index = np.minimum(np.abs(v) * ((TABLE_SIZE - 1) / TABLE_TO), TABLE_SIZE - 1).astype(np.int32)
    return np.copysign(_shrinkage(beta)[index], v)


def noise_of(channel: Picture) -> float:
    """Standard deviation of the noise of [h, w]; Immerkaer, Computer Vision and Image Understanding, 1996."""
    second = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(channel, cv2.CV_32F, second, borderType=cv2.BORDER_REFLECT))
    return float(math.sqrt(math.pi / 2) / 6 * response.mean())


def fidelity_for(noise: float) -> float:
    """lambda for noise of a standard deviation: the data count by the inverse of their variance."""
    return float(np.clip(MOST_FIDELITY * (LITTLE_NOISE / max(noise, 1e-6)) ** 2, LEAST_FIDELITY, MOST_FIDELITY))


def deconvolve(blurred: Picture, sigma: float, fidelity: float = MOST_FIDELITY) -> Picture:
    """A channel [h, w] in [0, 1] -> what, blurred by a Gaussian of `sigma` pixels, would look like it."""
    height, width = blurred.shape
    padded = cv2.copyMakeBorder(
        blurred, 0, height % 2, 0, width % 2, cv2.BORDER_REFLECT
    )  # the transform wants even sides
    taps = gaussian(sigma)
    kernel = np.outer(_response(taps, padded.shape[0]), _response(taps, padded.shape[1]))
    second = np.array([-1.0, 2.0, -1.0])
    gradient = _response(second, padded.shape[0])[:, None] + _response(second, padded.shape[1])[None]
    data = (kernel * cv2.dct(padded)).astype(np.float32)
    image, beta = padded, BETA_FROM
    while beta < BETA_TO:
        wx, wy = (_shrink(np.diff(image, axis=axis), beta) for axis in (1, 0))
        # The transpose of the differences; outside the picture there is no gradient.
        spread = -np.diff(wx, axis=1, prepend=0, append=0) - np.diff(wy, axis=0, prepend=0, append=0)
        weight = beta / fidelity
        spectrum = (data + weight * cv2.dct(spread)) / (kernel**2 + weight * gradient)
        image = cv2.idct(spectrum.astype(np.float32))
        beta *= BETA_STEP
    return np.asarray(image[:height, :width], np.float32)
