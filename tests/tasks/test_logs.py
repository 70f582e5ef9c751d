"""Log lines: what they are about, and that the threads of a work item write in their run's name."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from tasks.logs import LOGGERS, PrefectRun, item_log, shown_in
from tasks.pipeline import Background, prefetch
from tasks.types import Grid, Shard, WorkItem

ITEM = WorkItem(
    "pit", "2026-01-15", "s3://store/enhanced/pit/2026-01-15/0123abcd", Grid(0, Fraction(5), 100), 48, 64, 8,
    (Shard(3, 24, 8), Shard(4, 32, 8)), (), "small", 1,
)  # fmt: skip

RUN: ContextVar[str] = ContextVar("run", default="none")


def test_a_line_names_camera_night_run_and_shards(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        item_log(logging.getLogger("tasks.enhance"), ITEM).info("%d frames", 8)
    [record] = caplog.records
    assert record.getMessage() == "camera=pit night=2026-01-15 run=0123abcd item=3-4: 8 frames"
    assert (record.camera, record.run, record.item) == ("pit", "0123abcd", "3-4")  # type: ignore[attr-defined]


def test_the_threads_of_a_work_item_belong_to_its_run() -> None:
    seen = []
    token = RUN.set("night")
    try:
        seen += prefetch((RUN.get() for _ in range(2)), 1)
        with Background(1) as background:
            background.submit(lambda: seen.append(RUN.get()))
    finally:
        RUN.reset(token)
    assert seen == ["night", "night", "night"]


def test_a_worker_s_lines_belong_to_the_flow_run_that_it_works_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr("prefect.logging.handlers.emit_api_log", sent.append)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    run = PrefectRun(str(uuid4()), {"PREFECT_API_URL": "http://127.0.0.1:1/api"})
    try:
        with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
            with shown_in(run), Background(1) as background:
                background.submit(lambda: logging.getLogger("tasks.enhance").info("in a thread of it"))
            logging.getLogger("tasks.enhance").info("of nobody")
    finally:
        for logger, (level, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.handlers = handlers
    assert [(str(line["flow_run_id"]), line["message"]) for line in sent] == [(run.id, "in a thread of it")]
