"""What this system tells Prefect's event bus, for the triggers of deployments and alarms.

    gopro.footage.landed       a GoPro clip is uploaded whole; payload: footage (URLs), clip, upload
    lednet.night.finished      a night's run has ended; payload: night, site, store_url, cameras
    lednet.coverage.low        the same night, when a camera's coverage is below the site's alarm_coverage; and words

Not covered: runs that fail or crash, of which Prefect's own events tell.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

from prefect.client.orchestration import get_client
from prefect.events import Event

from tasks.page_format import percent_below
from tasks.types import CameraNight

FOOTAGE_LANDED = "gopro.footage.landed"
NIGHT_FINISHED = "lednet.night.finished"
COVERAGE_LOW = "lednet.coverage.low"

log = logging.getLogger("lednet")


def send(event: str, resource: str, payload: dict[str, Any], key: str = "") -> None:
    """Tell the server, and return when it has the event: Prefect's own way leaves that to a thread.

    Args:
        resource: id of what the event is about.
        key: makes the event's id. The server acts on an id once, so that an event which is told again after a crash
            starts nothing twice. Without a key the id is random.

    Raises:
        httpx.HTTPError: if the server can't be told.
    """
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"{event} {key}") if key else uuid.uuid4()
    told = Event(event=event, resource={"prefect.resource.id": resource}, payload=payload, id=name)  # type: ignore[arg-type]
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[told.model_dump(mode="json")])


def tell_night(night: str, site: str, store_url: str, outcomes: Sequence[CameraNight], alarm_coverage: float) -> None:
    """Tell how a night ended. A server that can't be told is logged and costs the night nothing.

    Args:
        site: URL of cameras.toml.
        alarm_coverage: share of a night's slots, 0 to 1, below which a camera's coverage is told as low.
    """
    payload = {
        "night": night,
        "site": site,
        "store_url": store_url,
        "cameras": {o.camera: {"status": o.status, "coverage": o.coverage} for o in outcomes},
    }
    # What another run is at work on has no coverage yet; that run tells it.
    told = [o for o in outcomes if o.status != "under way"]
    low = [f"{o.camera} {percent_below(o.coverage)}" for o in told if o.coverage < alarm_coverage]
    words = f"night of {night}, coverage below {100 * alarm_coverage:g}%: {', '.join(low)}"
    try:
        if low:
            send(COVERAGE_LOW, f"lednet.night.{night}", payload | {"words": words})
        send(NIGHT_FINISHED, f"lednet.night.{night}", payload)
    except Exception as error:  # whatever it is: the night itself is stored
        log.warning("the Prefect server was not told how the night of %s ended: %s", night, error)
