"""Pictures to look at: each camera's sharpest moment before and after, and pairs of a data set."""

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
CAPTION_HEIGHT = 22


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


def contact_sheet(pairs: Sequence[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]) -> bytes:
    """A JPEG of pairs, degraded beside label, two pairs a row, each with its words: [h, w, 3] uint8 sRGB, one size."""
    width = ROW_WIDTH // 4
    cells = []
    for words, *pictures in pairs:
        height = max(1, round(pictures[0].shape[0] * width / pictures[0].shape[1]))
        cell = np.hstack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures])
        caption = np.full((CAPTION_HEIGHT, cell.shape[1], 3), 255, np.uint8)
        cv2.putText(
            caption, words, (6, CAPTION_HEIGHT - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA
        )
        cells.append(np.vstack([caption, cell]))
    cells += [np.full_like(cells[0], 255)] * (len(cells) % 2)
    sheet = np.vstack([np.hstack(cells[i : i + 2]) for i in range(0, len(cells), 2)])
    ok, data = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert ok
    return data.tobytes()
