"""A Prefect worker that is away: a real server tells the webhook so, and which night has not started."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import ThreadingHTTPServer
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Scheduled

from flows import deploy
from tests.flows.test_events import receiver, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUIET_S = 30
"""How long nothing may come where nothing is to come; what does come takes some 20 s after a run is late."""


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="module")
def alarms(client: SyncPrefectClient) -> Iterator[list[dict[str, str]]]:
    """What the webhook was told, with the least patience that Prefect knows."""
    told: list[dict[str, str]] = []
    letterbox = ThreadingHTTPServer(("127.0.0.1", 0), receiver(told))
    threading.Thread(target=letterbox.serve_forever, daemon=True).start()
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=deploy.POOL, type="process"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "PATIENCE", timedelta(seconds=10))
        deploy._set_alarms(client, f"http://127.0.0.1:{letterbox.server_port}/")
    yield told
    letterbox.shutdown()


def due_run(client: SyncPrefectClient, flow: str) -> UUID:
    """A run of a deployment of the pool that is due now."""
    deployment = client.create_deployment(
        client.create_flow_from_name(flow), "of-this-test", work_pool_name=deploy.POOL, entrypoint="none:none"
    )
    return client.create_flow_run_from_deployment(deployment, state=Scheduled()).id


def told_of(alarms: list[dict[str, str]], words: str) -> list[str]:
    return [alarm["text"] for alarm in alarms if words in alarm["text"]]


def beat(client: SyncPrefectClient) -> None:
    """What a worker tells the server now and then."""
    client.request(
        "POST", "/work_pools/{name}/workers/heartbeat", path_params={"name": deploy.POOL},
        json={"name": "of-this-test", "heartbeat_interval_seconds": 1},
    ).raise_for_status()  # fmt: skip


def test_a_night_that_no_worker_takes_is_told_once_and_a_sensor_is_not(
    client: SyncPrefectClient, alarms: list[dict[str, str]]
) -> None:
    sensor, night = due_run(client, "watch-gopro"), due_run(client, deploy.NIGHT_FLOW)
    until(lambda: bool(told_of(alarms, "has not started")))
    time.sleep(QUIET_S)
    [words] = told_of(alarms, "has not started")
    due = client.read_flow_run(night).expected_start_time
    assert due is not None
    assert words.startswith(f"lednet: enhance-night was due at {due:%Y-%m-%d %H:%M} UTC and has not started. ")
    for run in (sensor, night):
        client.set_flow_run_state(run, Cancelled(), force=True)


def test_a_night_that_is_taken_late_is_not_told(client: SyncPrefectClient, alarms: list[dict[str, str]]) -> None:
    before, night = len(told_of(alarms, "has not started")), due_run(client, deploy.NIGHT_FLOW)

    def late() -> bool:
        state = client.read_flow_run(night).state
        return state is not None and state.name == "Late"

    until(late)
    client.set_flow_run_state(night, Cancelled(), force=True)
    time.sleep(QUIET_S)
    assert len(told_of(alarms, "has not started")) == before


def test_a_pool_without_a_worker_is_told_once_and_by_name(
    client: SyncPrefectClient, alarms: list[dict[str, str]]
) -> None:
    before = len(told_of(alarms, "no Prefect worker of"))  # other tests' workers of this pool have come and gone
    beat(client)
    until(lambda: len(told_of(alarms, "no Prefect worker of")) > before)
    time.sleep(QUIET_S)
    [words] = told_of(alarms, "no Prefect worker of")[before:]
    assert f"work pool {deploy.POOL} " in words
