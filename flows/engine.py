"""The Prefect server that the flows run on: an existing one, or a local one that lives as long as the call.

    PREFECT_API_URL     an existing Prefect server; without it one is started on this machine and stopped at the end

What is started here is bound to loopback, owns its process group and is ended with it. Workers: `flows.clusters`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from flows import server_database
from flows.logs import PlainError

log = logging.getLogger("lednet")

SERVER_START_S = 300
"""A Prefect server needs some 25 s from cold, minutes on a busy machine; one that ends is noticed at once."""
SERVER_STOP_S = 10

_PR_SET_PDEATHSIG = 1  # sys/prctl.h

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "DASK_LOGGING__DISTRIBUTED": "warning",
    # Dask looks at what every worker does a hundred times a second and keeps a thousand seconds of it: some 150 MB.
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
"""For machines that reach nothing outside the site, for logs that people read, and for memory that stays flat."""


class EngineError(PlainError):
    """The Prefect server or the Dask workers can't be had; the message says why and what to do."""


@contextmanager
def prefect_server() -> Iterator[str]:
    """The URL of a working Prefect API, set in the environment so that every child process uses the same one.

    Without one, every worker process would start a temporary server of its own on one database file, and flows hang.
    """
    be_quiet()
    given = os.environ.get("PREFECT_API_URL")
    if given:
        trouble = server_trouble(given)
        if trouble:
            raise EngineError(
                f"PREFECT_API_URL={given}: no Prefect server answers there ({trouble}); start it, name its API "
                "(http://127.0.0.1:4200/api), or unset the variable"
            )
        with _environment({"PREFECT_API_URL": given}):
            yield given
        return
    _loopback_without_proxy()
    with TemporaryDirectory(prefix="lednet-prefect-") as home:
        url, process = _start_healthy(Path(home), server_database.fetch(Path(home)))
        try:
            # Its database goes with it, so nobody will look for logs there.
            with _environment({"PREFECT_API_URL": url, "PREFECT_LOGGING_TO_API_ENABLED": "false"}):
                yield url
        finally:
            stop_group(process)


def be_quiet() -> None:
    """Set `QUIET` where the environment says nothing else; before Prefect is imported, which reads it then."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def _loopback_without_proxy() -> None:
    """Let this process and its children reach their own server directly, whatever proxy the site goes through."""
    told = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    # Both: some programs read the one, some the other.
    os.environ.update(dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, (told, "127.0.0.1")))))


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Prefect settings for child processes, and for this one although its settings may have been read before."""
    import prefect.settings
    from prefect.settings import temporary_settings

    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        with temporary_settings(updates={getattr(prefect.settings, name): v for name, v in variables.items()}):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_healthy(home: Path, kept: bool) -> tuple[str, subprocess.Popen[bytes]]:
    """A server that answers, on a kept database if that is in its home; its URL and process. Raises EngineError."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    process = _start_server(port, home)
    try:
        _wait_until_healthy(url, process, home / "server.log")
    except EngineError:
        stop_group(process)
        if not kept:
            raise
        log.warning("no Prefect server starts on the kept database; trying with a new one")
        server_database.forget(home)
        return _start_healthy(home, kept=False)
    except BaseException:
        stop_group(process)
        raise
    if not kept:
        server_database.keep(home)
    return url, process


def _start_server(port: int, home: Path) -> subprocess.Popen[bytes]:
    # One process, not `prefect server start` with its child, so that the kernel can end it when this process is killed.
    application = "prefect.server.api.server:create_app"
    options = ["--host", "127.0.0.1", "--port", str(port), "--timeout-keep-alive", "5"]
    environment = os.environ | {"PREFECT_HOME": str(home), "PREFECT_UI_ENABLED": "false"}
    log.info("starting a Prefect server on port %d", port)
    with open(home / "server.log", "wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", application, *options],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_ending_with_this_process(),
        )


def _ending_with_this_process() -> Callable[[], None]:
    """What a child calls first, so that the kernel kills it when this process dies, even by SIGKILL.

    Killed and not asked: asked, the server waits for open connections first, and what it knows goes with the night.
    Linux alone can do so; elsewhere it does nothing.
    """
    parent = os.getpid()
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError, TypeError):
        return lambda: None

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel was asked, which thus will not tell
            os._exit(1)

    return ask_the_kernel


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + SERVER_START_S
    while trouble := server_trouble(url):
        if process.poll() is not None or time.monotonic() > deadline:
            cause = trouble if process.poll() is None else f"it ended with {process.poll()}"
            words = " / ".join(output.read_text(errors="replace").split("\n")[-8:]).strip(" /")
            raise EngineError(f"the Prefect server did not start ({cause}); its last words: {words or 'none'}")
        time.sleep(0.3)


def server_trouble(url: str) -> str:
    """Why a Prefect server's API does not answer; empty where it does."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=5):  # noqa: S310 (the site's own setting)
            return ""
    except (urllib.error.URLError, OSError, ValueError) as error:
        return str(error)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all its children: asked first, then killed."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SERVER_STOP_S)


def free_port() -> int:
    """A TCP port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
