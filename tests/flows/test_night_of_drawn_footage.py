"""A night that is killed half-way and run again: nothing is lost, nothing is done twice, no process stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tasks.demo import build_demo_archive
from tests.flows.conftest import ENVIRONMENT, Run, command

START_S = 500
"""Longest wait for a first shard: server, workers and model on a busy machine."""
LEAVE_S = 120
"""Longest wait for the processes of a killed night; the kernel ends them at once, where it has a moment for it."""


class Killed(NamedTuple):
    """A night after its process was killed -9 and its workers had time to go."""

    arguments: list[str]
    store: Path
    processes: list[str]
    """The command lines of all that it had started."""
    left: list[str]
    """Those that were still there after LEAVE_S."""
    shards: dict[Path, int]
    """What was stored, with the times of writing."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """A drawn night of two small cameras, cut into many shards, on a server of its own; killed at the second shard."""
    folder = tmp_path_factory.mktemp("drawn")
    sample = build_demo_archive(folder / "sample", seconds=4, subframes=1, width=160, height=96)
    site, store = Path(sample.cameras_toml), folder / "store"
    site.write_text("[settings]\nshard_mb = 1\nshard_least = 4\nshard_most = 4\n\n" + site.read_text())
    arguments = ["enhance", sample.night, "--site", str(site), "--archive", str(sample.archive), "--store",
                 str(store), "--json"]  # fmt: skip
    quiet = subprocess.DEVNULL
    one = ENVIRONMENT | {"LEDNET_WORKERS": "1"}
    process = subprocess.Popen(command(*arguments), env=one, stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + START_S
    while len(stored_shards(store)) < 2:
        assert process.poll() is None, "the night ended before it could be killed"
        assert time.monotonic() < deadline, "no shard was stored in time"
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    lines = [command_line(p) for p in family]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return Killed(arguments, store, lines, wait_until_gone(family), stored_shards(store))


def stored_shards(store: Path) -> dict[Path, int]:
    """Every shard object that has a receipt, with its time of writing."""
    shards = {}
    for receipt in store.rglob("receipts/*.json"):
        shard = receipt.parents[1] / "frames.zarr/frames/c" / str(int(receipt.stem)) / "0/0/0"
        shards[shard] = shard.stat().st_mtime_ns
    return shards


def command_line(process: psutil.Process) -> str:
    """It, empty where the process has just ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def wait_until_gone(processes: Sequence[psutil.Process]) -> list[str]:
    """The processes that LEAVE_S later still run."""
    deadline = time.monotonic() + LEAVE_S
    while (left := [p for p in processes if runs(p)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [str(p) for p in left]


def runs(process: psutil.Process) -> bool:
    """Whether it does; one that has ended, and whose new parent has not asked how, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_night_leaves_no_process_behind(killed: Killed) -> None:
    assert any("prefect.server" in line for line in killed.processes)
    assert any("tasks.decode_worker" in line for line in killed.processes)
    assert killed.left == []


def test_a_killed_night_is_not_published(killed: Killed) -> None:
    assert not list(killed.store.rglob("manifest.json"))


def test_a_night_killed_half_way_is_finished_without_redoing_stored_shards(
    killed: Killed, server: str, lednet: Run
) -> None:
    finished = lednet(*killed.arguments, "--no-report", PREFECT_API_URL=server, LEDNET_WORKERS="1")
    outcomes = json.loads(finished.stdout)["cameras"]
    assert {o["status"] for o in outcomes} == {"published"}, finished.stderr
    after = stored_shards(killed.store)
    assert len(after) > len(killed.shards)
    assert {shard: after[shard] for shard in killed.shards} == killed.shards
