"""One camera's nights as facts: reads what is published of each night, measures it and writes its row.

What runs on a Dask worker, one camera a call, nights in order of time, since a night is compared with the still scene
of the one before. A night that can't be read never stops the others. Not covered: judging (`tasks.health`,
`tasks.aggregate`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import pandas as pd

from lednet import checkpoint
from tasks import facts, listing, models, signs, storage, store, synthesised, timeline
from tasks.enhance import load_restorer
from tasks.evidence import kept_pictures, night_grid_of, run_url_of
from tasks.health import HealthSettings
from tasks.nights import night_before
from tasks.settings import NightSettings, SynthesisSettings
from tasks.types import Camera
from tasks.video import read_jpeg

log = logging.getLogger(__name__)

PICTURES = 48
"""Kept pictures that a night's signs are measured on: one every quarter of an hour of a winter's night."""
SCENE_QUALITY = 92
NOTHING = float("nan")


@dataclass(frozen=True)
class FactsJob:
    """The nights of a camera that are to be evaluated."""

    camera: Camera
    nights: tuple[str, ...]
    store_url: str
    settings: NightSettings
    health: HealthSettings = field(default_factory=HealthSettings)
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)


@dataclass(frozen=True)
class FactsOutcome:
    """How the evaluation of one camera's night ended."""

    camera: str
    night: str
    status: str
    """`written`, `not published` or `failed`."""
    reason: str = ""


def camera_facts(job: FactsJob) -> list[FactsOutcome]:
    """Write the facts of a camera's nights; one outcome a night."""
    outcomes = []
    for night in sorted(job.nights):
        try:
            manifest = store.read_manifest(job.store_url, job.camera.id, night)
            if manifest is None:
                outcomes.append(FactsOutcome(job.camera.id, night, "not published", "the store holds no manifest"))
                continue
            facts.write_facts(job.store_url, night_facts(job, manifest))
            outcomes.append(FactsOutcome(job.camera.id, night, "written"))
        except Exception as error:  # one night's trouble, whatever it is, must not cost the others their facts
            if not isinstance(error, store.SAID):  # else whoever asked for the facts says it
                log.exception("%s, %s: no facts", job.camera.id, night)
            outcomes.append(FactsOutcome(job.camera.id, night, "failed", str(error)))
    return outcomes


def night_facts(job: FactsJob, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a published night, as `facts.SCHEMA` has it; stores the night's still scene on the way.

    Raises:
        StoreError: if what is published can't be read.
    """
    quality = store.read_quality(run_url_of(manifest), manifest["frames"])
    return {
        "camera": manifest["camera"]["id"],
        # Name and scene as the site describes them today, so that a corrected name does not split a camera in two.
        "name": job.camera.name,
        "scene": job.camera.scene,
        "night": manifest["night"],
        "run": manifest["run"],
        "model": manifest["model"]["name"],
        "model_sha": manifest["model"]["sha256"],
        "frames": manifest["frames"],
        "slots": manifest["slots"],
        "coverage": manifest["coverage"],
        "quarantined": len(manifest["problems"]),
        **quality_means(quality),
        **time_figures(manifest, quality),
        **_picture_figures(job, manifest, quality),
        **_reference_figures(job, manifest),
    }


def quality_means(quality: pd.DataFrame) -> dict[str, float]:
    """The night's mean of every figure of the quality rows; NaN of the four that every night has, without a frame."""
    wanted = [f"{m}_{when}" for m in facts.NIGHT_METRICS for when in ("before", "after")]
    means = dict.fromkeys(wanted, NOTHING)
    if len(quality):
        columns = [c for c in quality.columns if c.endswith(("_before", "_after"))]
        means |= {str(name): float(value) for name, value in quality[columns].mean().items()}
    return means


def time_figures(manifest: Mapping[str, Any], quality: pd.DataFrame) -> dict[str, Any]:
    """Gaps, standstills and the recorder's clock."""
    zone, grid = ZoneInfo(manifest["camera"]["timezone"]), night_grid_of(manifest)
    gaps = timeline.gaps(quality["slot"].tolist(), grid)
    still = timeline.longest_standstill(quality) if len(quality) else timeline.Stretch()
    clock = timeline.clock_signs(manifest)
    missing_s = sum(g.seconds for g in gaps)
    return {
        "gaps_s": missing_s,
        "missing": missing_s / (grid.slots / float(grid.rate)),
        "longest_gap": timeline.longest(gaps).words(zone),
        "frozen_s": still.seconds,
        "frozen_at": timeline.clock(still.start_ns, zone) if still.seconds else "",
        "overlap_s": clock.overlap_s,
        "overlap_at": timeline.clock(clock.overlap_ns, zone) if clock.overlap_s else "",
        "drift_s_per_h": clock.drift_s_per_h,
    }


@dataclass
class _Pictures:
    """Signs of a night's kept pictures and its still scene, or nothing of a night without any."""

    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["slot", *signs.Signs._fields]))
    scene: signs.Grey | None = None


