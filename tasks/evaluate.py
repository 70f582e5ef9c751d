"""Figures against a known truth: the demo's, where the sharp daylight frames are there to compare with.

Covers PSNR and SSIM of a published night before and after restoration. Real nights have no truth; for those there are
the quality rows only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
import zarr
from numpy.typing import NDArray

from lednet.metrics import psnr, ssim
from tasks import storage
from tasks.picture import fit
from tasks.slots import SlotFrame, fill_slots, night_grid
from tasks.types import NANOSECONDS, Camera, Segment


def against_truth(manifest: dict[str, Any], camera: Camera, truth_url: str, most_pixels: int) -> pd.DataFrame:
    """One row a frame: slot, psnr_before, psnr_after (dB), ssim_before, ssim_after; 8-bit sRGB, RGB, data range 1.

    Args:
        manifest: of the published night.
        truth_url: a Zarr group with `frames` [t, h, w, 3] uint8 and `time_ns` [t]; the nearest in time is compared.
    """
    truth = zarr.open_group(storage.zarr_store(truth_url), mode="r")
    times = np.asarray(truth["time_ns"])
    grid = night_grid(camera, manifest["night"])
    restored = zarr.open_array(storage.zarr_store(manifest["frames_url"]), path="frames", mode="r")
    segments = tuple(Segment(**{k: v for k, v in s.items() if k != "frames"}) for s in manifest["segments"])
    rows = []
    for event in fill_slots(grid, 0, grid.slots, segments, most_pixels):
        if not isinstance(event, SlotFrame):
            continue
        nearest = int(np.abs(times - grid.time_ns(event.slot)).argmin())
        if abs(int(times[nearest]) - grid.time_ns(event.slot)) > NANOSECONDS / grid.rate / 2:
            continue
        wanted = np.asarray(truth["frames"][nearest])  # type: ignore[index]
        before = fit(event.pixels, *wanted.shape[:2])
        after = fit(np.asarray(restored[event.slot]), *wanted.shape[:2])
        rows.append({"slot": event.slot, **_figures(before, wanted, "before"), **_figures(after, wanted, "after")})
    return pd.DataFrame(rows, columns=["slot", "psnr_before", "ssim_before", "psnr_after", "ssim_after"])


def _figures(image: NDArray[np.uint8], reference: NDArray[np.uint8], when: str) -> dict[str, float]:
    x, y = (torch.from_numpy(a.copy()).permute(2, 0, 1)[None].float() / 255 for a in (image, reference))
    return {f"psnr_{when}": psnr(x, y).item(), f"ssim_{when}": ssim(x, y).item()}
