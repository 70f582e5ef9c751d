"""How the tests of `tasks.decode` read: whole files or stretches of them, as pictures with their times."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tasks.decode import pixels, read_frames
from tests.tasks.footage import Picture

NO_LIMIT = 10**9
"""Pixels of a frame, more than any has."""


def url_of(path: Path) -> str:
    return f"file://{path}"


def read(
    path: Path, from_s: float = 0.0, to_s: float = math.inf, errors: list[str] | None = None
) -> list[tuple[float, Picture]]:
    """(seconds, picture) of the frames of a stretch. What is damaged goes into `errors`; without it nothing may be."""
    found: list[str] = []
    frames = [(s, pixels(f)) for s, f in read_frames(url_of(path), from_s, to_s, found, NO_LIMIT)]
    if errors is None:
        assert found == []
    else:
        errors += found
    return frames


def times_of(path: Path, **options: Any) -> list[float]:
    """The seconds of what `read` gives."""
    return [s for s, _ in read(path, **options)]
