"""`lednet status` tells which planned runs have not begun, by a real server: since when, why, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Running, Scheduled

from flows import deploy, engine
from flows.late_runs import late_runs
from tests.flows.conftest import Run


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """Of a server whose work pool is named as the project's, and is this test's alone."""
    monkeypatch.setattr(deploy, "POOL", "late-runs-test")
    monkeypatch.setenv("PREFECT_API_URL", server)
    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=deploy.POOL, type="process"))
        yield client
        ours = {"work_pools": {"name": {"any_": [deploy.POOL]}}}
        for run in client.request("POST", "/flow_runs/filter", json=ours).json():
            client.delete_flow_run(run["id"])
        for deployment in client.request("POST", "/deployments/filter", json=ours).json():
            client.delete_deployment(deployment["id"])
        client.request("DELETE", "/work_pools/{name}", path_params={"name": deploy.POOL})


def planned(client: SyncPrefectClient, name: str, *due: datetime) -> list[UUID]:
    """Runs of a deployment of the pool, which are due at these times."""
    flow = client.create_flow_from_name(f"{name}-of-this-test")
    deployment = client.create_deployment(flow, name, work_pool_name=deploy.POOL, entrypoint="none:none")
    return [
        client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=at)).id  # type: ignore[arg-type]
        for at in due
    ]


def ago(**long: int) -> datetime:
    return datetime.now(UTC) - timedelta(**long)


def beat(client: SyncPrefectClient) -> None:
    """What a worker tells the server now and then."""
    client.request(
        "POST", "/work_pools/{name}/workers/heartbeat", path_params={"name": deploy.POOL},
        json={"name": "of-this-test", "heartbeat_interval_seconds": 60},
    ).raise_for_status()  # fmt: skip


def test_a_run_that_no_worker_takes_is_told_with_its_time_and_the_next_step(client: SyncPrefectClient) -> None:
    due = ago(hours=3, minutes=20)
    planned(client, "nights", due)
    assert late_runs() == [
        f"nights was due at {due:%Y-%m-%d %H:%M} UTC, 3 h 20 min ago, and has not started: no Prefect worker is there "
        "to take it; `prefect worker start --pool late-runs-test --type process`"
    ]


def test_of_many_late_runs_of_a_deployment_the_first_is_told_and_how_many_wait(client: SyncPrefectClient) -> None:
    planned(client, "looks", *(ago(minutes=minutes) for minutes in (5, 45, 25)))
    planned(client, "nights", ago(minutes=30))
    looks, nights = late_runs()
    assert "looks was due" in looks
    assert ", 45 min ago, and has not started, the first of 3 that wait: " in looks
    assert ", 30 min ago, and has not started: " in nights


def test_runs_that_are_not_late_are_not_told(client: SyncPrefectClient) -> None:
    _, done = planned(client, "nights", datetime.now(UTC) + timedelta(hours=1), ago(hours=1))
    client.set_flow_run_state(done, Cancelled(), force=True)
    planned(client, "just-now", ago(seconds=20))
    assert late_runs() == []


def test_a_paused_work_pool_is_the_cause(client: SyncPrefectClient) -> None:
    planned(client, "nights", ago(hours=1))
    client.request("PATCH", "/work_pools/{name}", path_params={"name": deploy.POOL}, json={"is_paused": True})
    (line,) = late_runs()
    assert line.endswith("work pool late-runs-test is paused; `prefect work-pool resume late-runs-test`")


def test_a_run_that_waits_for_the_one_before_it_names_that_one(client: SyncPrefectClient) -> None:
    earlier, _ = planned(client, "nights", ago(days=1), ago(hours=1))
    client.set_flow_run_state(earlier, Running(), force=True)
    beat(client)
    (line,) = late_runs()
    assert f"run {earlier} of it goes first, Running" in line


def test_a_run_that_died_with_its_worker_is_not_taken_for_the_cause(client: SyncPrefectClient) -> None:
    earlier, _ = planned(client, "nights", ago(days=1), ago(hours=1))
    client.set_flow_run_state(earlier, Running(), force=True)
    (line,) = late_runs()
    assert "no Prefect worker is there" in line


def test_a_worker_that_leaves_a_run_lying_is_told(client: SyncPrefectClient) -> None:
    planned(client, "nights", ago(hours=1))
    beat(client)
    (line,) = late_runs()
    assert "is there and has not taken it" in line


def test_late_runs_stand_beside_the_list_of_nights_that_programs_read(
    client: SyncPrefectClient, server: str, lednet_here: Run, tmp_path: Path
) -> None:
    planned(client, "nights", ago(hours=1))
    done = lednet_here("status", "--store", str(tmp_path), "--json", PREFECT_API_URL=server)
    assert json.loads(done.stdout) == []
    assert "nights was due at" in done.stderr
    assert done.returncode == 0


def test_without_a_server_of_its_own_nothing_is_late(lednet_here: Run, tmp_path: Path) -> None:
    assert lednet_here("status", "--store", str(tmp_path)).stderr == ""


def test_a_server_that_does_not_answer_is_told_and_the_nights_are_shown(lednet_here: Run, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{engine.free_port()}/api"
    done = lednet_here("status", "--store", str(tmp_path), PREFECT_API_URL=nobody)
    assert "holds no nights" in done.stdout
    told = " ".join(done.stderr.split())
    assert f"PREFECT_API_URL={nobody}: no Prefect server answers there" in told
    assert done.returncode == 0
