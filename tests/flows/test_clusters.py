"""The choice of workers: what settings name, what is missing is said, other software is found before a night starts."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, LocalCluster

from flows import clusters, versions
from flows.engine import EngineError, free_port

VERSIONS = {
    "python": "3.11.7.final.0", "dask": "2026.8.0", "distributed": "2026.8.0", "cloudpickle": "3.1.2",
    "msgpack": "1.2.4", "lednet": "0.1.0", "prefect": "3.8.8", "torch": "2.13.0+cpu", "zarr": "3.1.6",
    "imagecodecs": "2026.3.6",
}  # fmt: skip


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what a test sets."""
    for name in [n for n in os.environ if n.startswith(("LEDNET_", "PREFECT_"))]:
        monkeypatch.delenv(name)


def told(**others: str | None) -> dict[str, Any]:
    return {"packages": VERSIONS | others}


def found(scheduler: dict[str, Any], *workers: dict[str, Any]) -> dict[str, Any]:
    named = {f"tcp://10.0.0.{n}:40000": w for n, w in enumerate(workers, 1)}
    return {"client": told(), "scheduler": scheduler, "workers": named}


def test_an_existing_scheduler_is_only_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("LEDNET_SCHEDULER", there)
        monkeypatch.setenv("LEDNET_CLUSTER", "slurm")
        with clusters.workers() as address:
            assert address == there


def test_a_scheduler_that_is_away_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    away = f"tcp://127.0.0.1:{free_port()}"
    monkeypatch.setenv("LEDNET_SCHEDULER", away)
    monkeypatch.setattr(clusters, "SCHEDULER_S", 0.1)
    with pytest.raises(EngineError, match=f"LEDNET_SCHEDULER={away}: no Dask scheduler answers there"):
        clusters.check()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LEDNET_SCHEDULER": "scheduler:8786"}, "write tcp://host:port"),
        ({"LEDNET_SCHEDULER": "tcp://127.0.0.1"}, "write tcp://host:port"),
        ({"LEDNET_SCHEDULER": "tcp://127.0.0.1:port"}, "write tcp://host:port"),
        ({"LEDNET_CLUSTER": "mainframe"}, "choose one of local, cuda, kubernetes, slurm"),
        ({"LEDNET_WORKERS": "many"}, "LEDNET_WORKERS=many"),
        ({"LEDNET_WORKERS": "-1"}, "LEDNET_WORKERS=-1"),
    ],
)
def test_a_wrong_setting_is_named(variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match=words):
        clusters.check()


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [
        ("cuda", "dask_cuda", "dask-cuda"),
        ("kubernetes", "dask_kubernetes.operator", "dask-kubernetes"),
        ("slurm", "dask_jobqueue", "dask-jobqueue"),
    ],
)
def test_a_package_that_is_not_installed_is_named(
    kind: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDNET_CLUSTER", kind)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineError, match=f"pip install {package}"):
        clusters.workers()


@pytest.mark.parametrize("server", ["", "http://127.0.0.1:4200/api", "http://localhost:4200/api"])
def test_workers_elsewhere_need_a_server_that_they_reach(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDNET_SCHEDULER", "tcp://10.0.0.1:8786")
    monkeypatch.setenv("PREFECT_API_URL", server)
    with pytest.raises(EngineError, match="can't reach this Prefect server"):
        clusters.workers()


def test_a_kubernetes_cluster_is_told_the_server_and_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    stand_in = SimpleNamespace(KubeCluster=lambda **options: asked.append(options))
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", stand_in)  # type: ignore[arg-type]
    monkeypatch.setenv("LEDNET_CLUSTER", "kubernetes")
    monkeypatch.setenv("LEDNET_WORKERS", "3")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")
    clusters.workers()
    assert asked == [{"n_workers": 3, "env": {"PREFECT_API_URL": "http://prefect:4200/api"}}]


def test_workers_that_are_started_here_leave_ctrl_c_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDNET_WORKERS", "1")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with clusters.workers() as started, Client(started) as client:  # type: ignore[no-untyped-call]
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
        (worker,) = client.run(os.getpid)
        os.kill(client.run(os.getpid)[worker], signal.SIGINT)
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        assert list(client.run(os.getpid)) == [worker]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None, resources={"GPU": 1}) as running:  # type: ignore[no-untyped-call]
        yield running


def test_the_same_software_everywhere_passes(cluster: LocalCluster) -> None:
    with Client(cluster) as client:  # type: ignore[no-untyped-call]
        versions.check(client)
        assert clusters.worker_resources(client) == {"GPU": 1}


def test_one_package_that_differs_on_one_worker_stops_the_night(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(cluster) as client:  # type: ignore[no-untyped-call]
        told = client.get_versions(packages=[*versions.SAME_EVERYWHERE, *versions.SAME_ON_WORKERS])
        [worker] = told["workers"].values()
        worker["packages"]["zarr"] = "2.18.0"
        monkeypatch.setattr(client, "get_versions", lambda packages: told)
        with pytest.raises(EngineError, match=r"worker .*: zarr 2\.18\.0, here \d"):
            versions.check(client)


def test_a_scheduler_without_workers_is_told_after_a_while() -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as empty,  # type: ignore[no-untyped-call]
        Client(empty) as client,  # type: ignore[no-untyped-call]
        pytest.raises(EngineError, match="no worker within"),
    ):
        versions.check(client, patience_s=0.2)


@pytest.mark.parametrize("name", ["python", *versions.SAME_EVERYWHERE])
def test_a_scheduler_that_differs_is_named(name: str) -> None:
    assert versions.mismatches(found(told(**{name: "0.9.0"}), told())) != []


@pytest.mark.parametrize("name", ["python", *versions.SAME_EVERYWHERE, *versions.SAME_ON_WORKERS])
def test_each_worker_that_differs_is_named_with_both_versions(name: str) -> None:
    [words] = versions.mismatches(found(told(), told(), told(**{name: None})))
    assert words.startswith(f"worker tcp://10.0.0.2:40000: {name} missing, here ")


def test_a_scheduler_may_have_other_torch_and_zarr_and_builds_of_torch_may_differ() -> None:
    scheduler = told(torch="2.1.0", zarr="2.18.0", python="3.11.14.final.0")
    assert versions.mismatches(found(scheduler, told(torch="2.13.0+cu130"))) == []


SBATCH = """#!/bin/sh
# In place of SLURM: the job runs at once, on this machine.
sh "$1" > "$1.log" 2>&1 &
echo "Submitted batch job $!"
"""


def test_a_slurm_job_becomes_a_worker_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    import dask

    for name, text in (("sbatch", SBATCH), ("scancel", '#!/bin/sh\nkill "$@"\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod((tmp_path / name).stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LEDNET_CLUSTER", "slurm")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.site:4200/api")
    site = {
        "jobqueue.slurm.memory": "1GB", "jobqueue.slurm.worker-extra-args": ["--resources", "GPU=1"],
        "jobqueue.slurm.interface": "lo", "jobqueue.slurm.local-directory": str(tmp_path),
    }  # fmt: skip
    with dask.config.set(site), clusters.workers() as jobs, Client(jobs) as client:  # type: ignore[no-untyped-call]
        versions.check(client, patience_s=120)
        assert clusters.worker_resources(client) == {"GPU": 1}
