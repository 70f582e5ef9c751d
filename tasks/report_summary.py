"""A night in three sentences and four figures: what was restored, what needs attention, what the pictures gained."""

from __future__ import annotations

import math

import pandas as pd

from tasks.page_format import number, percent, two_numbers
from tasks.page_text import PageText, page_text
from tasks.report_figures import SIDES
from tasks.report_table import (
    by_attention,
    camera_table,
    quarantined,
    seconds,
    state,
    under_way,
    unjudged,
    unpublished_by_attention,
)
from tasks.report_values import ReportPage

NAMED = 3
"""Cameras that the summary calls by name; the others are counted."""


def sentences(page: ReportPage) -> list[str]:
    """Three sentences for people, or one where no camera was planned."""
    text = page_text(page.language)
    if not page.sections and not page.unpublished:
        return [text("summary.no_camera")]
    return [_footage(page, text), _attention(page, text), _gain(page, text)]


def tiles(page: ReportPage) -> list[tuple[str, str, str]]:
    """What the first glance falls on: (label, figure, state)."""
    text = page_text(page.language)
    cameras = len(page.sections) + len(page.unpublished)
    filled, whole = _lengths(page)
    calling, files, lost = len(_calling(page)), _files(page), _lost(page)
    bad = lost or any(state(page, s) in ("bad", "missing") for s in page.sections)
    return [
        (text("tile.restored"), f"{_restored(page):,} / {cameras:,}", "bad" if lost else ""),
        (text("tile.attention"), f"{calling:,}", "bad" if calling and bad else "attention" if calling else "good"),
        (text("tile.covered"), percent(filled / whole) if whole else percent(math.nan), ""),
        (text("tile.quarantined"), f"{files:,}", "attention" if files else ""),
    ]


def _restored(page: ReportPage) -> int:
    """Cameras of which a picture was restored: a night of broken files is published without any."""
    return sum(s.manifest["frames"] > 0 for s in page.sections)


def _lost(page: ReportPage) -> int:
    """Cameras of which none was, nor will be by the run that is at work."""
    return len(page.sections) - _restored(page) + len(unpublished_by_attention(page))


def _footage(page: ReportPage, text: PageText) -> str:
    filled, whole = _lengths(page)
    done, footage = f"{_restored(page):,}", text.duration(filled)
    cameras = text.count("cameras", len(page.sections) + len(page.unpublished))
    waiting = len(under_way(page))
    more = text.count("summary.under_way", waiting) if waiting else ""
    if not whole:
        return text("summary.footage", done=done, cameras=cameras, footage=footage, more=more)
    share = percent(filled / whole)
    return text("summary.footage_share", done=done, cameras=cameras, footage=footage, share=share, more=more)


def _attention(page: ReportPage, text: PageText) -> str:
    names, missing = _calling(page), _missing(page, text)
    if not names:
        well = "summary.well_so_far" if under_way(page) else "summary.well"
        return text("summary.complaint", missing=text.listed(missing)) if missing else text(well)
    shown = names if len(names) <= NAMED else [*names[:NAMED], text.count("summary.more", len(names) - NAMED)]
    call = text.count("summary.attention", len(names), names=text.listed(shown))
    return text("summary.and_missing", call=call, missing=text.listed(missing)) if missing else call + text("stop")


def _missing(page: ReportPage, text: PageText) -> list[str]:
    cameras = _lost(page)
    parts = [text.count("summary.without_night", cameras)] if cameras else []
    filled, whole = _lengths(page)
    if whole > filled:
        gaps = sum(len(s.manifest["gaps"]) for s in page.sections)
        lost = text("summary.without_picture", length=text.duration(whole - filled))
        parts.append(text("in_brackets", what=lost, more=text.count("gaps", gaps)) if gaps else lost)
    if unknown := sum(unjudged(page, s) for s in page.sections):
        parts.append(text.count("summary.unjudged", unknown))
    if files := _files(page):
        parts.append(text.count("summary.quarantined", files))
    return parts


def _gain(page: ReportPage, text: PageText) -> str:
    table = camera_table(page)
    (dark, bright), (before, after) = (_means(table, key) for key in ("brightness", "psnr"))
    measured = text("summary.no_figures")
    if not math.isnan(dark):
        times = text("summary.times", times=number(bright / dark, 1)) if dark > 0 else ""
        shade, light = (f"{share}%" for share in two_numbers(dark * 100, bright * 100, 1))
        measured = text("summary.brightness", times=times, bright=light, dark=shade)
    elif math.isnan(before):
        return measured + text("stop")
    if not math.isnan(before):
        verb = "stays" if after == before else "rises" if after > before else "falls"
        low, high = two_numbers(before, after, 1)
        return text(f"summary.psnr_{verb}", measured=measured, before=low, after=high)
    synthesised = table["psnr_synthesised"].mean() if "psnr_synthesised" in table else math.nan
    if math.isnan(synthesised):
        return text("summary.no_truth", measured=measured)
    return text("summary.synthesised", measured=measured, psnr=number(synthesised, 1))


def _means(table: pd.DataFrame, key: str) -> list[float]:
    """Before and after, each camera weighed by its frames."""
    known = table[table["frames"] > 0].dropna(subset=[f"{key}_{side}" for side in SIDES])
    weighted = [float((known[f"{key}_{side}"] * known["frames"]).sum()) for side in SIDES]
    return [total / known["frames"].sum() for total in weighted] if len(known) else [math.nan, math.nan]


def _lengths(page: ReportPage) -> tuple[float, float]:
    """Seconds with a picture, and of the whole nights."""
    manifests = [s.manifest for s in page.sections]
    return sum(seconds(m, m["frames"]) for m in manifests), sum(seconds(m, m["slots"]) for m in manifests)


def _calling(page: ReportPage) -> list[str]:
    """Names of the cameras that need attention, in their order."""
    published = [str(s.manifest["camera"]["name"]) for s in by_attention(page) if state(page, s) != "good"]
    return [page.name_of(c.camera) for c in unpublished_by_attention(page)] + published


def _files(page: ReportPage) -> int:
    return sum(quarantined(s.manifest) for s in page.sections) + sum(c.quarantined for c in page.unpublished)
