"""Camera health: what a night's figures say is wrong with a camera, each against a threshold.

Pure rules on facts: a night's row, the camera's own earlier nights, and the site's other cameras of the same night. A
rule that lacks what it compares with says nothing. Not covered: measuring (`tasks.signs`, `tasks.timeline`), the
pictures (`tasks.evidence`), words (`tasks.wording`), and whether restoration got better or worse (`tasks.aggregate`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.findings import Finding

SHARES = (
    "covered_flat", "covered_share", "covered_rise", "usual_share", "moved_share", "moved_match", "blown_share",
    "dark_share", "dusty_rise", "dusty_contrast", "dusty_flat", "missing_share", "missing_bad_share", "sparse_share",
)  # fmt: skip
"""Thresholds that are shares of 1: what no share can reach, as one in per cent, would silence its finding."""
CONFIDENCES = ("trend_confidence", "model_confidence")
"""Those of intervals: beyond 0 to 1 there is none, and nothing would ever leave it."""
LEAST_COMPARED = 2
"""A single night does not tell how nights differ, so nothing can be held against it."""


@dataclass(frozen=True)
class HealthSettings:
    """Every threshold of camera health. Each can be set in the [health] table of cameras.toml.

    Raises:
        ValueError: for a share or a confidence outside of 0 to 1, or fewer nights than a comparison needs.
    """

    history_nights: int = 28
    """Earlier nights that a camera is compared with, less those that were covered or out of focus."""
    least_nights: int = 3
    """Of them must be known before anything is compared with them; 2 or more, and no more than `history_nights`."""
    covered_flat: float = 0.95
    """A picture looks covered when this share of its blocks holds no detail, ..."""
    covered_slope: float = 2.0
    """... and nothing in it is sharper than this, in levels of 255 a pixel: noise and shades are not, lamps are."""
    covered_share: float = 0.25
    """Share of a night's pictures that look covered, beyond the camera's usual, from which it is called so."""
    covered_rise: float = 0.4
    """Rise above earlier nights of the share of blocks that are lit and hold no detail, from which a part of the lens
    is called covered. Nights differ by less: a dark and noisy one hides detail as well."""
    usual_share: float = 0.5
    """A camera whose earlier nights, or whose neighbours, look covered to this share is in the dark, not covered."""
    defocused_times: float = 1.3
    """Edges so many times as wide as on earlier nights. Nights of a camera that sways differ by 1.2 times."""
    defocused_px: float = 1.0
    """And wider by at least this, in pixels of a kept picture."""
    moved_share: float = 0.02
    """Shift against the last night that could be compared, as a share of the picture's width."""
    moved_match: float = 0.15
    """Correlation of edges below which a camera looks at another scene."""
    frozen_s: float = 60.0
    """The picture stood still for so long, to the last digit of its figures."""
    blown_share: float = 0.2
    """Share of white pixels in the night's median picture."""
    dark_share: float = 0.95
    """Share of black pixels in the night's median picture."""
    dusty_rise: float = 0.1
    """Rise of the veil's share of the light above earlier nights, ..."""
    dusty_contrast: float = 0.75
    """... with contrast, relative to brightness, down to this share of the usual."""
    dusty_flat: float = 0.9
    """Of a camera whose blocks usually lack detail to this share, dust is not told: the veil of a scene that shows next
    to nothing rises and falls with its light."""
    infrared_colour: float = 0.002
    """Deviation of chroma below which a picture has no colour."""
    infrared_usual: float = 0.01
    """A camera that usually shows at least this has colours to lose. Infrared ones come to 0.005 by noise alone."""
    overlap_s: float = 2.0
    """Overlap of a recorder's files that a clock which runs on cannot make; names state whole seconds."""
    drift_s_per_h: float = 10.0
    """Steps between files that follow each other, in seconds an hour of footage."""
    missing_share: float = 0.02
    """Share of the night without footage that is worth telling."""
    missing_bad_share: float = 0.5
    """Share without footage from which the night is bad."""
    sparse_share: float = 0.1
    """Share of the pictures that should exist, of the time with footage, that lack one by one and are worth telling."""
    trend_confidence: float = 0.999
    """Of the interval that a night's figure must leave to be called worse or better: 50 cameras are judged daily."""
    trend_change: float = 0.3
    """And least change, relative to the usual."""
    model_confidence: float = 0.95
    """Of the interval that a new model's figures must leave."""
    model_psnr_db: float = 0.2
    model_ssim: float = 0.005
    """Least differences between two models: smaller ones nobody sees."""

    def __post_init__(self) -> None:
        for name in (*SHARES, *CONFIDENCES):
            value, default = getattr(self, name), getattr(HealthSettings, name)
            if name in SHARES and not 0 <= value <= 1:
                raise ValueError(f"{name} must be 0 to 1, such as {default}, not {value:g}")
            if name in CONFIDENCES and not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1, such as {default}, not {value:g}")
        if self.least_nights < LEAST_COMPARED:
            raise ValueError(f"least_nights must be {LEAST_COMPARED} or more, not {self.least_nights}")
        if self.history_nights < self.least_nights:  # or no comparison would ever be made
            raise ValueError(
                f"history_nights = {self.history_nights}: must be no fewer than least_nights, which is "
                f"{self.least_nights}"
            )


