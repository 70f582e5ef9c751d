"""A picture to look at: each camera's sharpest moment before and after, one row a camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.publish import picture_rows

ROW_WIDTH = 1280
JPEG_QUALITY = 90


def before_after(manifests: Sequence[dict[str, Any]]) -> bytes | None:
    """A JPEG of all nights that kept pictures, before on the left and after on the right; None where none did."""
    rows = [row for manifest in manifests if (row := _row(manifest)) is not None]
    if not rows:
        return None
    ok, data = cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert ok
    return data.tobytes()


def _row(manifest: dict[str, Any]) -> NDArray[np.uint8] | None:
    run_url = manifest["frames_url"].removesuffix("/frames.zarr")
    tables = list(picture_rows(run_url, manifest["shards"]))
    kept = pd.concat(tables) if tables else pd.DataFrame()
    if kept.empty:
        return None
    best = kept.sort_values(["sharpness_after", "slot"]).iloc[-1]
    pair = [cv2.imdecode(np.frombuffer(best[c], np.uint8), cv2.IMREAD_COLOR) for c in ("before_jpeg", "after_jpeg")]
    row = np.hstack([p for p in pair if p is not None])
    height = round(row.shape[0] * ROW_WIDTH / row.shape[1])
    return np.asarray(cv2.resize(row, (ROW_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
