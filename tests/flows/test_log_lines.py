"""A file's name can't forge a line of the log or rewrite a terminal; a plain error comes without traceback."""

from __future__ import annotations

import io
import logging

import pytest

from flows.logs import OneLine, PlainError, one_line

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


@pytest.mark.parametrize(("error", "traced"), [(PlainError("run it again"), False), (RuntimeError("a bug"), True)])
def test_an_error_that_says_all_comes_without_its_traceback(error: RuntimeError, traced: bool) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(OneLine())
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        raise error
    except RuntimeError as raised:
        log.exception("the run ended: %s", raised)
    assert str(error) in out.getvalue()
    assert ("Traceback" in out.getvalue()) == traced
