"""Registering the deployments of prefect.yaml and the alarms with a Prefect server. Running it again brings all up to
date and adds nothing twice.

work pool -> `prefect deploy --all` -> other schedules end -> parameters that no flow has are refused -> alarms

Not covered: what is deployed, which is prefect.yaml's.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL
from pydantic import SecretStr

from flows.engine import EngineError
from flows.events import COVERAGE_LOW

POOL = "lednet"
ALARM_BLOCK = "lednet-alarm"
NIGHT_FLOW = "enhance-night"
"""As the flow names itself (`flows.enhance_night`), whatever a site calls its deployments."""

FRAMES = re.compile(r"[\u2500-\u257f]")
"""What Prefect draws boxes with, which a line of the log has no room for."""

# What the webhook is sent, as JSON with one field that chat services know.
RUN_WORDS = '{"text": {{ ("lednet: " ~ flow.name ~ " " ~ event.payload.validated_state.name ~ ". " ~ (event.payload.validated_state.message or "")) | tojson }} }'  # fmt: skip  # noqa: E501
COVERAGE_WORDS = '{"text": {{ ("lednet: " ~ event.payload.words) | tojson }} }'
LATE_WORDS = '{"text": {{ ("lednet: " ~ flow.name ~ " was due at " ~ flow_run.expected_start_time.strftime("%Y-%m-%d %H:%M UTC") ~ " and has not started. No Prefect worker took it: start one, or see why the work pool is paused") | tojson }} }'  # fmt: skip  # noqa: E501
AWAY_WORDS = '{"text": {{ ("lednet: no Prefect worker of the work pool " ~ event.resource.name ~ " is there any more, and nothing starts. Start one, and see what became of the run that it had") | tojson }} }'  # fmt: skip  # noqa: E501

PATIENCE = timedelta(minutes=10)
"""How late a night may start, and how long a worker may be away, before it is told: it may be being started anew."""

log = logging.getLogger("lednet")


def deploy(prefect_file: Path, alarm_url: str = "") -> list[str]:
    """Register every deployment of a prefect.yaml; returns their names.

    Args:
        alarm_url: webhook that is called when a run fails or crashes, a camera's coverage is low, a night does not
            start, or no worker is there; none: no alarms.

    Raises:
        EngineError: if no Prefect server is named or answers, the file can't be read or describes no deployments, the
            webhook is none, or the server refuses something.
    """
    server = PREFECT_API_URL.value()
    if not server:
        raise EngineError("PREFECT_API_URL is not set: name the Prefect server that the deployments belong to")
    if alarm_url and not alarm_url.startswith(("http://", "https://")):  # not repeated: who knows it may call it
        raise EngineError("the alarms' webhook (--alarm-url, LEDNET_ALARM_URL) must begin with http:// or https://")
    described = _described(prefect_file)
    log.info("registering %s with %s", ", ".join(described), server)
    try:
        _register(prefect_file, described, alarm_url)
    except httpx.TransportError as error:
        raise EngineError(
            f"PREFECT_API_URL={server}: no Prefect server answers there ({error}); start it or name another"
        ) from error
    except httpx.HTTPStatusError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}: {error.response.text[:500]}"
        raise EngineError(
            f"PREFECT_API_URL={server}: refused, {answer}; name a Prefect server's API, such as "
            "http://127.0.0.1:4200/api"
        ) from error
    return list(described)


def _described(prefect_file: Path) -> dict[str, set[str]]:
    """The names of the deployments that a file describes, and the slugs of their schedules."""
    try:
        written = yaml.safe_load(prefect_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"{prefect_file}: cannot be read ({error.strerror}); name a copy of prefect.yaml") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EngineError(f"{prefect_file}: no YAML ({error}); name a copy of prefect.yaml") from error
    try:
        listed = [
            (str(one["name"]), [s.get("slug") for s in one.get("schedules") or ()]) for one in written["deployments"]
        ]
    except (AttributeError, KeyError, TypeError):
        raise EngineError(
            f"{prefect_file}: has no list `deployments` of which each has a `name`; name a copy of prefect.yaml"
        ) from None
    found = dict(listed)
    if len(found) < len(listed):  # the schedules of the one would be ended as those that the other no longer has
        names = [name for name, _ in listed]
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise EngineError(f"{prefect_file}: deployment {', '.join(doubled)} stands twice; give each a name of its own")
    nameless = [name for name, slugs in found.items() if not all(slugs)]
    if nameless:  # the server could not tell which of its schedules an edited one is to replace
        raise EngineError(
            f"{prefect_file}: a schedule of {', '.join(nameless)} has no `slug`; give each one of its own"
        )
    return {name: {str(slug) for slug in slugs} for name, slugs in found.items()}


def _register(prefect_file: Path, described: dict[str, set[str]], alarm_url: str) -> None:
    wrong = []
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        _prefect_deploy(prefect_file)
        ours = {"work_pools": {"name": {"any_": [POOL]}}}
        for deployment in client.request("POST", "/deployments/filter", json=ours).json():
            name, number = deployment["name"], deployment["id"]
            if name in described:
                _end_other_schedules(client, deployment, described[name])
                wrong += _refuse_unknown_parameters(client, deployment)
            else:
                end = f"prefect deployment delete --id {number}"
                log.warning("%s is not in %s, was deployed before and stays; to end it: %s", name, prefect_file, end)
        if alarm_url:
            _set_alarms(client, alarm_url)
    if wrong:
        raise EngineError(f"{prefect_file}: {'; '.join(wrong)}. Mend it there and deploy again")


def _prefect_deploy(prefect_file: Path) -> None:
    command = ["--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_file)]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "prefect"), *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(FRAMES.sub(" ", done.stdout + done.stderr).split())
        raise EngineError(f"{prefect_file}: prefect deploy failed, mend it there: {words}")


def _end_other_schedules(client: SyncPrefectClient, deployment: dict[str, Any], slugs: set[str]) -> None:
    """Remove the schedules that an earlier file gave and this one does not: Prefect would go by both. One without a
    slug was made on Prefect's page, and stays."""
    for schedule in deployment["schedules"]:
        if schedule["slug"] and schedule["slug"] not in slugs:
            client.delete_deployment_schedule(UUID(deployment["id"]), UUID(schedule["id"]))
            log.info("%s: schedule %s is in the file no more and was removed", deployment["name"], schedule["slug"])


