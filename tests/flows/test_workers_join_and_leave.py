"""Workers that come and go during a night, as real processes: two join late, one is killed and one asked to leave, and
nothing is lost or done for nothing; one with other software is sent away by name before it is given any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from flows.engine import QUIET, free_port
from tasks import store
from tests.flows.conftest import ENVIRONMENT, command
from tests.tasks import night
from tests.tasks.night import NIGHT

LONGEST_S = 400
CAMERAS = tuple(f"gate{k}" for k in range(10))
SITE = """
[settings]
checkpoint = "{checkpoint}"
shard_mb = 1
shard_least = 4
shard_most = 4
item_slots = 4
preview_pictures = 8
preview_width = 48
"""
CAMERA = """
[[camera]]
id = "{name}"
name = "{name}"
scene = "outdoor"
timezone = "UTC"
pattern = "{name}/%Y-%m-%d/%H%M%S.*"
rate = 5
start = "22:00"
end = "22:00:07"
"""
OLD = "Metadata-Version: 2.1\nName: zarr\nVersion: 2.18.0\n"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path, server: str) -> Iterator[Start]:
    """Starts a process with its own log and group; all are ended at the end."""
    running = []
    known = ENVIRONMENT | QUIET | {"PREFECT_API_URL": server, "OMP_NUM_THREADS": "1"}

    def begin(name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        program = str(Path(sys.executable).parent / "dask")
        with open(tmp_path / f"{name}.log", "wb") as log:
            running.append(
                subprocess.Popen(
                    [program, *words] if words[0] != "enhance" else command(*words),
                    env=known | environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        return running[-1]

    yield begin
    for process in running:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not happens():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(3 * LONGEST_S)
def test_late_workers_take_over_and_those_of_other_software_are_sent_away(tmp_path: Path, start: Start) -> None:
    for name in CAMERAS:
        night.film(tmp_path / "archive", camera=name)
    site = tmp_path / "cameras.toml"
    described = SITE.format(checkpoint=night.save_checkpoint(tmp_path))
    site.write_text(described + "".join(CAMERA.format(name=name) for name in CAMERAS))
    old = tmp_path / "old"
    (old / "zarr-2.18.0.dist-info").mkdir(parents=True)
    (old / "zarr-2.18.0.dist-info" / "METADATA").write_text(OLD)
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]

    def worker(name: str, **environment: str) -> subprocess.Popen[bytes]:
        options = ["--nthreads=1", "--dashboard-address=127.0.0.1:0", f"--local-directory={tmp_path / name}"]
        return start(name, "worker", address, *options, **environment)

    def receipts() -> int:
        return len(list((tmp_path / "store").rglob("receipts/*.json")))

    def pause_after_work(process: subprocess.Popen[bytes], before: int, what: str) -> int:
        """Stop a worker once it has stored something, so that work is left, however slowly the next one starts."""
        wait_until(lambda: receipts() > before or flow.poll() is not None, what)
        assert flow.poll() is None, (tmp_path / "flow.log").read_text()
        os.killpg(process.pid, signal.SIGSTOP)
        return receipts()

    start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", port, "--dashboard-address", "127.0.0.1:0")
    first = worker("first")
    places = ["--site", str(site), "--archive", str(tmp_path / "archive"), "--store", str(tmp_path / "store")]
    flow = start("flow", "enhance", NIGHT, *places, "--scheduler", address, "--no-report", "--json")
    by_first = pause_after_work(first, 0, "no shard was stored")
    other = worker("other", PYTHONPATH=f"{old}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    second = worker("second")
    by_two = pause_after_work(second, by_first, "the second worker was given nothing")
    wait_until(lambda: other.poll() is not None, "the worker of other software stayed")
    third = worker("third")
    wait_until(lambda: receipts() > by_two, "the third worker was given nothing")
    kill(first)
    os.kill(second.pid, signal.SIGTERM)
    os.killpg(second.pid, signal.SIGCONT)
    wait_until(lambda: flow.poll() is not None, "the night did not end")
    wait_until(lambda: second.poll() is not None, "the worker that was asked to leave stayed")
    said = (tmp_path / "flow.log").read_text()
    assert flow.returncode == 0, said
    assert third.poll() is None
    [outcome] = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert {o["status"] for o in outcome["cameras"]} == {"published"}
    shards = 0
    for name in CAMERAS:
        manifest = store.read_manifest(f"file://{tmp_path / 'store'}", name, NIGHT)
        assert manifest is not None
        assert manifest["frames"] == 25
        shards += len(manifest["shards"])
    assert by_first < by_two < shards == receipts()  # what they did not do, the items at hand among it, `third` did
    assert "sent away: worker tcp://127.0.0.1:" in said
    assert "zarr 2.18.0, here 3." in said
