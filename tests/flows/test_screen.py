"""Names and reasons that look like markup, or like a terminal's commands, are printed as they are, at no cost."""

from __future__ import annotations

import pytest
from rich.table import Table

from flows.night_commands import show_outcomes
from flows.screen import emit, screen
from tasks.types import CameraNight

HOSTILE = ("[/]", "[/bold]", "[red]a[/red]", "[link=https://evil.example]b[/link]", ":smile:", "<script>", "[[", "夜班")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_looks_like_markup_is_printed_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    screen().print(table)
    screen().print(text)
    assert capsys.readouterr().out.count(text) == 4


def test_the_outcome_of_a_night_is_told_whatever_the_files_are_called(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "file:///a/[/red]\x1b[2J\x07\u202e.mp4: not a readable video"
    show_outcomes([CameraNight("pit", "failed", reason)], "")
    out = capsys.readouterr().out
    assert "[/red]\\x1b[2J\\x07\\u202e.mp4" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_each_line_of_a_result_is_a_line_and_a_break_inside_of_one_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    emit(False, {}, "kept: no better", "  a\nb: +0.01 dB")
    assert capsys.readouterr().out == "kept: no better\n  a\\nb: +0.01 dB\n"
