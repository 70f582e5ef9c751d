"""Registering the deployments of prefect.yaml and the alarms with a Prefect server. Running it again brings all up to
date and adds nothing twice.

work pool -> `prefect deploy --all` -> parameters that no flow has are refused -> alarms to a webhook

Not covered: what is deployed, which is prefect.yaml's.
"""

from __future__ import annotations

import logging
import subprocess
import sys
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

# What the webhook is sent, as JSON with one field that chat services know.
RUN_WORDS = '{"text": {{ ("lednet: " ~ flow.name ~ " " ~ event.payload.validated_state.name ~ ". " ~ (event.payload.validated_state.message or "")) | tojson }} }'  # fmt: skip  # noqa: E501
COVERAGE_WORDS = '{"text": {{ ("lednet: " ~ event.payload.words) | tojson }} }'

log = logging.getLogger("lednet")


def deploy(prefect_file: Path, alarm_url: str = "") -> list[str]:
    """Register every deployment of a prefect.yaml; returns their names.

    Args:
        alarm_url: webhook that is called when a run fails or crashes, or a camera's coverage is low; none: no alarms.

    Raises:
        EngineError: if no Prefect server is named or answers, the file describes no deployments, or the server refuses
            it.
        FileNotFoundError: if the file is not there.
    """
    if not PREFECT_API_URL.value():
        raise EngineError("PREFECT_API_URL is not set: name the Prefect server that the deployments belong to")
    names = _named(prefect_file)
    try:
        _register(prefect_file, names, alarm_url)
    except httpx.TransportError as error:
        raise EngineError(
            f"PREFECT_API_URL={PREFECT_API_URL.value()}: no Prefect server answers there ({error}); start it or name "
            "another"
        ) from error
    return names


def _named(prefect_file: Path) -> list[str]:
    """The names of the deployments that a file describes."""
    try:
        written = yaml.safe_load(prefect_file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EngineError(f"{prefect_file}: no YAML ({error}); name a copy of prefect.yaml") from error
    try:
        return [str(described["name"]) for described in written["deployments"]]
    except (KeyError, TypeError):
        raise EngineError(
            f"{prefect_file}: has no list `deployments` of which each has a `name`; name a copy of prefect.yaml"
        ) from None


def _register(prefect_file: Path, names: list[str], alarm_url: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            log.info("work pool %s is there", POOL)
        _prefect_deploy(prefect_file)
        for name in names:
            _refuse_unknown_parameters(client, name)
        if alarm_url:
            _set_alarms(client, alarm_url)


def _prefect_deploy(prefect_file: Path) -> None:
    command = ["--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_file)]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "prefect"), *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EngineError(f"{prefect_file}: prefect deploy failed:\n{done.stdout}{done.stderr}")


def _refuse_unknown_parameters(client: SyncPrefectClient, name: str) -> None:
    """Have the server refuse a run with a parameter that the flow does not have: a misspelt one would be found out only
    when the run starts, by night. Prefect's own description of the parameters leaves that open."""
    ours = {"deployments": {"name": {"any_": [name]}}, "work_pools": {"name": {"any_": [POOL]}}}
    for deployment in client.request("POST", "/deployments/filter", json=ours).json():
        schema: dict[str, Any] = deployment["parameter_openapi_schema"] | {"additionalProperties": False}
        client.request(
            "PATCH", "/deployments/{id}", path_params={"id": deployment["id"]},
            json={"parameter_openapi_schema": schema},
        )  # fmt: skip


def _set_alarms(client: SyncPrefectClient, url: str) -> None:
    block = cast(UUID, Webhook(url=SecretStr(url)).save(ALARM_BLOCK, overwrite=True))
    failed = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
        match_related={"prefect.resource.role": "work-pool", "prefect.resource.name": POOL},
        posture=Posture.Reactive,
    )
    low = EventTrigger(expect={COVERAGE_LOW}, posture=Posture.Reactive)
    for name, trigger, words in (
        ("lednet: a run failed", failed, RUN_WORDS),
        ("lednet: low coverage", low, COVERAGE_WORDS),
    ):
        alarm = AutomationCore(
            name=name, trigger=trigger, actions=[CallWebhook(block_document_id=block, payload=words)]
        )  # fmt: skip
        known = client.read_automations_by_name(name)
        if known:
            client.update_automation(known[0].id, alarm)
        else:
            client.create_automation(alarm)
