"""The local stack: the very commands of compose.yaml, and a night on it from footage to report, everything on S3."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra import local_stack
from infra.local_stack import Stack, down, members, services, up
from tasks import storage, store

NIGHT = "2026-01-15"
PROCESSES = ("prefect-server", "deploy", "prefect-worker", "dask-scheduler", "dask-worker", "dask-worker-gpu")
LONGEST_S = 900
"""Longest wait for a night and its report; the test's machine may be busy."""


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that is not started."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "LEDNET_"))]:
        monkeypatch.delenv(name)
    return Stack(tmp_path)


def test_every_service_of_compose_but_the_database_runs_here() -> None:
    assert set(services()) == {*PROCESSES, "postgres"}


@pytest.mark.parametrize("name", PROCESSES)
def test_its_command_is_that_of_compose_but_for_hosts_ports_and_the_scratch_folder(name: str, planned: Stack) -> None:
    back = {port: inside for inside, port in planned.ports.items()}
    program, *words = planned.command(name)
    assert Path(program).name == services()[name]["command"][0]
    assert Path(program).exists()
    for ours, theirs in zip(words, [str(w) for w in services()[name]["command"][1:]], strict=True):
        told = re.sub(r"\d{4,5}", lambda m: back.get(m[0], m[0]), ours.replace(str(planned.folder), "/tmp"))
        for host in local_stack.HOSTS:
            theirs = theirs.replace(host, "127.0.0.1")
        assert told == theirs


def test_nothing_of_it_is_reached_from_outside(planned: Stack) -> None:
    assert "0.0.0.0" not in " ".join(word for name in PROCESSES for word in planned.command(name))


def test_everyone_knows_the_same_server_scheduler_and_object_store(planned: Stack) -> None:
    told = [planned.environment(name) for name in ("prefect-worker", "dask-worker")]
    for name in ("PREFECT_API_URL", "LEDNET_SCHEDULER", "AWS_ENDPOINT_URL"):
        assert {environment[name] for environment in told} == {planned.describe()[name]}
        assert "127.0.0.1" in planned.describe()[name]


def test_the_server_takes_the_database_that_is_named(planned: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("DATABASE" in name for name in planned.environment("prefect-server"))
    monkeypatch.setenv("LEDNET_STACK_DATABASE", "postgresql+asyncpg://prefect@127.0.0.1:5432/prefect")
    environment = planned.environment("prefect-server")
    assert environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"].startswith("postgresql+asyncpg://")


def test_a_real_object_store_is_used_where_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.5:7480")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "site")
    environment = Stack(tmp_path).environment("dask-worker")
    assert (environment["AWS_ENDPOINT_URL"], environment["AWS_ACCESS_KEY_ID"]) == ("http://10.0.0.5:7480", "site")
    assert "site" not in Stack(tmp_path).describe().values()  # which is written to a file


def test_ending_what_was_never_started_ends_nothing(tmp_path: Path) -> None:
    assert down(tmp_path) == 0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A started stack with two seconds of small footage a camera, and a night run on it through its deployment."""
    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(("AWS_", "LEDNET_", "PREFECT_"))]:
            patch.delenv(name)
        told = up(folder, seconds=2, subframes=1, width=160, height=96)
        for name, value in told.items():
            patch.setenv(name, value)
        try:
            mark = json.loads((folder / "stack.json").read_text())["mark"]
            run = [str(Path(sys.executable).parent / "prefect"), "deployment", "run", "enhance-night/enhance-night"]
            done = subprocess.run(
                [*run, "-p", f"night={NIGHT}", "--watch"],
                capture_output=True, text=True, timeout=LONGEST_S, check=False,
            )  # fmt: skip
            yield {"folder": folder, "mark": mark, "run": done, "told": told}
        finally:
            down(folder)


@pytest.mark.slow
@pytest.mark.timeout(2 * LONGEST_S)
def test_a_night_on_the_stack_is_published_on_s3_from_footage_on_s3(stack: dict[str, Any]) -> None:
    assert stack["run"].returncode == 0, stack["run"].stdout + stack["run"].stderr
    for camera in ("pit-north", "silo-1"):
        manifest = store.read_manifest("s3://lednet/store", camera, NIGHT)
        assert manifest is not None, camera
        assert manifest["frames"] > 0
        assert manifest["frames_url"].startswith("s3://lednet/store/")
        assert all(s["url"].startswith("s3://lednet/archive/") for s in manifest["segments"])


@pytest.mark.slow
@pytest.mark.timeout(2 * LONGEST_S)
def test_its_report_follows_by_itself_onto_s3(stack: dict[str, Any]) -> None:
    page = f"s3://lednet/store/reports/{NIGHT}/index.html"
    deadline = time.monotonic() + LONGEST_S
    while not storage.exists(page):
        assert time.monotonic() < deadline, "no report came"
        time.sleep(2)
    assert "Pit, north face" in storage.read(page).decode()


@pytest.mark.slow
def test_what_runs_is_what_compose_says(stack: dict[str, Any]) -> None:
    running = [" ".join(process.cmdline()) for process in members(stack["mark"])]
    for name in ("prefect-server", "prefect-worker", "dask-scheduler"):
        program, *words = [w for w in services()[name]["command"] if not re.search(r"\d{4}|0\.0\.0\.0", str(w))]
        assert any(f"bin/{program} {words[0]} {words[1]}" in line for line in running), (name, running)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_it_ends_with_one_call_and_leaves_no_process(stack: dict[str, Any]) -> None:
    known = members(stack["mark"])
    assert len(known) >= 5
    assert down(stack["folder"]) >= len(known)
    assert members(stack["mark"]) == []
    assert not any(psutil.pid_exists(p.pid) and p.is_running() and p.status() != "zombie" for p in known)
