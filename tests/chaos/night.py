"""What the kill tests share: a small night in an object store over HTTP, and a way to act at the k-th write of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from moto.s3.models import S3Backend, s3_backends

from tests.tasks.night import CAMERA, film, save_checkpoint

BUCKET = "mine"
ARCHIVE, STORE = f"s3://{BUCKET}/archive", f"s3://{BUCKET}/store"

SITE = """
[settings]
checkpoint = "{weights}"
shard_mb = 1
shard_least = 4
shard_most = 4
item_slots = 8
preview_pictures = 8
preview_width = 48
queue_batches = 2

[[camera]]
id = "{camera.id}"
name = "{camera.name}"
scene = "{camera.scene}"
timezone = "{camera.timezone}"
pattern = "{camera.pattern}"
rate = {camera.rate}
start = "{camera.start}"
end = "{camera.end}"
"""


def seeds(usual: range) -> list[int]:
    """The seeds to try: the usual ones, or those of LEDNET_CHAOS_SEEDS, such as 7,8,200-299."""
    parts = [part.partition("-") for part in os.environ.get("LEDNET_CHAOS_SEEDS", "").split(",") if part]
    chosen = [seed for first, _, last in parts for seed in range(int(first), int(last or first) + 1)]
    return chosen or list(usual)


def backend() -> S3Backend:
    """The objects of the server that runs in this process."""
    return s3_backends["123456789012"]["aws"]


def fill_archive(folder: Path) -> Path:
    """Film a night, put it into the bucket, and describe the site; returns cameras.toml."""
    for path in film(folder / "archive", (10, 8)):
        backend().put_object(BUCKET, str(path.relative_to(folder)), path.read_bytes())
    site = folder / "cameras.toml"
    site.write_text(SITE.format(weights=save_checkpoint(folder), camera=CAMERA))
    return site


def stored() -> dict[str, bytes]:
    """Every object of the store but the rates, which depend on the clock."""
    keys = backend().buckets[BUCKET].keys
    ours = (name for name in sorted(keys) if name.startswith("store/") and not name.startswith("store/rates/"))
    return {name: keys[name].value for name in ours}


def differing(expected: dict[str, bytes]) -> list[str]:
    """Names of the objects of the store that are missing, too many, or other than expected."""
    found = stored()
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def empty_store() -> None:
    """Forget what was done."""
    for name in stored():
        backend().delete_object(BUCKET, name)


class Writes:
    """Counts the writes to the store."""

    def __init__(self) -> None:
        self.count = 0
        self.at = -1
        self.act: Callable[[], None] = lambda: None
        """Called in a thread of its own when write number `at` comes, before or after it is done."""
        self.receipts = threading.Event()
        """Receipts wait while it is not set, and no night can end."""
        self.receipts.set()

    def trigger(self, at: int, act: Callable[[], None]) -> None:
        """Call `act` at a write of the night that begins now."""
        self.count, self.at, self.act = 0, at, act


@contextmanager
def counted_writes() -> Iterator[Writes]:
    """Count writes to the store while the context lasts; leases, which are renewed by the clock, are left out."""
    writes, put = Writes(), S3Backend.put_object

    def counting(self: S3Backend, bucket: str, key: str, *args: object, **options: object) -> object:
        if key.startswith("store/") and "/lease." not in key:
            writes.count += 1
            if writes.count - 1 == writes.at:
                threading.Thread(target=writes.act).start()
            if "/receipts/" in key:
                writes.receipts.wait()
        return put(self, bucket, key, *args, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Backend, "put_object", counting)
        yield writes
