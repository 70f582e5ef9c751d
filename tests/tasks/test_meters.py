"""The meters: what a work item really did, and that every Dask worker serves them without being asked twice."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from prometheus_client import REGISTRY

from tasks import meters, storage
from tests.tasks.night import make_site, without_pauses


def read(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_night_counts_its_frames_bytes_and_stages(tmp_path: Path) -> None:
    before = read("lednet_frames_total", camera="pit"), read("lednet_shard_bytes_total")
    stages = ("decode", "restore", "measure", "write")
    worked = [read("lednet_stage_seconds_total", stage=s) for s in stages]
    site = make_site(tmp_path, (10, 8))
    site.run()
    manifest = site.manifest()
    assert read("lednet_frames_total", camera="pit") - before[0] == manifest["frames"]
    assert read("lednet_shard_bytes_total") - before[1] == manifest["bytes"]
    assert all(read("lednet_stage_seconds_total", stage=s) > w for s, w in zip(stages, worked, strict=True))


def test_a_storage_call_that_is_made_again_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    answers = iter([OSError("busy"), OSError("busy"), "there"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    before = read("lednet_storage_retries_total")
    assert storage.retry(call, "s3://somewhere") == "there"
    assert read("lednet_storage_retries_total") - before == 2


def test_timing_an_iterator_changes_nothing_and_closes_it() -> None:
    closed = []

    def numbers() -> object:
        try:
            yield from range(3)
        finally:
            closed.append(True)

    assert list(meters.timed(numbers(), "decode")) == [0, 1, 2]  # type: ignore[arg-type]
    half = meters.timed(numbers(), "decode")  # type: ignore[arg-type]
    next(half)
    half.close()  # type: ignore[attr-defined]
    assert closed == [True, True]


def test_a_dask_worker_serves_them_beside_its_own() -> None:
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=1, processes=False, dashboard_address=None, worker_dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        [worker] = client.scheduler_info()["workers"].values()
        page = urllib.request.urlopen(f"http://127.0.0.1:{worker['services']['dashboard']}/metrics").read().decode()
    assert "dask_worker_" in page
    assert "lednet_storage_retries_total" in page
