"""The Dask workers that a night runs on: which kind, and whether they are started or only named.

    LEDNET_SCHEDULER    an existing Dask scheduler, tcp://host:port; it wins over the rest
    LEDNET_CLUSTER      what is started otherwise, for as long as the night takes:
        local           worker processes on this machine, one with a GPU if there is one (the default)
        cuda            one worker a GPU of this machine (dask-cuda)
        kubernetes      through the Dask operator of a Kubernetes cluster (dask-kubernetes)
        slurm           one worker a SLURM job (dask-jobqueue)
    LEDNET_WORKERS      how many workers are started

Image, queue, account, memory and the like of Kubernetes and SLURM stand in the site's own Dask configuration, sections
`kubernetes` and `jobqueue.slurm`, as those packages document it; `worker-extra-args: ["--resources", "GPU=1"]` there
says that a job has a GPU. Not covered: the Prefect server (`flows.engine`), and whether the workers run the same
software (`flows.versions`).
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from multiprocessing.resource_tracker import ensure_running
from typing import Any
from urllib.parse import urlsplit

from dask.system import CPU_COUNT

from flows.engine import EngineError
from tasks.worker_memory import local_workers

log = logging.getLogger("lednet")

Cluster = AbstractContextManager[Any]

TCP = ("tcp", "tls")
SCHEMES = (*TCP, "ucx", "ws", "wss", "inproc")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SCHEDULER_S = 20
"""Longest wait for an existing scheduler, which may be starting at the same time."""


def workers() -> Cluster:
    """The workers for a flow's task runner: the address of an existing scheduler, or a cluster that is to be started.

    Raises:
        EngineError: if the settings name none that can be had.
    """
    return _chosen()()


def check() -> None:
    """See what the settings name, and start nothing: a Prefect server, which a night needs first, takes half a minute.

    Raises:
        EngineError: if they name no workers that can be had.
    """
    _chosen()


def _chosen() -> Callable[[], Cluster]:
    address = os.environ.get("LEDNET_SCHEDULER", "")
    if address:
        try:
            parts = urlsplit(address)
            usable = parts.scheme in SCHEMES and bool(parts.netloc) and (parts.scheme not in TCP or bool(parts.port))
        except ValueError:  # a port that is no number
            usable = False
        if not usable:
            raise EngineError(f"LEDNET_SCHEDULER={address}: no address of a Dask scheduler; write tcp://host:port")
        if parts.hostname not in LOOPBACK:
            _need_a_server_that_others_reach()
        if parts.scheme in TCP:
            _wait_for_scheduler(address, str(parts.hostname), int(parts.port or 0))
        return partial(nullcontext, address)
    kind = os.environ.get("LEDNET_CLUSTER") or "local"
    kinds: dict[str, Callable[[int], Cluster]] = {
        "local": _local, "cuda": _cuda, "kubernetes": _kubernetes, "slurm": _slurm
    }  # fmt: skip
    if kind not in kinds:
        raise EngineError(f"LEDNET_CLUSTER={kind}: unknown; choose one of {', '.join(kinds)}")
    return partial(kinds[kind], _wanted_workers())


def _wait_for_scheduler(address: str, host: str, port: int) -> None:
    """Return when something listens there. Dask itself tells of a scheduler that is away by a page of traceback."""
    deadline = time.monotonic() + SCHEDULER_S
    while True:
        try:
            socket.create_connection((host, port), timeout=SCHEDULER_S).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"LEDNET_SCHEDULER={address}: no Dask scheduler answers there ({error}); start it "
                    "(dask scheduler) or name another"
                ) from error
            time.sleep(0.5)


def _wanted_workers() -> int:
    """LEDNET_WORKERS, 0 where it is not set."""
    text = os.environ.get("LEDNET_WORKERS") or "0"
    if not text.isdecimal():
        raise EngineError(f"LEDNET_WORKERS={text}: must be a whole number of workers")
    return int(text)


def _local(wanted: int) -> Cluster:
    """Worker processes with one thread each. With a GPU: one worker, resource GPU=1."""
    from distributed import LocalCluster

    gpu = has_gpu()
    count = wanted or (1 if gpu else local_workers())
    # Torch's threads of all workers together should be the machine's cores, no more.
    threads = str(max(1, CPU_COUNT // count))
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    log.info("starting %d Dask worker process(es)%s", count, " with GPU" if gpu else "")
    with _deaf_to_interrupts():
        cluster: Cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            resources={"GPU": 1} if gpu else {},
            env=environment,
        )
    return cluster


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Threads and processes that are started meanwhile, and all that those start, do not hear Ctrl-C.

    A terminal sends it to all at once: each worker would print a page of traceback, though this process ends them. What
    comes meanwhile is told when the context is left.
    """
    ensure_running()  # it would let the signal through again in the thread that it is first needed in
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cuda(wanted: int) -> Cluster:
    package = _optional("dask_cuda", "dask-cuda")
    cluster: Cluster = package.LocalCUDACluster(
        n_workers=wanted or None, threads_per_worker=1, host="127.0.0.1", resources={"GPU": 1}
    )
    return cluster


def _kubernetes(wanted: int) -> Cluster:
    package = _optional("dask_kubernetes.operator", "dask-kubernetes")
    cluster: Cluster = package.KubeCluster(
        n_workers=wanted or None, env={"PREFECT_API_URL": _need_a_server_that_others_reach()}
    )
    return cluster


def _slurm(wanted: int) -> Cluster:
    package = _optional("dask_jobqueue", "dask-jobqueue")
    _need_a_server_that_others_reach()  # sbatch hands this process's environment on to its jobs
    cluster = package.SLURMCluster(cores=1, processes=1)  # one thread a worker; torch takes the job's cores
    cluster.scale(jobs=wanted or 1)
    started: Cluster = cluster
    return started


def _optional(module: str, distribution: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        kind = os.environ["LEDNET_CLUSTER"]
        raise EngineError(
            f"LEDNET_CLUSTER={kind} needs {distribution} ({error}); pip install {distribution}"
        ) from error


def _need_a_server_that_others_reach() -> str:
    """The Prefect server's URL. Workers on other machines that can't reach it would wait for it without a word."""
    url = os.environ.get("PREFECT_API_URL", "")
    if urlsplit(url).hostname in (None, *LOOPBACK):
        raise EngineError(
            f"PREFECT_API_URL={url or '(not set)'}: workers on other machines can't reach this Prefect server; "
            "start one that they can (prefect server start --host 0.0.0.0) and name it"
        )
    return url


def has_gpu() -> bool:
    """Whether torch can use a CUDA device on this machine."""
    import torch

    return torch.cuda.is_available()


def worker_resources(client: Any) -> dict[str, int]:
    """What a work item must ask for on this cluster: a GPU where any worker offers one."""
    return asked_and_slots(client)[0]


def asked_and_slots(client: Any) -> tuple[dict[str, int], int]:
    """What a work item must ask for, and how many such items the workers do at once; 0 while there are none."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    gpus = sum(w.get("resources", {}).get("GPU", 0) for w in workers)
    return ({"GPU": 1}, int(gpus)) if gpus else ({}, sum(w.get("nthreads", 1) for w in workers))
