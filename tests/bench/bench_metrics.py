"""How fast the figures of 720p frames are: `python -m tests.bench.bench_metrics`.

PSNR + SSIM here and in scikit-image, both in one run, interleaved, on the threads this process is given: times, ratio
and both results. Then what each figure without a reference costs. Not covered: LPIPS and the detector.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from lednet import quality
from lednet.metrics import psnr, ssim
from lednet.noreference.brisque import features
from lednet.noreference.niqe import Pristine, niqe
from lednet.noreference.plain import lightness_order_error

HEIGHT, WIDTH = 720, 1280


def frames() -> tuple[np.ndarray, np.ndarray]:
    """A reference and a noisy copy, [h, w, 3] float32 in [0, 1]."""
    rng = np.random.default_rng(0)
    coarse = rng.random((HEIGHT // 8, WIDTH // 8, 3), np.float32)
    reference = np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)).clip(0, 1)
    noise = rng.standard_normal(reference.shape, np.float32)
    return (reference + 0.05 * noise).clip(0, 1), reference


def compare(repeats: int) -> dict[str, object]:
    image, reference = frames()
    x, y = (torch.from_numpy(a).permute(2, 0, 1)[None].contiguous() for a in (image, reference))

    def ours() -> tuple[float, float]:
        return psnr(x, y).item(), ssim(x, y).item()

    def theirs() -> tuple[float, float]:
        return float(peak_signal_noise_ratio(reference, image, data_range=1)), float(
            structural_similarity(
                reference, image, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                channel_axis=2,
            )
        )  # fmt: skip

    times: dict[str, list[float]] = {"ours": [], "scikit-image": []}
    values: dict[str, tuple[float, float]] = {}
    calls: dict[str, Callable[[], tuple[float, float]]] = {"ours": ours, "scikit-image": theirs}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            values[name] = call()
            if repeat:  # the first pass allocates
                times[name].append(time.perf_counter() - started)
    ms = {name: 1000 * min(t) for name, t in times.items()}  # the least: other work on the machine only adds
    return {"ms": ms, "values": values, "ratio": ms["scikit-image"] / ms["ours"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    result = compare(parser.parse_args().repeats)
    for name, ms in result["ms"].items():  # type: ignore[attr-defined]
        score = result["values"][name]  # type: ignore[index]
        print(f"{name:13} {ms:7.1f} ms   PSNR {score[0]:.4f} dB   SSIM {score[1]:.6f}")
    print(f"ratio         {result['ratio']:7.1f}   on {torch.get_num_threads()} thread(s)")
    rgb = (frames()[0] * 255).astype(np.uint8)
    model = Pristine.load()
    for name, figure in (
        ("quality row", lambda: quality.measure(rgb)),
        ("LOE", lambda: lightness_order_error(rgb, rgb)),
        ("BRISQUE's features", lambda: features(rgb)),
        ("NIQE", lambda: niqe(rgb, model)),
    ):
        started = time.process_time()
        for _ in range(3):
            figure()
        print(f"{name:18} {1000 * (time.process_time() - started) / 3:7.1f} ms of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
