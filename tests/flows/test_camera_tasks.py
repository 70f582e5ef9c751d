"""The measuring of all cameras on a real Dask worker: how far it is, and what one that fails costs."""

from __future__ import annotations

from threading import Event

import pytest
from distributed import LocalCluster

from flows import camera_tasks
from tasks.camera_facts import FactsJob, FactsOutcome
from tasks.settings import NightSettings
from tests.tasks import night

LONGEST_S = 300


def slow_facts(job: FactsJob) -> list[FactsOutcome]:
    """Of this module, so that Dask sends its name."""
    if job.nights[0] == "broken":
        raise OSError("the store is away")
    assert TOLD.wait(LONGEST_S)
    return [FactsOutcome(job.camera.id, night, "written") for night in job.nights]


TOLD = Event()


def test_how_far_the_facts_are_is_told_while_they_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def tell(words: str, *values: int) -> None:
        lines.append(words % values)
        if len(lines) > 3:
            TOLD.set()

    monkeypatch.setattr(camera_tasks, "facts", slow_facts)
    monkeypatch.setattr(camera_tasks, "TELL_EVERY_S", 0.01)
    monkeypatch.setattr(camera_tasks.log, "info", tell)
    jobs = [FactsJob(night.CAMERA, (name,), "file:///store", NightSettings()) for name in (night.NIGHT, "broken")]
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        outcomes = camera_tasks.write_facts.fn(jobs, cluster.scheduler_address, {})
    assert [(o.night, o.status, o.reason) for o in outcomes] == [
        (night.NIGHT, "written", ""), ("broken", "failed", "the store is away"),
    ]  # fmt: skip
    assert lines[0] in {f"facts of {done} of 2 cameras are done" for done in (0, 1)}
