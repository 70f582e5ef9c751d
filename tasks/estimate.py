"""What a planned night will cost: hours at the rate that is known or measured, gigabytes in and out.

One real frame of the night is decoded, restored and stored with every codec; nothing is assumed. Not covered: whether
that is in time (`tasks.deadline`), and where last night's rate stands (`tasks.rates`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from tasks import codecs
from tasks.decode import VideoError, pixels, read_frames
from tasks.enhance import load_restorer
from tasks.picture import fit
from tasks.rates import NightRate
from tasks.settings import NightSettings
from tasks.types import NightPlan

MEASURED = "measured on this machine, the network alone"
TOLD = "as told by --rate"


@dataclass(frozen=True)
class Estimate:
    """Expected cost of one camera's night; gigabytes are of the whole night."""

    camera: str
    segments: int
    problems: int
    gaps: int
    slots: int
    footage_slots: int
    """Slots that footage should fill."""
    shards_left: int
    gb_in: float
    gb_raw: float
    """Restored frames before compression."""
    gb_stored: dict[str, float]
    """By codec: the one that the settings name comes first, then others that they could name."""
    frames_per_s: float
    """Of one worker, whatever `rate_from` says."""
    hours: float
    """Of one such worker, for what is not done yet; GPU-hours where it has a GPU."""
    rate_from: str = MEASURED
    """Where the rate comes from, in words."""
    psnr_db: dict[str, float] = field(default_factory=dict)
    """By codec, of what is read back against what was restored; those that changed nothing are left out."""


def estimate(
    plan: NightPlan, settings: NightSettings, shards_done: int, known_rate: float = 0.0, last: NightRate | None = None
) -> Estimate:
    """Measure one frame of the night and extrapolate.

    Args:
        known_rate: frames a second of one worker, as the user knows them; 0: not known.
        last: what the last night reached, which counts where the user knows nothing; None: the frame is timed here.

    Raises:
        VideoError: if no frame can be decoded after all.
    """
    picture = fit(_some_frame(plan, settings), plan.height, plan.width)[None]
    restorer = load_restorer(plan.items[0].checkpoint, settings.tile_mb, settings.precision, False)
    restorer.restore(picture)  # the first pass also allocates and tunes
    started = time.perf_counter()
    restored = restorer.restore(picture)
    measured = 1 / (time.perf_counter() - started)
    rate, rate_from = (
        (known_rate, TOLD) if known_rate else (last.frames_per_s, _reached(last)) if last else (measured, MEASURED)
    )
    stored = {codecs.label(choice): codecs.stored_frame(choice, restored) for choice in codecs.choices(settings)}
    raw = plan.planned_slots * restored.nbytes
    left = 1 - shards_done / max(1, plan.shards)
    return Estimate(
        plan.camera.id,
        len(plan.segments),
        len(plan.problems),
        len(plan.gaps),
        plan.grid.slots,
        plan.planned_slots,
        plan.shards - shards_done,
        sum(s.size for s in plan.segments) / 1e9,
        raw / 1e9,
        {codec: raw * of.bytes / restored.nbytes / 1e9 for codec, of in stored.items()},
        rate,
        plan.planned_slots * left / rate / 3600,
        rate_from,
        {codec: round(of.psnr_db, 1) for codec, of in stored.items() if isfinite(of.psnr_db)},
    )


def _reached(last: NightRate) -> str:
    return f"reached in the night of {last.night} with {last.model}"


def _some_frame(plan: NightPlan, settings: NightSettings) -> NDArray[np.uint8]:
    """The first frame of the first segment that gives one."""
    failure = VideoError(plan.run_url, "the night holds no segment")
    for segment in plan.segments:
        try:
            for _, frame in read_frames(segment.url, 0.0, float("inf"), [], settings.most_pixels):
                return pixels(frame)
            failure = VideoError(segment.url, "no frame of it can be decoded")
        except VideoError as error:
            failure = error
    raise failure
