"""Facts of nights that never were: healthy cameras by default, anything else by what a test changes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from tasks.facts import REFERENCE_METRICS, SIGN_COLUMNS, SLOT_COLUMNS, WORD_COLUMNS, checked

LAST = "2026-03-01"
NIGHTS = 30


def night_name(before_last: int) -> str:
    return (date.fromisoformat(LAST) - timedelta(days=before_last)).isoformat()


def made_row(camera: str = "pit", before_last: int = 0, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A healthy camera's night; its figures vary by some per cent from night to night, as weather makes them."""
    name = f"{camera} {before_last} {seed}".encode()
    vary = np.random.default_rng(list(name)).normal(1, 0.03, 64)
    quality = {"brightness": (0.08, 0.35), "contrast": (0.06, 0.2), "noise": (0.02, 0.008), "sharpness": (0.3, 1.2)}
    row: dict[str, Any] = {
        "camera": camera, "name": camera.title(), "scene": "outdoor", "night": night_name(before_last),
        "run": "0123456789abcdef", "model": "small", "model_sha": "aaaa", "frames": 1000, "slots": 1000,
        "coverage": 1.0, "quarantined": 0, "gaps_s": 0.0,
    }  # fmt: skip
    for k, (metric, sides) in enumerate(quality.items()):
        row |= {f"{metric}_{when}": v * vary[k] for when, v in zip(("before", "after"), sides, strict=True)}
    # The synthesised night is the same every night: what is left is the rounding of another machine's threads.
    row |= dict(zip(REFERENCE_METRICS, (23.0 + vary[9] * 0.01, 0.75, 0.05, 0.2), strict=True))
    row |= {"reference_count": 8, "reference_key": "daylight"}
    row |= dict.fromkeys(SIGN_COLUMNS, 0.0) | dict.fromkeys(WORD_COLUMNS, "") | dict.fromkeys(SLOT_COLUMNS, 0)
    row |= {"flat": 0.1, "veil": 0.3 * vary[5], "colour": 0.05, "relative_contrast": 0.8 * vary[6], "dark": 0.2}
    row |= {"edge_width": 3.2 * vary[7], "moved": 0.001, "match": 0.9, "moved_since": night_name(before_last + 1)}
    return row | changes


def made_facts(*rows: dict[str, Any], nights: int = NIGHTS, cameras: tuple[str, ...] = ("pit",)) -> pd.DataFrame:
    """Healthy nights of some cameras, the last ones replaced by the rows given."""
    table = {(c, night_name(k)): made_row(c, k) for c in cameras for k in range(nights)}
    table |= {(r["camera"], r["night"]): r for r in rows}
    return checked(pd.DataFrame(table.values()))
