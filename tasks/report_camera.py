"""One camera's part of the report page: its figures, marks, findings, gaps and pictures, in the words of the page.

Covers what the templates are handed. Not covered: plots (`tasks.report_plot`), look (templates/), order and state
(`tasks.report_table`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tasks.findings import Finding
from tasks.page_format import NOTHING, change, data_uri, link, local, number, percent
from tasks.page_text import PageText
from tasks.report_figures import SIDES
from tasks.report_plot import over_the_night, trends
from tasks.report_table import fell, gaps_s, mean, quarantined, seconds, state, unjudged
from tasks.report_values import METRICS, TRUTH_METRICS, CameraSection, Metric, ReportPage, bounds, fact
from tasks.types import NANOSECONDS, CameraNight
from tasks.wording import say, title

MOST_SAID = 3
"""Things that the table of all cameras says of one; the others stand in the camera's own part."""


def section_view(page: ReportPage, section: CameraSection, anchor: str, text: PageText) -> dict[str, Any]:
    """A published camera for the templates."""
    m = section.manifest
    zone = ZoneInfo(m["camera"]["timezone"])
    facts = page.facts_of(section.camera)
    findings = findings_view(page.findings_of(section.camera), text)
    marks = _marks(page, section, text)
    judged = state(page, section)
    figures = _figures(section, facts)
    return {
        "anchor": anchor,
        "state": judged,
        "manifest": m,
        "camera": m["camera"],
        "rate": _rate(f"{float(Fraction(str(m['camera']['rate']))):.4g}", text),
        "scene": text.known(f"scene.{m['camera']['scene']}", m["camera"]["scene"]),
        "findings": findings,
        "marks": marks,
        "says": _says(judged, findings, marks),
        "trouble": section.trouble,
        "coverage": percent(m["coverage"]),
        "figures": figures,
        "by_metric": {f["metric"].key: f for f in figures if not f["synthesised"]},
        "compared": [f for f in figures if f["before"] != NOTHING or f["after"] != NOTHING],
        "has_facts": any(math.isfinite(fact(facts, f"{m.key}_after_low")) for m in METRICS),
        "known": any(p.truth for p in section.pictures),
        "footage": text.duration(seconds(m, m["frames"])),
        "whole": text.duration(seconds(m, m["slots"])),
        "gaps": [(local(a, zone), local(b, zone), text.duration((b - a) / NANOSECONDS)) for a, b in m["gaps"]],
        "gaps_total": text.duration(gaps_s(m)),
        "quarantined": quarantined(m),
        "files": section.files,
        "shards": section.shards,
        "megabytes": number(m["bytes"] / 1e6, 1),
        "over_the_night": over_the_night(section, zone),
        "trends": trends(page.history_of(section.camera), page.night, facts),
        "preview_link": link(m["preview_url"], page.store_url),
        "pictures": _pictures(section),
    }


def unpublished_view(page: ReportPage, camera: CameraNight, anchor: str, text: PageText) -> dict[str, Any]:
    """A camera without a night for the templates."""
    findings = findings_view(page.findings_of(camera.camera), text)
    return {
        "anchor": anchor,
        "camera": camera,
        "name": page.name_of(camera.camera),
        "status": text.known(f"status.{camera.status.replace(' ', '_')}", camera.status),
        "findings": findings,
        "pictured": [f for f in findings if f["picture"]],
    }


def under_way_view(page: ReportPage, camera: CameraNight, text: PageText) -> dict[str, Any]:
    """A camera whose night is still being restored, for the templates."""
    return {"name": page.name_of(camera.camera), "says": text("table.under_way", share=_stored(camera.done))}


def _stored(done: float) -> str:
    """How much of a run is stored, in whole per cent; only a whole one is shown as 100."""
    return f"{min(math.floor(done * 100), 99)}%"


def _rate(rate: str, text: PageText) -> str:
    return text("camera.rate.one" if rate == "1" else "camera.rate.other", rate=rate)


def findings_view(findings: list[Finding], text: PageText) -> list[dict[str, Any]]:
    """Findings with their sentence and picture."""
    return [
        {
            "severity": f.severity if f.severity in ("bad", "attention") else "note",
            "kind": title(f.kind, text.language),
            "sentence": _capital(say(f, text.language)),
            "picture": data_uri(f.picture),
        }
        for f in findings
    ]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _says(state: str, findings: list[dict[str, Any]], marks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the table of all cameras says: (kind, words); small gaps of a good night are told without alarm."""
    told = [("note" if state == "good" else kind, words) for kind, words in marks if kind != "good"]
    return [*((f["severity"], f["sentence"]) for f in findings), *told][:MOST_SAID]


def _marks(page: ReportPage, section: CameraSection, text: PageText) -> list[tuple[str, str]]:
    m: Mapping[str, Any] = section.manifest
    marks: list[tuple[str, str]] = []
    if fell(section):
        marks.append(("bad", text("mark.fell")))
    if m["frames"] < m["slots"]:
        lost = text("summary.without_picture", length=text.duration(seconds(m, m["slots"] - m["frames"])))
        gaps = text.count("gaps", len(m["gaps"])) if m["gaps"] else ""
        marks.append(("attention", text("in_brackets", what=lost, more=gaps) if gaps else lost))
    if files := quarantined(m):
        marks.append(("attention", text.count("mark.quarantined", files)))
    if section.trouble:
        marks.append(("attention", text("mark.trouble")))
    if m.get("every", 1) > 1:
        marks.append(("note", text("mark.coarse", n=m["every"])))
    if unjudged(page, section):
        marks.append(("note", text("mark.unjudged")))
    if section.done < 1:
        marks.append(("note", text("mark.under_way", share=_stored(section.done))))
    return marks or [("good", text("mark.complete"))]


def _figures(section: CameraSection, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [_figure(m, section, facts, f"{m.key}_after") for m in METRICS]
    if section.reference is not None and len(section.reference):
        rows += [_figure(m, section, {}, "") for m in TRUTH_METRICS]
    rows += [_synthesised(m, facts) for m in TRUTH_METRICS if not math.isnan(fact(facts, m.key))]
    return rows


def _figure(metric: Metric, section: CameraSection, facts: Mapping[str, Any], column: str) -> dict[str, Any]:
    sides = {side: number(mean(section, f"{metric.key}_{side}") * metric.scale, metric.digits) for side in SIDES}
    return {"metric": metric, "synthesised": False, **sides, **_spread(metric, facts, column)}


def _synthesised(metric: Metric, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of the camera's own daylight frames, darkened and restored: there is no before to compare with."""
    value = number(fact(facts, metric.key) * metric.scale, metric.digits)
    return {
        "metric": metric, "synthesised": True, "before": NOTHING, "after": value, **_spread(metric, facts, metric.key)
    }  # fmt: skip


def _spread(metric: Metric, facts: Mapping[str, Any], column: str) -> dict[str, str]:
    low, high = (number(bound, metric.digits) for bound in bounds(metric, facts, column))
    return {
        "interval": f"{low} … {high}" if NOTHING not in (low, high) else NOTHING,
        **{f"change{n}": change(fact(facts, f"{column}_change{n}") * metric.scale, metric.digits) for n in (7, 28)},
    }


def _pictures(section: CameraSection) -> list[dict[str, Any]]:
    return [
        {
            "moment": p.moment,
            "clock": p.clock,
            "before": data_uri(p.before),
            "after": data_uri(p.after),
            "truth": data_uri(p.truth),
        }
        for p in section.pictures
    ]
