"""A night's report on Prefect's own pages: a table of the cameras, its sentences as markdown, and the link to the page.

Covers making the artifacts from a report. Not covered: the report itself (`tasks.report`).
"""

from __future__ import annotations

import math
import re
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks.page_format import encodable
from tasks.page_text import page_text
from tasks.report_summary import sentences
from tasks.report_table import camera_table
from tasks.report_values import ReportPage
from tasks.wording import say

SHOWN = ("camera", "name", "state", "status", "coverage", "quarantined", "brightness_before", "brightness_after")
"""Columns of the table; all of them stand in cameras.csv beside the page."""
DIGITS = 3


def publish_report(page: ReportPage, url: str) -> None:
    """Show a written report among the flow run's artifacts.

    Args:
        page: what the report shows.
        url: where its page was written.
    """
    create_table_artifact(table_rows(page), key="report-cameras", description=f"Cameras, night of {page.night}")
    create_markdown_artifact(markdown(page), key="report-summary", description=f"Night of {page.night}")
    create_link_artifact(url, key="report", description=f"Report of the night of {page.night}")


def table_rows(page: ReportPage) -> list[dict[str, Any]]:
    """The cameras in order of attention; a figure that is not known is None, for which JSON has a word."""
    rows = camera_table(page)[list(SHOWN)].to_dict("records")
    return [{str(name): _cell(value) for name, value in row.items()} for row in rows]


def markdown(page: ReportPage) -> str:
    """The night in its three sentences, and what was found, camera by camera."""
    text = page_text(page.language)
    parts = [f"# {text('head.title', day=text.day(page.night))}", *(_plain(s) for s in sentences(page))]
    found = [f"- **{_plain(f.camera)}**: {_plain(say(f, page.language))}" for f in page.findings]
    return "\n\n".join([*parts, "\n".join(found)] if found else parts) + "\n"


def _cell(value: object) -> object:
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value


def _plain(text: str) -> str:
    """Text from outside as text: no markup of it takes effect, and it can be encoded."""
    return encodable(re.sub(r"([\\`*_\[\]<>#|!])", r"\\\1", text))