def _picture_figures(job: FactsJob, manifest: Mapping[str, Any], quality: pd.DataFrame) -> dict[str, Any]:
    pictures = _measure(kept_pictures(manifest, quality, PICTURES))
    table, scene = pictures.table, pictures.scene
    if scene is None:
        none = ("covered_share", "flat", "blown", "dark", "veil", "colour", "relative_contrast", "edge_width", "moved")
        slots = dict.fromkeys(facts.SLOT_COLUMNS, -1)
        return dict.fromkeys((*none, "match"), NOTHING) | {"moved_since": ""} | slots
    covered = (table["flat"] >= job.health.covered_flat) & (table["steepest"] <= job.health.covered_slope)
    median = table.median()
    relative = table["contrast"] / table["brightness"].clip(lower=1 / 255)
    return {
        "covered_share": float(covered.mean()),
        **{name: float(median[name]) for name in ("flat", "blown", "dark", "veil", "colour")},
        "relative_contrast": float(relative.median()),
        "edge_width": signs.edge_width(scene),
        "typical_slot": int(table["slot"].iloc[len(table) // 2]),
        **{f"{name}_slot": int(table["slot"].iloc[int(table[name].argmax())]) for name in ("flat", "blown", "dark")},
        **_against_earlier(job, manifest["night"], scene),
    }


def _measure(kept: pd.DataFrame) -> _Pictures:
    pictures, rows = [], []
    for slot, data in zip(kept["slot"], kept["before_jpeg"], strict=True):
        try:
            picture = read_jpeg(data)
        except (cv2.error, TypeError):  # one damaged picture of many
            log.warning("slot %d: its kept picture can't be read", slot)
            continue
        brightness = float(picture.mean()) / 255
        rows.append({"slot": slot, "brightness": brightness, **signs.picture_signs(picture)._asdict()})
        pictures.append(picture)
    return _Pictures(pd.DataFrame(rows), signs.still_scene(pictures)) if pictures else _Pictures()


def _against_earlier(job: FactsJob, night: str, scene: signs.Grey) -> dict[str, Any]:
    """Where the camera points, against the last night that shows it; keeps this night's scene for those that follow."""
    if math.isnan(signs.edge_width(scene)):  # covered or dark: nothing to compare, and nothing to compare with
        return {"moved": NOTHING, "match": NOTHING, "moved_since": ""}
    ok, data = cv2.imencode(".jpg", signs.narrow(scene, signs.SIGNS_WIDTH), [cv2.IMWRITE_JPEG_QUALITY, SCENE_QUALITY])
    assert ok
    storage.write(facts.scene_url(job.store_url, job.camera.id, night), data.tobytes())
    since = _earlier_scene(job, night)
    if not since:
        return {"moved": NOTHING, "match": NOTHING, "moved_since": ""}
    stored = storage.read(facts.scene_url(job.store_url, job.camera.id, since))
    # An empty one OpenCV refuses to look at.
    reference = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_GRAYSCALE) if stored else None
    if reference is None:
        log.warning("%s, %s: its still scene can't be read; evaluate that night again", job.camera.id, since)
        return {"moved": NOTHING, "match": NOTHING, "moved_since": ""}
    shift = signs.shift_between(scene, reference)  # type: ignore[arg-type]
    return {"moved": shift.share, "match": shift.match, "moved_since": since}


def _earlier_scene(job: FactsJob, night: str) -> str:
    """The last night before this one, of those that count as history, whose still scene is stored."""
    first = night_before(night, job.health.history_nights)
    names = listing.names(storage.join(job.store_url, "facts", job.camera.id))
    nights = [n.removesuffix(".jpg") for n in names if n.endswith(".jpg")]
    return max((n for n in nights if first <= n < night), default="")


def _reference_figures(job: FactsJob, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the synthesised night, under this night's model; taken from an earlier row where that has the same."""
    nothing = {**dict.fromkeys(facts.REFERENCE_METRICS, NOTHING), "reference_count": 0, "reference_key": ""}
    if not job.camera.daylight:
        return nothing
    model = manifest["model"]["sha256"]
    known: dict[str, Any] | None = None
    try:
        entries = synthesised.find_daylight(job.camera.daylight)
        key = synthesised.daylight_key(entries, job.synthesis)
        known = _known_figures(job, manifest["night"], model, key)
        # Those that lack LPIPS are made again, since its weights may be there by now, and kept where they can't be.
        if known and math.isfinite(known["lpips"]):
            return known
        perceptual = synthesised.load_perceptual(job.synthesis.lpips_weights)
        if known and perceptual is None:
            return known
        weights = models.fetch(models.resolve(job.settings.checkpoint, job.store_url))
        card, _ = checkpoint.identify(weights)
        if card.sha256 != model:
            log.warning(
                "%s, %s: no new figures of the synthesised night: it was restored by %s (%s), not by the present "
                "checkpoint %s", job.camera.id, manifest["night"], manifest["model"]["name"], model[:8], card.name,
            )  # fmt: skip
            return known or nothing
        daylight = synthesised.read_daylight(entries, job.synthesis, job.settings.most_pixels)
    except (synthesised.DaylightError, checkpoint.CheckpointError, models.ModelError, OSError) as error:
        log.warning("%s, %s: no new figures of the synthesised night: %s", job.camera.id, manifest["night"], error)
        return known or nothing
    restorer = load_restorer(weights, job.settings.tile_mb, job.settings.precision, False)
    rows = synthesised.synthesised_figures(daylight, restorer, job.synthesis, perceptual)
    means = {name: float(rows[name].mean()) for name in facts.REFERENCE_METRICS}
    frames = {f"{m}_frame_{k}": float(v) for m in facts.PAIRED_METRICS for k, v in enumerate(rows[m])}
    return {**means, **frames, "reference_count": len(rows), "reference_key": daylight.key}


def _known_figures(job: FactsJob, night: str, model: str, key: str) -> dict[str, Any] | None:
    """The figures that a recent night of the camera has under the same model and daylight: they would be equal."""
    first = night_before(night, job.health.history_nights)
    rows = facts.read_facts(job.store_url, [job.camera.id], first, night)
    rows = rows[(rows["model_sha"] == model) & (rows["reference_key"] == key) & (rows["reference_count"] > 0)]
    if rows.empty:
        return None
    frames = [c for c in rows.columns if "_frame_" in c]
    columns = [*facts.REFERENCE_METRICS, *frames, "reference_count", "reference_key"]
    return {str(name): value for name, value in rows.iloc[-1][columns].items()}
