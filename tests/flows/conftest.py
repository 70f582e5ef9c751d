"""What the tests of the flows share: the installed `lednet` as a user would call it, and one Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import engine

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


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of one server for all tests that need its deployments; never one that this shell may be configured for."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("PREFECT_")]:
            patch.delenv(name)
        for name, value in engine.QUIET.items():  # so that they are gone again when the session ends
            patch.setenv(name, value)
        with engine.prefect_server() as url:
            yield url
