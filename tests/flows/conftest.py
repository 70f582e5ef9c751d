"""What the tests of the flows share: `lednet` as a user would call it, in a process of its own or, for what that adds
nothing to, in this one, which has imported everything already; and one Prefect server."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from flows import cli, engine
from tasks.logs import LOGGERS

LIMIT_S = 800
"""A command that has not ended by then hangs; a busy machine takes minutes for what a quiet one does in 20 s."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "LEDNET_"))}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"  # a worker's threads don't spin on cores that other tests need


def command(*arguments: str) -> list[str]:
    """The command line that calls `lednet` in this environment."""
    return [str(Path(sys.executable).parent / "lednet"), *arguments]


@pytest.fixture(scope="session")
def lednet() -> Run:
    """Run `lednet ARGUMENTS` to its end, without a terminal."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            env=ENVIRONMENT | environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def lednet_here() -> Run:
    """Run `lednet ARGUMENTS` through its entry point in this process, which spares it some 8 s of imports where it runs
    a flow; logging is afterwards as it was. What other processes write to the terminal is not among its output."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        loggers = [logging.getLogger(name) for name in (None, *LOGGERS)]
        levels = [logger.level for logger in loggers]
        output, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
            for logger in loggers[1:]:
                patch.setattr(logger, "handlers", list(logger.handlers))
            patch.setattr(logging.getLogger(), "handlers", [])  # with pytest's own the command would set up none
            patch.setattr(sys, "argv", ["lednet", *arguments])
            for name in set(os.environ) - set(ENVIRONMENT):
                patch.delenv(name)
            known = {"PREFECT_LOGGING_LEVEL": "WARNING", "OMP_WAIT_POLICY": ENVIRONMENT["OMP_WAIT_POLICY"]}
            for name, value in (known | environment).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                cli.main()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        return subprocess.CompletedProcess(arguments, int(end.value.code or 0), output.getvalue(), errors.getvalue())

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
