"""Log lines: what they are about, and that the threads of a work item write in their run's name."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from fractions import Fraction

import pytest

from tasks.logs import item_log
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