Row = Mapping[str, Any]


def findings_of(night: Row, earlier: pd.DataFrame, peers: pd.DataFrame, settings: HealthSettings) -> list[Finding]:
    """What a camera's night shows of its health, without pictures.

    Args:
        night: the camera's row of facts.
        earlier: its rows of the nights before, at most `history_nights` of them.
        peers: the rows of other cameras, of the same night.
    """
    if not night["frames"]:
        return []
    known = unspoilt(earlier[earlier["frames"] > 0], settings)
    if len(known) < settings.least_nights:
        known = known.iloc[:0]
    found = [*_clock(night, settings), *_missing(night, settings), *_sparse(night, settings)]
    covered = list(_covered(night, known, peers, settings))
    if covered:  # nothing else can be read from a covered lens
        return [*covered, *found]
    dark, blown = list(_dark(night, settings)), list(_blown(night, settings))
    defocused = list(_defocused(night, known, settings))
    return [
        *dark,
        *_frozen(night, settings),
        *blown,
        *_moved(night, known, settings),
        *defocused,
        # Blur and glare fill the dark places of a picture with light, as dust does.
        *([] if dark or defocused or blown else _dusty(night, known, settings)),
        *([] if dark else _infrared(night, known, settings)),
        *found,
    ]


def unspoilt(nights: pd.DataFrame, s: HealthSettings) -> pd.DataFrame:
    """Nights without those that were covered or out of focus, by the nights before them: what nobody mends would soon
    be the camera's usual, and no fault any more."""
    ordered = nights.sort_values("night")
    edges, hidden = ordered["edge_width"], ordered["flat"] - ordered["dark"] - ordered["blown"]
    # Below all limits that could come out; few nights are left to be asked one by one, which takes milliseconds.
    doubtful = ordered["covered_share"] >= s.covered_share
    doubtful |= (hidden >= s.covered_rise) | (edges >= s.defocused_times * edges.min())
    kept: list[int] = []
    for place, asked in enumerate(doubtful):
        if asked and len(kept) >= max(1, s.least_nights):
            night = {str(name): value for name, value in ordered.iloc[place].items()}
            before = ordered.iloc[kept]
            if any((*_covered(night, before, nights.iloc[:0], s), *_defocused(night, before, s))):
                continue
        kept.append(place)
    return ordered.iloc[kept]


def _finding(night: Row, kind: str, severity: str, **values: float | str) -> Finding:
    return Finding(night["camera"], kind, severity, values)


def _above(value: float, threshold: float) -> bool:
    """Whether there is something to tell: what is nothing is no fault, also where the threshold is 0."""
    return math.isfinite(value) and value > 0 and value >= threshold


