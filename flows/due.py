"""When the flow run at hand was due: by that, and not by when it came to start, a scheduled run knows its night."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect.context import FlowRunContext


def due() -> datetime:
    """When the flow run that this is called in was to start; for one that nobody scheduled, when it started.

    A worker that was away for days starts what it missed one run after the other: by the clock all of them would be
    for the same night. Never later than now, for a run that somebody started before its time.
    """
    now, context = datetime.now(UTC), FlowRunContext.get()
    expected = context.flow_run.expected_start_time if context and context.flow_run else None
    return min(now, expected) if expected else now
