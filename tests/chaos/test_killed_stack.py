"""A real night, `lednet enhance` on a Prefect server and Dask worker processes, against an object store over HTTP, with
one of its processes killed -9 at a seeded moment, or a worker stopped, which then hangs without dying; run again, the
store is byte for byte what an undisturbed run writes.

The object store keeps what it has acknowledged, as real ones do: killed is the process through which all requests to it
go, which cuts every transfer at hand and refuses new ones until it is started again. Slow: a Prefect server takes half
a minute to start. LEDNET_CHAOS_SEEDS=7,8,200-299 tries other seeds.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flows import engine
from tests.chaos.night import (
    ARCHIVE,
    STORE,
    Writes,
    counted_writes,
    differing,
    empty_store,
    fill_archive,
    seeds,
    stored,
)
from tests.flows.conftest import ENVIRONMENT, command
from tests.tasks.night import NIGHT, s3_bucket

STOPPED = "stopped worker"
VICTIMS = ("worker", "scheduler", "flow", "server", "store", STOPPED)
SEEDS = seeds(range(len(VICTIMS)))
HEARTBEAT_S = 180
"""A worker without a heartbeat for so long is started anew; imports hold one up for minutes on a busy machine."""
HANGS_S = 900
"""A flow that has not ended by then is killed by its operator."""
RUNS = 3
"""Runs after the kill, at most, until the night is published."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Stack:
    """Every process of a night, each of which can be killed and started again."""

    def __init__(self, folder: Path, target: str, site: Path) -> None:
        self.folder, self.target, self.site = folder, target, site
        self.ports = {name: engine.free_port() for name in ("store", "scheduler", "server")}
        address = f"tcp://127.0.0.1:{self.ports['scheduler']}"
        self.environment = ENVIRONMENT | engine.QUIET | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports['store']}",
            "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1",
            "PREFECT_API_URL": f"http://127.0.0.1:{self.ports['server']}/api",
            "LEDNET_SCHEDULER": address, "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{HEARTBEAT_S}s",
        }  # fmt: skip
        dask = str(Path(sys.executable).parent / "dask")
        self.commands = {
            "store": [sys.executable, "-m", "tests.faulty_proxy", target, str(self.ports["store"])],
            "scheduler": [dask, "scheduler", "--host", "127.0.0.1", "--port", str(self.ports["scheduler"]),
                          "--no-dashboard"],
            "worker": [dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard",
                       "--local-directory", str(folder)],
            "flow": command("enhance", NIGHT, "--site", str(site), "--archive", ARCHIVE, "--store", STORE,
                            "--no-report", "--json"),
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
            process = engine._start_server(self.ports["server"], home)
            engine._wait_until_healthy(self.environment["PREFECT_API_URL"], process, home / "server.log")
        else:
            with (self.folder / f"{name}.log").open("ab") as log:
                process = subprocess.Popen(
                    self.commands[name], env=self.environment, stdout=log, stderr=log, start_new_session=True
                )
        self.running[name] = process
        return process

    def kill(self, name: str, rng: random.Random) -> None:
        """Kill -9; of the workers one, which its nanny starts again. Or stop one, which Dask must notice."""
        process = self.running["worker" if name == STOPPED else name]
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if name in ("worker", STOPPED):
                children = [p for p in psutil.Process(process.pid).children(recursive=True) if len(p.cmdline()) > 2]
                workers = [p for p in children if "spawn_main" in " ".join(p.cmdline())]
                victim = rng.choice(workers)
                victim.suspend() if name == STOPPED else victim.kill()
            else:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()

    def stop(self) -> None:
        """End all of them and their children."""
        for process in self.running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run_flow(self) -> int:
        """The night's command, to its end or until it is taken for hanging; returns its exit code."""
        for name in ("store", "server", "scheduler", "worker"):
            self.start(name)
        flow = self.start("flow")
        try:
            return flow.wait(HANGS_S)
        except subprocess.TimeoutExpired:
            os.killpg(flow.pid, signal.SIGKILL)
            return flow.wait()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Writes, dict[str, bytes], int]]:
    """The stack, and what an undisturbed night writes in how many writes."""
    folder = tmp_path_factory.mktemp("stack")
    with s3_bucket(), counted_writes() as writes, pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SERVER_START_S", 600)
        stack = Stack(folder, os.environ["AWS_ENDPOINT_URL"], fill_archive(folder))
        try:
            assert stack.run_flow() == 0, (folder / "flow.log").read_text()
            yield stack, writes, stored(), writes.count
        finally:
            stack.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_night_one_of_whose_processes_is_killed_ends_as_if_undisturbed(
    night: tuple[Stack, Writes, dict[str, bytes], int], seed: int
) -> None:
    stack, writes, expected, count = night
    rng = random.Random(seed)
    victim = VICTIMS[seed % len(VICTIMS)]
    empty_store()
    writes.trigger(rng.randrange(count), lambda: stack.kill(victim, rng))
    began = time.monotonic()
    codes = [stack.run_flow()]
    writes.trigger(-1, lambda: None)
    while codes[-1] != 0 and len(codes) <= RUNS:
        codes.append(stack.run_flow())
    print(f"seed {seed}: {victim}, at a write; exit codes {codes} in {time.monotonic() - began:.0f} s")
    assert differing(expected) == []
