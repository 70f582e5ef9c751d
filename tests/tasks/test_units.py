"""The work handed to Dask workers: plain futures of one task, of which one that fails costs its own nights alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from tasks import units
from tasks.camera_facts import FactsJob, FactsOutcome
from tasks.settings import NightSettings
from tests.tasks.night import CAMERA


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A cluster of one thread in this process."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


def jobs() -> list[FactsJob]:
    return [FactsJob(CAMERA, nights, "file:///none", NightSettings()) for nights in (("2026-01-15",), ("a", "b"))]


def test_every_night_of_every_camera_has_its_outcome(scheduler: str) -> None:
    outcomes = units.write_facts.fn(jobs(), scheduler, {})
    assert [(o.night, o.status) for o in outcomes] == [
        ("2026-01-15", "not published"), ("a", "not published"), ("b", "not published"),
    ]  # fmt: skip


def test_a_camera_whose_worker_fails_costs_its_own_nights(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(job: FactsJob) -> list[FactsOutcome]:
        if "a" in job.nights:
            raise MemoryError("killed")
        return [FactsOutcome(job.camera.id, night, "written") for night in job.nights]

    monkeypatch.setattr(units, "camera_facts", work)
    outcomes = units.write_facts.fn(jobs(), scheduler, {})
    assert [(o.night, o.status) for o in outcomes] == [("2026-01-15", "written"), ("a", "failed"), ("b", "failed")]
    assert "killed" in outcomes[1].reason
