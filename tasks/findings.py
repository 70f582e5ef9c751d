"""What a night's frames say of a camera's health: one finding, as it travels from the checks to the page.

Covers the value only. Not covered: finding it (the health checks), and saying it in words (`tasks.wording`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is worth telling of a camera's night."""

    camera: str
    kind: str
    """covered, defocused, moved, frozen, blown, dark, dusty, infrared, clock_drift, missing_hours, worse or better."""
    severity: str
    """`bad`, `attention` or `note`."""
    values: Mapping[str, float | str]
    """The figures behind it, by name; `tasks.wording` puts them into the sentence."""
    picture: bytes = b""
    """JPEG that shows it; empty where none does."""
