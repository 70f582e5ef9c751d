"""Log messages that stay what they are: names of files and cameras come from outside and may hold anything.

A name with a line break would forge a line of the log, one with an escape sequence rewrite the terminal. Tracebacks,
which are written by Python itself, keep their lines.
"""

from __future__ import annotations

import logging
import unicodedata


def one_line(text: str) -> str:
    """Text with control characters and line separators written as escapes."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") else c
        for c in text
    )


class OneLine(logging.Filter):
    """Makes every message one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the message; keep the record."""
        record.msg, record.args = one_line(record.getMessage()), None
        return True
