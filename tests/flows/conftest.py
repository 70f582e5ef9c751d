"""A command-line runner that every test of the flows shares: the installed `lednet`, as a user would call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "LEDNET_"))}


def command(*arguments: str) -> list[str]:
    """The command line that calls `lednet` in this environment."""
    return [str(Path(sys.executable).parent / "lednet"), *arguments]


@pytest.fixture(scope="session")
def lednet() -> Run:
    """Run `lednet ARGUMENTS` to its end, without a terminal."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=280, check=False
        )

    return run
