"""What a process counts for Prometheus while it works: frames, where the time goes, queues, bytes, retries.

The meters stand in Prometheus's own registry, which every Dask worker serves at http://DASHBOARD-ADDRESS/metrics, so
that a site only names its workers' addresses to its Prometheus. Frames a second are rate(lednet_frames_total[5m]), the
share of a stage is rate(lednet_stage_seconds_total{stage="decode"}[5m]). Nothing that is stored depends on them.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from prometheus_client import Counter, Gauge

T = TypeVar("T")

FRAMES = Counter("lednet_frames", "Frames restored.", ["camera"])
STAGE_SECONDS = Counter(
    "lednet_stage_seconds",
    "Seconds of decode, restore, fetch (from a GPU that was set to work), measure, write; they overlap.",
    ["stage"],
)
QUEUED = Gauge("lednet_queued", "What waits: frames for the network, batches for the store.", ["queue"])
SHARD_BYTES = Counter("lednet_shard_bytes", "Bytes of shards written to the store.")
RETRIES = Counter("lednet_storage_retries", "Storage calls that failed and were made again.")


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the seconds spent within as work of a stage."""
    started = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(name).inc(time.perf_counter() - started)


def timed(source: Iterator[T], name: str) -> Iterator[T]:
    """Iterate, counting the seconds that each item takes to come as work of a stage."""
    try:
        while True:
            with stage(name):
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item
    finally:
        if isinstance(source, Generator):
            source.close()