def _covered(night: Row, known: pd.DataFrame, peers: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    share = night["covered_share"]
    if not _above(share, s.covered_share):
        yield from _partly_covered(night, known, s)
        return
    # A moonless night looks the same: what tells them apart is how this camera, or its neighbours, see other things.
    usual, others = (table["covered_share"].median() for table in (known, peers))
    if math.isfinite(usual):
        told = usual < s.usual_share and share >= usual + s.covered_share
    elif math.isfinite(others):
        told = others < s.usual_share
    else:
        told = not _above(night["dark"], s.dark_share)
    if told:
        values = {"value": share, "threshold": s.covered_share, "slot": float(night["flat_slot"])}
        yield _finding(night, "covered", "bad", **values)


def _partly_covered(night: Row, known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    # Dust hides detail too, but leaves the scene where it was; where lamps are out, the blocks are black, and where one
    # shines into the lens, they are white.
    if known.empty or (any(_dusty(night, known, s)) and not any(_moved(night, known, s))):
        return
    hidden = night["flat"] - night["dark"] - night["blown"]
    usual = (known["flat"] - known["dark"] - known["blown"]).clip(lower=0).median()
    if _above(hidden, usual + s.covered_rise):
        values = {"value": hidden, "usual": usual, "threshold": usual + s.covered_rise}
        yield _finding(night, "covered", "bad", case="part", slot=float(night["flat_slot"]), **values)


def _dark(night: Row, s: HealthSettings) -> Iterator[Finding]:
    if _above(night["dark"], s.dark_share):
        values = {"value": night["dark"], "threshold": s.dark_share, "slot": float(night["dark_slot"])}
        yield _finding(night, "dark", "attention", **values)


def _frozen(night: Row, s: HealthSettings) -> Iterator[Finding]:
    if _above(night["frozen_s"], s.frozen_s):
        unit, case = _time_unit(night["frozen_s"])
        values = {"value": night["frozen_s"] / unit, "threshold": s.frozen_s, "slot": float(night["typical_slot"])}
        yield _finding(night, "frozen", "bad", case=case, clock=night["frozen_at"], **values)


def _blown(night: Row, s: HealthSettings) -> Iterator[Finding]:
    if _above(night["blown"], s.blown_share):
        values = {"value": night["blown"], "threshold": s.blown_share, "slot": float(night["blown_slot"])}
        yield _finding(night, "blown", "attention", **values)


def _moved(night: Row, known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    # A camera on a vehicle, or one that is steered, looks elsewhere every night.
    if len(known) and (known["moved"].median() >= s.moved_share or known["match"].median() < s.moved_match):
        return
    values = {"since": night["moved_since"], "slot": float(night["typical_slot"])}
    if math.isfinite(night["match"]) and night["match"] < s.moved_match:
        # Scenes that have nothing in common may correlate a little below zero.
        values |= {"case": "turned", "value": max(0.0, night["match"]), "threshold": s.moved_match}
        yield _finding(night, "moved", "attention", **values)
    elif _above(night["moved"], s.moved_share):
        yield _finding(night, "moved", "attention", value=night["moved"], threshold=s.moved_share, **values)


def _defocused(night: Row, known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    usual = known["edge_width"].median() if len(known) else math.nan
    limit = max(usual * s.defocused_times, usual + s.defocused_px)
    if math.isfinite(limit) and _above(night["edge_width"], limit):
        values = {"value": night["edge_width"], "usual": usual, "threshold": limit}
        yield _finding(night, "defocused", "bad", slot=float(night["typical_slot"]), **values)


def _dusty(night: Row, known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    if known.empty or known["flat"].median() >= s.dusty_flat:
        return
    usual, contrast = known["veil"].median(), known["relative_contrast"].median()
    left = night["relative_contrast"] / contrast if contrast else math.nan
    if _above(night["veil"], usual + s.dusty_rise) and left <= s.dusty_contrast:
        values = {"value": night["veil"], "usual": usual, "threshold": usual + s.dusty_rise, "contrast": left}
        yield _finding(night, "dusty", "attention", slot=float(night["typical_slot"]), **values)


def _infrared(night: Row, known: pd.DataFrame, s: HealthSettings) -> Iterator[Finding]:
    if not (math.isfinite(night["colour"]) and night["colour"] < s.infrared_colour):
        return
    values = {"value": night["colour"], "threshold": s.infrared_colour, "slot": float(night["typical_slot"])}
    usual = known["colour"].median() if len(known) else math.nan
    if _above(usual, s.infrared_usual):
        yield _finding(night, "infrared", "attention", case="new", usual=usual, **values)
    else:
        yield _finding(night, "infrared", "note", **values)


def _clock(night: Row, s: HealthSettings) -> Iterator[Finding]:
    if _above(night["overlap_s"], s.overlap_s):
        values = {"value": night["overlap_s"], "threshold": s.overlap_s, "clock": night["overlap_at"]}
        yield _finding(night, "clock_drift", "attention", case="back", **values)
    elif _above(abs(night["drift_s_per_h"]), s.drift_s_per_h):
        values = {"value": abs(night["drift_s_per_h"]), "threshold": s.drift_s_per_h}
        yield _finding(night, "clock_drift", "attention", **values)


def _missing(night: Row, s: HealthSettings) -> Iterator[Finding]:
    if _above(night["missing"], s.missing_share):
        severity = "bad" if night["missing"] >= s.missing_bad_share else "attention"
        values = {"share": night["missing"], "threshold": s.missing_share, "gap": night["longest_gap"]}
        unit, case = _time_unit(night["gaps_s"])
        yield _finding(night, "missing_hours", severity, case=case, value=night["gaps_s"] / unit, **values)


def _sparse(night: Row, s: HealthSettings) -> Iterator[Finding]:
    # Slots that stand empty between others are no stretch: a recorder that was set to a lower rate leaves every second.
    recorded = 1 - night["missing"]
    lacking = 1 - night["coverage"] / recorded if recorded > 0 else math.nan
    if _above(lacking, s.sparse_share):
        values = {"value": lacking, "threshold": s.sparse_share}
        yield _finding(night, "missing_hours", "attention", case="sparse", **values)


def _time_unit(seconds: float) -> tuple[float, str]:
    """The seconds of the unit that a person would say a length in, and its sentence's name."""
    return next(((unit, case) for unit, case in ((3600.0, ""), (60.0, "min")) if seconds >= 2 * unit), (1.0, "s"))
