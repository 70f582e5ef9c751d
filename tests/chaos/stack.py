"""Every process of a real night, each on its own, so that it can be killed, stopped, started again and looked at:
Prefect server, Dask scheduler, workers under their nanny, and the night's command. What is done to them stands in
`test_killed_stack` and in `tests.soak`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from flows import engine
from tests.flows.conftest import ENVIRONMENT, command

HEARTBEAT_S = 180
"""A worker without a heartbeat for so long is started anew; imports hold one up for minutes on a busy machine."""


class Stack:
    """The processes and how they are started.

    Args:
        folder: for logs, the server's database and the workers' files.
        endpoint: URL of the object store.
        night: arguments of `lednet` that run the night.
        workers: how many worker processes.
    """

    def __init__(self, folder: Path, endpoint: str, night: Sequence[str], workers: int) -> None:
        self.folder = folder
        self.server_port, scheduler_port = engine.free_port(), engine.free_port()
        address = f"tcp://127.0.0.1:{scheduler_port}"
        self.environment = ENVIRONMENT | engine.QUIET | {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1",
            "PREFECT_API_URL": f"http://127.0.0.1:{self.server_port}/api",
            "LEDNET_SCHEDULER": address, "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{HEARTBEAT_S}s",
        }  # fmt: skip
        dask = str(Path(sys.executable).parent / "dask")
        self.commands = {
            "scheduler": [dask, "scheduler", "--host", "127.0.0.1", "--port", str(scheduler_port), "--no-dashboard"],
            "worker": [dask, "worker", address, "--nworkers", str(workers), "--nthreads", "1", "--no-dashboard",
                       "--local-directory", str(folder)],
            "flow": command(*night),
        }  # fmt: skip
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start one of them, if it does not run."""
        running = self.running.get(name)
        if running is not None and running.poll() is None:
            return running
        if name == "server":
            home = self.folder / "prefect"
            home.mkdir(exist_ok=True)
            process = engine._start_server(self.server_port, home)
            engine._wait_until_healthy(self.environment["PREFECT_API_URL"], process, home / "server.log")
        else:
            with (self.folder / f"{name}.log").open("ab") as log:
                process = subprocess.Popen(
                    self.commands[name], env=self.environment, stdout=log, stderr=log, start_new_session=True
                )
        self.running[name] = process
        return process

    def start_night(self) -> subprocess.Popen[bytes]:
        """Start the night's command, and before it whatever it needs that does not run."""
        for name in (*self.commands, "server"):
            if name != "flow":
                self.start(name)
        return self.start("flow")

    def workers(self) -> list[psutil.Process]:
        """The worker processes that the nannies started and that run."""
        nanny = self.running["worker"]
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(nanny.pid).children()
            return [p for p in children if "spawn_main" in " ".join(p.cmdline())]
        return []

    def stop(self) -> None:
        """End all of them and their children."""
        for process in self.running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
