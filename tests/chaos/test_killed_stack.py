"""A real night, `lednet enhance` on a Prefect server and Dask worker processes, against an object store over HTTP, with
one of its processes killed -9 at a seeded moment, or a worker stopped, which then hangs without dying, or the network
to the store lost for a while; run again, the store is byte for byte what an undisturbed run writes.

The object store keeps what it has acknowledged, as real ones do: killed is the process through which all requests to it
go, which cuts every transfer at hand and refuses new ones until it is started again. The network is lost by stopping
that process: connections stand, and nothing comes of them, as behind a cable that was pulled. Slow: a Prefect server
takes half a minute to start. LEDNET_CHAOS_SEEDS=7,8,200-299 tries other seeds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

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
from tests.chaos.stack import Stack
from tests.tasks.night import NIGHT, s3_bucket

STOPPED, LOST = "stopped worker", "lost network"
VICTIMS = ("worker", "scheduler", "flow", "server", "store", STOPPED, LOST)
SEEDS = seeds(range(len(VICTIMS)))
HANGS_S = 900
"""A flow that has not ended by then is killed by its operator."""
LOST_S = 100
"""The network is gone for so long: longer than a request may take, shorter than all its tries."""
RUNS = 3
"""Runs after the kill, at most, until the night is published."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def kill(stack: Stack, name: str, rng: random.Random) -> None:
    """Kill -9; of the workers one, which its nanny starts again. Or stop one, which Dask must notice; or the
    network."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if name in ("worker", STOPPED):
            victim = rng.choice(stack.workers())
            victim.suspend() if name == STOPPED else victim.kill()
        elif name == LOST:
            wire = psutil.Process(stack.running["store"].pid)
            wire.suspend()
            time.sleep(LOST_S)
            wire.resume()
        else:
            os.kill(stack.running[name].pid, signal.SIGKILL)
            stack.running[name].wait()


def run_flow(stack: Stack) -> int:
    """The night's command, to its end or until it is taken for hanging; returns its exit code."""
    flow = stack.start_night()
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
        port, site = engine.free_port(), str(fill_archive(folder))
        arguments = ["enhance", NIGHT, "--site", site, "--archive", ARCHIVE, "--store", STORE, "--no-report", "--json"]
        stack = Stack(folder, f"http://127.0.0.1:{port}", arguments, workers=2)
        target = os.environ["AWS_ENDPOINT_URL"]
        stack.commands["store"] = [sys.executable, "-m", "tests.faulty_proxy", target, str(port)]
        try:
            assert run_flow(stack) == 0, (folder / "flow.log").read_text()
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
    writes.trigger(rng.randrange(count), lambda: kill(stack, victim, rng))
    began = time.monotonic()
    codes = [run_flow(stack)]
    writes.trigger(-1, lambda: None)
    while codes[-1] != 0 and len(codes) <= RUNS:
        codes.append(run_flow(stack))
    print(f"seed {seed}: {victim}, at a write; exit codes {codes} in {time.monotonic() - began:.0f} s")
    assert differing(expected) == []


def test_of_two_operators_one_works_and_the_other_is_told(
    night: tuple[Stack, Writes, dict[str, bytes], int],
) -> None:
    stack, writes, expected, _ = night
    empty_store()
    writes.trigger(-1, lambda: None)
    writes.receipts.clear()
    try:
        first = stack.start_night()
        while writes.count == 0 and first.poll() is None:
            time.sleep(0.1)
        words, environment = stack.commands["flow"], stack.environment
        second = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=HANGS_S, check=False)
    finally:
        writes.receipts.set()
    assert second.returncode == 2, second.stderr
    [outcome] = json.loads(second.stdout)["cameras"]
    assert outcome["status"] == "under way"
    assert str(first.pid) in outcome["reason"]
    assert first.wait(HANGS_S) == 0
    assert differing(expected) == []
