"""What a file is called can't forge a line of the log or rewrite a terminal."""

from __future__ import annotations

import io
import logging

import pytest

from flows.logs import OneLine, one_line

HOSTILE = "a\n12:00:00 INFO all is well\r\x1b[2J\x1b]0;title\x07\u2028\u202e<script>.mp4"


def test_a_hostile_name_stays_on_one_line() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(OneLine())
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("%s: cannot be read", HOSTILE)
    assert out.getvalue().splitlines() == [out.getvalue().removesuffix("\n")]
    assert out.getvalue().removesuffix("\n").isprintable()
    assert "<script>" in out.getvalue()


@pytest.mark.parametrize("text", ["pit-north: published, 12 frames", "夜班 Größe 50 %", ""])
def test_ordinary_words_are_not_touched(text: str) -> None:
    assert one_line(text) == text
