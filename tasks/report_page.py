"""The morning report: one self-contained HTML file that says what was restored, what is missing and why.

Covers the page, from values in memory: equal values, equal bytes. Not covered: collecting the values from a store and
writing the files (`tasks.report`), the look and the script (templates/), the words (texts/).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup

from tasks.page_format import encodable
from tasks.page_text import page_text
from tasks.report_camera import section_view, under_way_view, unpublished_view
from tasks.report_summary import sentences, tiles
from tasks.report_table import by_attention, under_way, unpublished_by_attention
from tasks.report_values import METRICS, TRUTH_METRICS, ReportPage

STYLES = ("report.css", "report_camera.css", "report_small.css")
"""In their order: the later ones win."""
HTML_LANGUAGE = {"en": "en", "zh": "zh-Hans"}


def render(page: ReportPage) -> str:
    """The whole page. It loads nothing, works without script, and can be encoded as UTF-8."""
    text = page_text(page.language)
    sections = [section_view(page, s, f"camera-{n}", text) for n, s in enumerate(by_attention(page), 1)]
    unpublished = [
        unpublished_view(page, c, f"missing-{n}", text) for n, c in enumerate(unpublished_by_attention(page), 1)
    ]
    known = any(s.reference is not None and len(s.reference) for s in page.sections)
    html = _template().render(
        t=text,
        page=page,
        html_language=HTML_LANGUAGE[page.language],
        title=text.day(page.night),
        sentences=sentences(page),
        tiles=tiles(page),
        sections=sections,
        unpublished=unpublished,
        under_way=[under_way_view(page, c, text) for c in under_way(page)],
        truth_known=known,
        synthesised=any(f["synthesised"] for s in sections for f in s["figures"]),
        facts_known=any(s["has_facts"] for s in sections),
        hinted=next((s["anchor"] for s in sections if s["pictures"]), ""),
        trends_known=any(s["trends"] for s in sections),
        metrics=METRICS + TRUTH_METRICS,
        columns=[m for m in METRICS + (TRUTH_METRICS if known else ()) if m.key in ("brightness", "sharpness", "psnr")],
        style=Markup("".join(_asset(name) for name in STYLES)),
        script=Markup(_asset("report.js")),
    )
    return encodable(html)  # one odd file name must not cost the whole report


@cache
def _asset(name: str) -> str:
    return resources.files("tasks").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tasks", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The page's own style and script are let through by their hashes; anything injected would not run.
    environment.filters["csp_hash"] = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return environment.get_template("report.html.j2")
