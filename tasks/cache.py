"""This machine's cache, of what could be made or fetched again but takes time. Not covered: what is in it."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder of the cache, which is LEDNET_CACHE or ~/.cache/lednet; made where it is not there."""
    base = os.environ.get("LEDNET_CACHE") or Path("~/.cache/lednet").expanduser()
    folder = Path(base).absolute().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
