"""Log lines that say which camera and work item they are about, and that stand beside the run on Prefect's page.

Covers the project's own loggers. Which lines the command line shows is decided in `flows.cli`. Prefect is imported on
use alone: what restores a clip has no need of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from tasks.types import WorkItem

LOGGERS = ("lednet", "tasks", "flows")


class ItemLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines begin with what they are about; a formatter that knows fields finds them as attributes."""

    def __init__(self, logger: logging.Logger, **about: str) -> None:
        super().__init__(logger, about)
        self._prefix = " ".join(f"{name}={value}" for name, value in about.items())

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put what the line is about before it."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return f"{self._prefix}: {msg}", kwargs


def item_log(logger: logging.Logger, item: WorkItem) -> ItemLog:
    """A logger for one work item: its camera, night, run key and shards."""
    shards = f"{item.shards[0].index}-{item.shards[-1].index}"
    return ItemLog(logger, camera=item.camera, night=item.night, run=item.run_url.rpartition("/")[2], item=shards)


def show_in_prefect() -> None:
    """Send this process's log lines of level INFO and above to the Prefect server, beside the run that they belong to.

    Called where a flow or a task begins, since each may be a process of its own; Prefect by itself takes warnings alone
    and only of loggers that are named to it. Does nothing where no server keeps logs.
    """
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED

    if not PREFECT_LOGGING_TO_API_ENABLED.value():
        return
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET or logger.level > logging.INFO:
            logger.setLevel(logging.INFO)
        if not any(isinstance(handler, APILogHandler) for handler in logger.handlers):
            handler = APILogHandler()
            handler.addFilter(_in_a_run)
            logger.addHandler(handler)


@dataclass(frozen=True)
class PrefectRun:
    """A flow run that workers write lines of, and how they reach its server."""

    id: str
    settings: dict[str, Any] = field(repr=False)
    """Of Prefect, by name; a password may be among them."""


def this_run() -> PrefectRun | None:
    """The flow run that this is called in; None where no server keeps logs."""
    from prefect.context import FlowRunContext
    from prefect.settings import get_current_settings

    context, settings = FlowRunContext.get(), get_current_settings()
    if context is None or context.flow_run is None or not settings.logging.to_api.enabled:
        return None
    names = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING")
    variables = settings.to_environment_variables(include_secrets=True)
    return PrefectRun(str(context.flow_run.id), {name: variables[name] for name in names if name in variables})


@contextmanager
def shown_in(run: PrefectRun | None) -> Iterator[None]:
    """On a worker: lines written in this context, and in threads that take it over, stand beside the flow run."""
    if run is None:
        yield
        return
    import prefect.settings
    from prefect.settings import temporary_settings

    with temporary_settings({getattr(prefect.settings, name): value for name, value in run.settings.items()}):
        show_in_prefect()
        token = _RUN.set(run.id)
        try:
            yield
        finally:
            _RUN.reset(token)


_RUN: ContextVar[str] = ContextVar("flow_run", default="")
"""The flow run that a worker's line belongs to; empty in a flow or task of Prefect's, which Prefect itself knows."""


def _in_a_run(record: logging.LogRecord) -> bool:
    """Whether the line is written in a run: Prefect warns about every other."""
    from prefect.context import FlowRunContext, TaskRunContext

    if _RUN.get():
        record.flow_run_id = _RUN.get()
        return True
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None
