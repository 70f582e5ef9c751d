"""Every version that is locked is locked by the hashes of its files too; of torch each machine takes its own build."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def requirements(name: str) -> dict[str, str]:
    """What a requirements file pins: `name==version` -> the lines that belong to it."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    entries = [entry.strip() for entry in re.split(r"\n(?=\S)", text) if entry.strip()]
    return {re.sub(r"[-_.]+", "-", entry.split()[0].lower()): entry for entry in entries}


def test_every_locked_version_but_torchs_has_its_hashes_and_nothing_else_has() -> None:
    locked, hashed = requirements("requirements.lock"), requirements("requirements.hashes")
    assert locked.keys() - hashed.keys() == {name for name in locked if name.startswith("torch==")}
    assert hashed.keys() <= locked.keys()
    assert all("==" in name for name in locked)
    for name, entry in hashed.items():
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry), name