def _refuse_unknown_parameters(client: SyncPrefectClient, deployment: dict[str, Any]) -> list[str]:
    """Have the server refuse a run with a parameter that the flow does not have: a misspelt one would be found out only
    when the run starts, by night. Prefect's own description of the parameters leaves that open.

    Returns what is wrong with those that the file gives.
    """
    schema: dict[str, Any] = deployment["parameter_openapi_schema"] | {"additionalProperties": False}
    known = schema.get("properties", {})
    unknown = sorted(set(deployment["parameters"]) - set(known))
    if unknown:  # the server would refuse the description itself
        return [f"{deployment['name']} has no parameter {', '.join(unknown)}, but {', '.join(known)}"]
    client.request(
        "PATCH", "/deployments/{id}", path_params={"id": deployment["id"]}, json={"parameter_openapi_schema": schema}
    )
    return []


def _set_alarms(client: SyncPrefectClient, url: str) -> None:
    block = cast(UUID, Webhook(url=SecretStr(url)).save(ALARM_BLOCK, overwrite=True))
    for name, (trigger, words) in _alarms().items():
        alarm = AutomationCore(
            name=name, trigger=trigger, actions=[CallWebhook(block_document_id=block, payload=words)]
        )  # fmt: skip
        known = client.read_automations_by_name(name)
        if known:
            client.update_automation(known[0].id, alarm)
        else:
            client.create_automation(alarm)


def _alarms() -> dict[str, tuple[EventTrigger, str]]:
    """Name -> what sets an alarm off, and what it says.

    Of late runs the nights alone are told: a sensor that looks every few minutes would fill the letterbox.
    """
    of_pool: dict[str, str | list[str]] = {"prefect.resource.role": "work-pool", "prefect.resource.name": POOL}
    of_nights: dict[str, str | list[str]] = {"prefect.resource.role": "flow", "prefect.resource.name": NIGHT_FLOW}
    failed = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
        match_related=of_pool,
        posture=Posture.Reactive,
    )
    low = EventTrigger(expect={COVERAGE_LOW}, posture=Posture.Reactive)
    late = EventTrigger(
        after={"prefect.flow-run.Late"},
        expect={"prefect.flow-run.*"},
        match_related=[of_pool, of_nights],
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        within=PATIENCE,
    )
    away = EventTrigger(
        after={"prefect.work-pool.not-ready"},
        expect={"prefect.work-pool.ready"},
        match={"prefect.resource.id": "prefect.work-pool.*", "prefect.resource.name": POOL},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        within=PATIENCE,
    )
    return {
        "lednet: a run failed": (failed, RUN_WORDS),
        "lednet: low coverage": (low, COVERAGE_WORDS),
        "lednet: a night has not started": (late, LATE_WORDS),
        "lednet: no worker": (away, AWAY_WORDS),
    }
