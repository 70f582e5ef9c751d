"""The report as Prefect artifacts: a table, markdown and the link, of values that JSON and markdown can hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows import artifacts
from tasks.report_values import ReportPage
from tests.tasks.report_example import judged


def test_table_markdown_and_link_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    for kind in ("table", "markdown", "link"):
        monkeypatch.setattr(
            artifacts, f"create_{kind}_artifact", lambda content, key, description, k=kind: made.update({k: content})
        )
    artifacts.publish_report(judged(), "file:///store/reports/2026-01-15/index.html")
    assert made["link"] == "file:///store/reports/2026-01-15/index.html"
    assert [row["camera"] for row in made["table"]] == ["gate", "cam-00", "cam-01", "cam-02", "cam-03"]
    assert "need attention" in made["markdown"]


def test_unknown_figures_are_null_in_the_table() -> None:
    rows = artifacts.table_rows(judged())
    assert rows[0]["brightness_after"] is None
    json.dumps(rows, allow_nan=False)


def test_the_sentences_and_findings_are_said_in_the_page_s_language() -> None:
    said = artifacts.markdown(judged("zh"))
    assert "镜头似乎被遮挡" in said
    assert "需要关注" in said


def test_names_from_outside_are_no_markup() -> None:
    page = judged()
    said = artifacts.markdown(
        ReportPage(page.night, page.sections[1:2], (), page.store_url, findings=page.findings[1:])
    )
    assert "<script>" not in said.replace("\\<", "")


def test_names_that_are_no_text_do_not_cost_the_artifacts() -> None:
    page = judged(name="\udcff")
    said = artifacts.markdown(page) + json.dumps(artifacts.table_rows(page), ensure_ascii=False)
    assert "\\udcff" in said.encode().decode()
