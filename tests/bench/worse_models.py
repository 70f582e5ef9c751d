"""Which of a model's spoilt copies the morning's evaluation calls worse.

    python -m tests.bench.worse_models DAYLIGHT [--width 224] [--noise 0.01 0.1 0.3]

Each copy of the shipped model has noise on its weights, of so many of each tensor's own deviations. It restores the
synthesised night of DAYLIGHT, as `tasks.camera_facts` has it, and `tasks.trends` judges the figures against nine nights
of the model itself. Not covered: real nights (tests/flows/test_evaluate_flow.py).
"""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd
import torch

from lednet import Restorer
from tasks import synthesised
from tasks.facts import PAIRED_METRICS, checked
from tasks.health import HealthSettings
from tasks.settings import SynthesisSettings
from tasks.trends import trend_findings
from tests.tasks.made_facts import made_row

SEEDS = (1, 2)


def spoilt(noise: float, seed: int) -> Restorer:
    """The shipped model with noise on its weights."""
    restorer, generator = Restorer("small", device="cpu"), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in restorer.model.parameters():
            scale = noise * float(weights.std()) if weights.numel() > 1 else 0.0
            weights.add_(scale * torch.randn(weights.shape, generator=generator))
    return restorer


def figures(daylight: synthesised.Daylight, restorer: Restorer, settings: SynthesisSettings) -> dict[str, Any]:
    """What a row of facts holds of the synthesised night."""
    rows = synthesised.synthesised_figures(daylight, restorer, settings, None)
    frames = {f"{m}_frame_{k}": float(v) for m in PAIRED_METRICS for k, v in enumerate(rows[m])}
    return {m: float(rows[m].mean()) for m in PAIRED_METRICS} | frames


def main() -> None:
    """Judge every copy and print its figures and what it was called."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("daylight")
    parser.add_argument("--width", type=int, default=224)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.01, 0.03, 0.1, 0.3])
    chosen = parser.parse_args()
    settings = SynthesisSettings(width=chosen.width)
    daylight = synthesised.read_daylight(synthesised.find_daylight(chosen.daylight), settings, 10**8)
    own = figures(daylight, spoilt(0, 0), settings)
    earlier = checked(pd.DataFrame([made_row(before_last=k, **own) for k in range(1, 10)]))
    print(f"{'small itself':22} PSNR {own['psnr']:.2f} dB  SSIM {own['ssim']:.3f}")
    for noise in chosen.noise:
        for seed in SEEDS:
            night = made_row(model_sha="bbbb", **figures(daylight, spoilt(noise, seed), settings))
            called = [f.kind for f in trend_findings(night, earlier, HealthSettings(), hindered=True)]
            means = f"PSNR {night['psnr']:.2f} dB  SSIM {night['ssim']:.3f}"
            print(f"noise {noise:<5} seed {seed}     {means}  {', '.join(called) or '-'}", flush=True)


if __name__ == "__main__":
    main()
