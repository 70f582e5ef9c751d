"""What happens by itself: a real server and worker, the schedule that looks for footage, the event that starts a
deployment with its payload, the alarm when a run fails, and the lines that stand beside a run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows import deploy, engine
from tests.flows.conftest import ENVIRONMENT, command
from tests.flows.test_cli import write_clip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 420
"""Longest wait for something that the server and the worker do; each run is a new process that imports torch."""

RETRAIN = """
name: retrain
entrypoint: tests.flows.landing.note
work_pool: {name: lednet}
triggers:
  - name: retrain on new footage
    expect: [gopro.footage.landed]
    match: {prefect.resource.id: "gopro.clip.*"}
    threshold: 1
    within: 600
    schedule_after: 5
    parameters:
      footage:
        __prefect_kind: json
        value: {__prefect_kind: jinja, template: "{{ event.payload.footage | tojson }}"}
concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
"""
"""As it stands in prefect.yaml where `flows.retrain` is, with a flow that ends at once and a shorter rest."""


@dataclass
class Bench:
    """A site in a folder, its server, and the webhook's letterbox."""

    folder: Path
    server: str
    alarms: list[dict[str, str]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"file://{self.folder / name}"

    def ask(self, what: str, query: dict[str, Any]) -> Any:
        return httpx.post(f"{self.server}/{what}/filter", json=query, timeout=60).raise_for_status().json()

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that began, or ended without."""
        runs: list[dict[str, Any]] = self.ask("flow_runs", {"deployments": {"name": {"any_": [deployment]}}})
        return [r for r in runs if r["state_type"] not in ("SCHEDULED", "PENDING")]

    def lines(self, run: str) -> list[str]:
        return [entry["message"] for entry in self.ask("logs", {"logs": {"flow_run_id": {"any_": [run]}}})]


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not met():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(1)


@pytest.fixture(scope="module")
def bench(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Everything deployed, twice, and a worker at work; uploads are looked at every 20 s."""
    bench = Bench(tmp_path_factory.mktemp("site"), server)
    letterbox = ThreadingHTTPServer(("127.0.0.1", 0), receiver(bench.alarms))
    threading.Thread(target=letterbox.serve_forever, daemon=True).start()
    environment = ENVIRONMENT | engine.QUIET | {
        "PREFECT_API_URL": server, "PREFECT_HOME": str(bench.folder / "home"), "PYTHONPATH": str(ROOT)
    }  # fmt: skip
    deployments = write_deployments(bench)
    for _ in range(2):
        done = subprocess.run(
            command("deploy", str(deployments), "--alarm-url", f"http://127.0.0.1:{letterbox.server_port}/"),
            cwd=bench.folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    with open(bench.folder / "worker.log", "wb") as log:
        worker = subprocess.Popen(
            [str(Path(sys.executable).parent / "prefect"), "worker", "start", "--pool", "lednet", "--type", "process"],
            cwd=bench.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield bench
    finally:
        engine.stop_group(worker)
        letterbox.shutdown()


def receiver(alarms: list[dict[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alarms.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Receiver


def write_deployments(bench: Bench) -> Path:
    """The project's own file for this site, with a stand-in for retraining."""
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8").replace("file:///srv/lednet", f"file://{bench.folder}")
    written = yaml.safe_load(text)
    for deployment in written["deployments"]:
        deployment["schedules"] = []
        if deployment["name"] == "watch-gopro":
            deployment["schedules"] = [{"slug": "often", "interval": 20}]
    written["deployments"] = [d for d in written["deployments"] if d["name"] != "retrain"]
    places = {"site": bench.url("cameras.toml"), "store_url": bench.url("store")}
    written["deployments"].append(yaml.safe_load(RETRAIN) | {"parameters": places})
    path = bench.folder / "prefect.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


@pytest.fixture(scope="module")
def landed(bench: Bench) -> dict[str, Any]:
    """With what retraining was started after two clips were uploaded, one of two chapters."""
    upload = bench.folder / "archive/gopro"
    upload.mkdir(parents=True)
    for name in ("GX010119.MP4", "GX020119.MP4", "GX010120.MP4"):
        write_clip(upload / name)
    until((bench.folder / "store/started.json").exists)
    started: dict[str, Any] = json.loads((bench.folder / "store/started.json").read_text())
    return started


def test_a_landed_clip_starts_the_deployment_with_its_chapters(bench: Bench, landed: dict[str, Any]) -> None:
    chapters = [bench.url(f"archive/gopro/GX0{n}0119.MP4") for n in (1, 2)]
    assert landed == {"site": bench.url("cameras.toml"), "store_url": bench.url("store"), "footage": chapters}


def test_each_clip_is_told_once_and_two_at_once_start_one_run(bench: Bench, landed: dict[str, Any]) -> None:
    looks = len(bench.runs("watch-gopro"))
    until(lambda: len(bench.runs("watch-gopro")) > looks)
    found = bench.ask("events", {"filter": {"event": {"name": ["gopro.footage.landed"]}}})["events"]
    assert sorted(e["payload"]["clip"] for e in found) == ["0119", "0120"]
    assert len(bench.runs("retrain")) == 1


def test_what_a_run_says_stands_beside_it(bench: Bench, landed: dict[str, Any]) -> None:
    lines = [line for run in bench.runs("watch-gopro") for line in bench.lines(run["id"])]
    assert any("0119 has landed: 2 files" in line for line in lines), lines


def test_a_run_that_fails_is_told_to_the_webhook_with_its_reason(bench: Bench) -> None:
    from prefect.client.orchestration import get_client

    [deployment] = bench.ask("deployments", {"deployments": {"name": {"any_": ["enhance-night"]}}})
    with get_client(sync_client=True) as client:  # which asks again when a busy server turns it away
        client.create_flow_run_from_deployment(deployment["id"])
    until(lambda: bool(bench.alarms))
    assert "enhance-night Failed" in bench.alarms[0]["text"]
    assert "cameras.toml: not there" in bench.alarms[0]["text"]


def test_low_coverage_is_told_to_the_webhook_and_every_night_gets_its_report(bench: Bench) -> None:
    from flows.events import tell_night
    from tasks.types import CameraNight

    before = len(bench.runs("evaluate"))
    outcomes = [CameraNight("pit", "published", coverage=0.4), CameraNight("silo", "published", coverage=1.0)]
    outcomes.append(CameraNight("belt", "under way", "process 77 on gpu1 is at work on this night"))
    tell_night("2026-01-15", bench.url("cameras.toml"), bench.url("store"), outcomes, 0.9)
    until(lambda: any("pit 40%" in alarm["text"] for alarm in bench.alarms))
    assert not any(well in alarm["text"] for alarm in bench.alarms for well in ("silo", "belt"))
    until(lambda: len(bench.runs("evaluate")) > before)
    assert bench.runs("evaluate")[0]["parameters"]["night"] == "2026-01-15"


def test_deploying_again_adds_no_second_alarm_or_trigger(bench: Bench) -> None:
    names = [a["name"] for a in bench.ask("automations", {}) if a["name"].startswith(("lednet: ", "re"))]
    wanted = [*deploy._alarms(), "report after the night", "retrain on new footage"]
    assert sorted(names) == sorted(wanted)
