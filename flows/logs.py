"""Log messages that stay what they are, and errors that need no traceback.

Names of files and cameras come from outside and may hold anything: a name with a line break would forge a line of the
log, one with an escape sequence rewrite the terminal. Tracebacks, which are written by Python itself, keep their lines.
"""

from __future__ import annotations

import logging
import unicodedata


class PlainError(RuntimeError):
    """An error whose message names the cause and the next step; where it was raised is of no use to anybody."""


def one_line(text: str) -> str:
    """Text with control characters and line separators written as escapes."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") else c
        for c in text
    )


class OneLine(logging.Filter):
    """Makes every message one line, and leaves the traceback of a `PlainError` out: Prefect logs it with every run that
    ends in one.

    Args:
        told: errors that end the command in their own words, so that what Prefect logs of them needs no traceback.
    """

    def __init__(self, told: tuple[type[Exception], ...] = ()) -> None:
        super().__init__()
        self.told = told

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the message; keep the record."""
        record.msg, record.args = one_line(record.getMessage()), None
        told = self.told if record.name.startswith("prefect") else ()
        if record.exc_info and isinstance(record.exc_info[1], (PlainError, *told)):
            record.exc_info = record.exc_text = None
        return True
