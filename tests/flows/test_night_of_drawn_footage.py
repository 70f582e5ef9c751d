"""A night that is killed half-way and run again: nothing is lost and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tasks.demo import build_demo_archive
from tests.flows.conftest import ENVIRONMENT, Run, command

START_S = 150
"""Longest wait for a first shard: server, workers and model on a busy machine."""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A drawn night of two small cameras, cut into many shards."""
    sample = build_demo_archive(tmp_path / "sample", seconds=8, subframes=2, width=320, height=180)
    site = Path(sample.cameras_toml)
    site.write_text("[settings]\nshard_mb = 1\nshard_most = 8\n\n" + site.read_text())
    return ["enhance", sample.night, "--site", str(site), "--archive", str(sample.archive), "--store",
            str(tmp_path / "store"), "--json"]  # fmt: skip


def stored_shards(store: Path) -> dict[Path, int]:
    """Every shard object that has a receipt, with its time of writing."""
    shards = {}
    for receipt in store.rglob("receipts/*.json"):
        shard = receipt.parents[1] / "frames.zarr/frames/c" / str(int(receipt.stem)) / "0/0/0"
        shards[shard] = shard.stat().st_mtime_ns
    return shards


def kill_after_first_shards(arguments: list[str], store: Path) -> dict[Path, int]:
    """Start the night, kill -9 its process when two shards are stored; returns what was stored by then."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(*arguments), env=ENVIRONMENT, stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + START_S
    while len(stored_shards(store)) < 2:
        assert process.poll() is None, "the night ended before it could be killed"
        assert time.monotonic() < deadline, "no shard was stored in time"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return stored_shards(store)


def test_a_night_killed_half_way_is_finished_without_redoing_stored_shards(
    arguments: list[str], tmp_path: Path, lednet: Run
) -> None:
    store = tmp_path / "store"
    kill_after_first_shards(arguments, store)
    assert not list(store.rglob("manifest.json"))
    time.sleep(2)  # workers of a killed night finish the shard at hand, or end
    kept = stored_shards(store)
    finished = lednet(*arguments)
    outcomes = json.loads(finished.stdout)["cameras"]
    assert {o["status"] for o in outcomes} == {"published"}, finished.stderr
    after = stored_shards(store)
    assert len(after) > len(kept)
    assert {shard: after[shard] for shard in kept} == kept


def test_a_killed_night_leaves_no_process_behind(arguments: list[str], tmp_path: Path) -> None:
    kill_after_first_shards(arguments, tmp_path / "store")
    deadline = time.monotonic() + 30
    while left := [p for p in _command_lines() if "prefect.server" in p or str(tmp_path) in p]:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has just ended
            continue
    return lines
