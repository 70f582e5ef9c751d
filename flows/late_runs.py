"""Runs that a Prefect server has planned and that have not begun: why nothing ran last night, and what to do.

Covers the deployments of the project's work pool. Not covered: what a night has stored (`flows.status`), and the alarms
that the server itself raises (`flows.deploy`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows import engine

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

LATE = timedelta(minutes=2)
"""A worker asks for work every 15 s and takes some time to start it."""
MOST_ASKED = 200
"""Runs that a Prefect server tells at once."""


def late_runs() -> list[str]:
    """A line for each deployment with a run that is overdue: since when, why, and the next step.

    None where PREFECT_API_URL is not set, since nothing is planned then. A server that can't be asked is a line too:
    nothing starts without it.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return []
    if told := engine.server_trouble(url):  # first: Prefect's client would try for minutes
        return [
            f"PREFECT_API_URL={url}: no Prefect server answers there ({told}), so no run starts by itself; start it"
        ]
    engine.be_quiet()
    # Only here: they take seconds to import, and most sites' status is asked without a server.
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            return _ask(client, datetime.now(UTC))
    except httpx.HTTPError as error:
        return [f"PREFECT_API_URL={url}: does not say which runs are late ({error})"]


def _ask(client: SyncPrefectClient, now: datetime) -> list[str]:
    from flows.deploy import POOL

    ours = {"work_pools": {"name": {"any_": [POOL]}}}
    lines = []
    for deployment in client.request("POST", "/deployments/filter", json=ours).json():
        overdue = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": str(now - LATE)}}
        late = _runs(client, deployment, overdue)
        if late:
            lines.append(f"{deployment['name']} {_how_late(late, now)}: {_cause(client, deployment)}")
    return sorted(lines)


def _runs(client: SyncPrefectClient, deployment: dict[str, Any], which: dict[str, Any]) -> list[dict[str, Any]]:
    """A deployment's runs that fit a filter, the one that was due first first."""
    asked = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": which,
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": MOST_ASKED,
    }
    runs: list[dict[str, Any]] = client.request("POST", "/flow_runs/filter", json=asked).json()
    return runs


def _how_late(late: list[dict[str, Any]], now: datetime) -> str:
    due = datetime.fromisoformat(late[0]["expected_start_time"])
    minutes = int((now - due).total_seconds()) // 60
    since = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    count = f"{len(late)} or more" if len(late) == MOST_ASKED else str(len(late))
    others = f", the first of {count} that wait" if len(late) > 1 else ""
    return f"was due at {due.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {since} ago, and has not started{others}"


def _cause(client: SyncPrefectClient, deployment: dict[str, Any]) -> str:
    """Why a deployment's run does not start, and the next step."""
    name = deployment["work_pool_name"]
    pool = client.request("GET", "/work_pools/{name}", path_params={"name": name}).json()
    if pool["is_paused"]:
        return f"work pool {name} is paused; `prefect work-pool resume {name}`"
    if pool["status"] != "READY":  # first: a run that died with its worker looks as if it were at work
        return f"no Prefect worker is there to take it; `prefect worker start --pool {name} --type process`"
    at_work = _runs(client, deployment, {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}})
    if at_work:
        first = at_work[0]
        return (
            f"run {first['id']} of it goes first, {first['state_name']}; `prefect flow-run cancel` with its id ends it"
        )
    return f"a Prefect worker of work pool {name} is there and has not taken it; its log says why"
