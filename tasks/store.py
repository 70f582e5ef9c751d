"""A night in the store: the Zarr group, whole-shard writes, receipts, quality rows and the manifest.

    <run>/frames.zarr            group of frames, valid, time; metadata written once, by the coordinator
    <run>/ready.json             the group is laid out; written by the coordinator before any worker starts
    <run>/receipts/<shard>.parquet, .json      a shard's quality rows and pictures, then its receipt, in this order
    <run>/quality.parquet        all quality rows, written when the night is published
    manifest.json                beside the runs, written last: names the published run

Every object is written whole. Nothing here depends on the clock or the machine: the same night gives the same bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from zarr import Array
from zarr.abc.store import ByteRequest, Store
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import MemoryStore, WrapperStore

from lednet.quality import Quality
from tasks import codecs, listing, storage
from tasks.settings import NightSettings
from tasks.slots import slot_times
from tasks.types import NightPlan, Problem, Receipt, Shard, WorkItem

QUALITY_METRICS = Quality._fields
PICTURE_COLUMNS = ("before_jpeg", "after_jpeg")
MANIFEST_FORMAT = 1
MOST_ROWS = 25_000_000
"""Of quality rows: more than 25 hours at the fastest rate that a site may name. Equal rows take no room in a file."""
_MANIFEST_KEYS = frozenset({"camera", "night", "run", "shards", "frames", "coverage", "problems", "frames_url"})


class StoreError(RuntimeError):
    """The store holds something that does not fit; the message names the object and the next step."""


SAID = (StoreError, OSError)
"""Errors whose message names object, cause and next step: a traceback tells nobody more. StorageError is an OSError."""


class HashingStore(WrapperStore[Store]):
    """A Zarr store to write whole chunks to, through `tasks.storage`, which retries and writes them atomically.

    Notes the sha256 and size of every object written.
    """

    def __init__(self, url: str) -> None:
        super().__init__(storage.zarr_store(url))
        self.url = url
        self.written: dict[str, tuple[str, int]] = {}

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read metadata. Chunks are replaced whole and never looked at: zarr would fetch a shard before writing it,
        and a damaged one would keep itself from being replaced."""
        if not key.endswith("zarr.json"):
            return None
        try:
            return prototype.buffer.from_bytes(await asyncio.to_thread(storage.read, storage.join(self.url, key)))
        except FileNotFoundError:
            return None

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object, whole."""
        data = value.to_bytes()
        await asyncio.to_thread(storage.write, storage.join(self.url, key), data)
        self.written[key] = (hashlib.sha256(data).hexdigest(), len(data))


def frames_url(run_url: str) -> str:
    """Where a run's Zarr group stands."""
    return storage.join(run_url, "frames.zarr")


def create_run(plan: NightPlan, settings: NightSettings, version: str) -> None:
    """Lay out a run's Zarr group: shapes, codecs, time coordinate and provenance. Does nothing where it stands.

    Nothing is ever deleted, so a second coordinator that lays out the same run meanwhile costs no shard.
    """
    url = frames_url(plan.run_url)
    ready = storage.join(plan.run_url, "ready.json")
    if storage.exists(ready):
        return
    n, h, w, shard = plan.grid.slots, plan.height, plan.width, plan.shard_slots
    objects: dict[str, Buffer] = {}
    group = zarr.create_group(
        MemoryStore(objects),
        zarr_format=3,
        attributes={
            "title": f"{plan.camera.name}, night of {plan.night}, restored by LEDNet",
            "camera": plan.camera.id,
            "scene": plan.camera.scene,
            "night": plan.night,
            "run": plan.run,
            "color_space": "sRGB",
            "model": plan.model,
            "settings": settings.stored(),
            "software": f"lednet {version}",
            **codecs.provenance(settings),
        },
    )
    group.create_array(
        "frames",
        shape=(n, h, w, 3),
        dtype="uint8",
        chunks=(1, h, w, 3),
        shards=(shard, h, w, 3),
        fill_value=0,
        **codecs.array_codecs(settings),
        dimension_names=("time", "y", "x", "channel"),
    )
    group.create_array("valid", shape=(n,), dtype="bool", chunks=(n,), fill_value=False, dimension_names=("time",))
    times = group.create_array(
        "time",
        shape=(n,),
        dtype="int64",
        chunks=(n,),
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),  # a fifth of plain zstd's bytes, and time
        fill_value=0,
        dimension_names=("time",),
        attributes={
            "units": "nanoseconds since 1970-01-01",
            "standard_name": "time",
            "calendar": "proleptic_gregorian",
        },
    )
    times[:] = slot_times(plan.grid)
    with warnings.catch_warnings():
        # Readers ask for consolidated metadata first; zarr warns that its form in format 3 is not in the standard yet.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(MemoryStore(objects))
    parts = {key: data.to_bytes() for key, data in objects.items()}
    # Not with the other attributes: zarr copies and writes them four times over, and a night has thousands of files.
    described = json.loads(parts["zarr.json"])
    described["attributes"]["sources"] = [{"url": s.url, "etag": s.etag, "start_ns": s.start_ns} for s in plan.segments]
    parts["zarr.json"] = canonical_json(described, indent=None)
    for key in sorted(parts, key=lambda k: (k.count("/"), k)):
        storage.write(storage.join(url, key), parts[key])
    storage.write(ready, canonical_json({"shards": plan.shards, "slots": plan.planned_slots}))


def write_shard(item: WorkItem, shard: Shard, frames: NDArray[np.uint8]) -> tuple[str, int]:
    """Write a whole shard as one object; returns its sha256 and size.

    Args:
        frames: uint8 [shard.count, h, w, 3]; invalid slots are zero.

    Raises:
        StoreError: if the block is not exactly one shard: smaller writes would lose each other's frames silently.
    """
    store = HashingStore(frames_url(item.run_url))
    array = _open_array(store, "frames")
    if (
        array.shards is None
        or frames.dtype != np.uint8
        or shard.first != shard.index * array.shards[0]
        or frames.shape != (shard.count, *array.shape[1:])
        or shard.count != min(array.shards[0], array.shape[0] - shard.first)
    ):
        raise StoreError(
            f"{item.run_url}: slots {shard.first}+{shard.count} {frames.shape} are no whole shard of "
            f"{array.shards} in {array.shape}; remove the run's folder and start again"
        )
    array[shard.first : shard.first + shard.count] = frames
    if len(store.written) != 1:
        raise StoreError(f"{item.run_url}: shard {shard.index} went into {len(store.written)} objects, not one")
    return next(iter(store.written.values()))


def _open_array(store: HashingStore, path: str) -> Array[Any]:
    """An array of a run that stands, for writing. A night that is wholly black is not a missing one: zarr leaves out
    chunks of fill value unless told, and its global setting would be shared by all threads."""
    try:
        return zarr.open_array(store, path=path, mode="r+", zarr_format=3).with_config({"write_empty_chunks": True})
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise StoreError(f"{store.url}: not laid out ({error}); remove the run and start the night again") from error


def shard_object(run_url: str, shard: int) -> str:
    """URL of a shard's object."""
    return storage.join(frames_url(run_url), "frames", "c", str(shard), "0", "0", "0")


def receipt_url(run_url: str, shard: int, suffix: str) -> str:
    """Where a shard's receipt (`json`) and rows (`parquet`) stand."""
    return storage.join(run_url, "receipts", f"{shard:06d}.{suffix}")


def write_receipt(run_url: str, receipt: Receipt, rows: pd.DataFrame) -> None:
    """Store a finished shard's rows, then its receipt with their checksum."""
    data = parquet_bytes(rows)
    storage.write(receipt_url(run_url, receipt.shard, "parquet"), data)
    receipt = replace(receipt, rows_sha256=hashlib.sha256(data).hexdigest())
    storage.write(receipt_url(run_url, receipt.shard, "json"), canonical_json(asdict(receipt)))


def canonical_json(value: dict[str, Any], indent: int | None = 1) -> bytes:
    """JSON with sorted keys, fractions as "n/d", one trailing newline: equal values, equal bytes.

    Args:
        indent: None for what is long: indenting takes five times as long.
    """
    return (json.dumps(value, sort_keys=True, indent=indent, default=str) + "\n").encode()


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def done_shards(run_url: str) -> set[int]:
    """Shards of a run that have a receipt."""
    folder = storage.join(run_url, "receipts")
    return {int(n.removesuffix(".json")) for n in listing.names(folder) if n.endswith(".json") and n[:-5].isdecimal()}


def read_receipt(run_url: str, shard: int) -> Receipt:
    """A shard's receipt. Raises StoreError if it is damaged."""
    url = receipt_url(run_url, shard, "json")
    try:
        fields = json.loads(storage.read(url))
        return Receipt(
            int(fields["shard"]),
            str(fields["sha256"]),
            int(fields["size"]),
            tuple((int(a), int(b)) for a, b in fields["valid"]),
            tuple((str(u), int(c)) for u, c in fields["sources"]),
            tuple(Problem(**p) for p in fields["problems"]),
            str(fields["rows_sha256"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise StoreError(f"{url}: not a receipt ({error}); remove it and run the night again") from error


def read_rows(run_url: str, shard: int, pictures: bool = False) -> pd.DataFrame:
    """A shard's quality rows; with `pictures`, also the JPEGs of the slots that have them.

    Raises:
        StoreError: if they are missing or damaged.
    """
    url, receipt = (receipt_url(run_url, shard, suffix) for suffix in ("parquet", "json"))
    table = _read_table(url, f"remove {receipt} and run the night again")
    return table if pictures else table.drop(columns=list(PICTURE_COLUMNS), errors="ignore")


def preview_url(run_url: str) -> str:
    """Where a published run's preview stands."""
    return storage.join(run_url, "preview.mp4")


def quality_url(run_url: str) -> str:
    """Where a published run's quality rows stand."""
    return storage.join(run_url, "quality.parquet")


def read_quality(run_url: str, frames: int = 0) -> pd.DataFrame:
    """All quality rows of a published run, none for a night without a frame.

    Args:
        frames: that the night has, where that is known: of a night that has some, no rows are damage.

    Raises:
        StoreError: if they are damaged.
    """
    url = quality_url(run_url)
    if not frames and not storage.exists(url):
        return pd.DataFrame(columns=["slot", "time_ns"])
    return _read_table(url, "remove the night's manifest.json and run the night again")


def _read_table(url: str, next_step: str) -> pd.DataFrame:
    try:
        data = storage.read(url)
    except FileNotFoundError as error:
        raise StoreError(f"{url}: no quality rows ({error}); {next_step}") from error
    try:
        rows = pq.read_metadata(io.BytesIO(data)).num_rows
        if rows > MOST_ROWS:
            raise ValueError(f"{rows} rows; a night has at most {MOST_ROWS}")
        return pd.read_parquet(io.BytesIO(data))
    except Exception as error:  # damage in what pandas notes of its columns raises whatever it leads to
        raise StoreError(f"{url}: no quality rows ({type(error).__name__}: {error}); {next_step}") from error


def write_valid(run_url: str, slots: int, receipts: Iterable[Receipt]) -> int:
    """Store which slots hold a frame, in one object; returns how many do."""
    valid = np.zeros(slots, bool)
    for receipt in receipts:
        for first, count in receipt.valid:
            valid[first : first + count] = True
    _open_array(HashingStore(frames_url(run_url)), "valid")[:] = valid
    return int(valid.sum())


def runs_of(slots: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Ascending slot numbers as runs (first, count)."""
    runs: list[tuple[int, int]] = []
    for slot in slots:
        if runs and slot == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((slot, 1))
    return tuple(runs)


def manifest_url(store: str, camera: str, night: str) -> str:
    """Where a camera's night is published."""
    return storage.join(store, "enhanced", camera, night, "manifest.json")


def sealed(manifest: dict[str, Any]) -> bytes:
    """A manifest as it is stored: with the checksum of all the rest of it."""
    return canonical_json(manifest | {"checksum": _checksum(manifest)})


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json({k: v for k, v in manifest.items() if k != "checksum"})).hexdigest()


def _is_sealed(data: bytes, manifest: dict[str, Any]) -> bool:
    """Whether a stored manifest's checksum is that of all the rest of it.

    The bytes as they are stored tell it at once; a night of ten-second files takes a second to be encoded anew.
    """
    told: object = manifest["checksum"]
    rest = data.replace(f' "checksum": {json.dumps(told)},\n'.encode(), b"", 1)
    return told == hashlib.sha256(rest).hexdigest() or told == _checksum(manifest)


def read_manifest(store: str, camera: str, night: str) -> dict[str, Any] | None:
    """A camera's published night, None where there is none.

    Its URLs are made anew from where it was found, so that none leads out of the store, and a store may be moved.

    Raises:
        StoreError: if it is damaged.
    """
    url = manifest_url(store, camera, night)
    try:
        data = storage.read(url)
        manifest = json.loads(data)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{url}: not a manifest ({error}); remove it and run the night again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != MANIFEST_FORMAT or _MANIFEST_KEYS - set(manifest):
        raise StoreError(f"{url}: not a manifest of format {MANIFEST_FORMAT}; remove it and run the night again")
    run = manifest["run"]
    if not isinstance(run, str) or not run or "/" in run or run.startswith("."):
        raise StoreError(f"{url}: names no run of this night; remove it and run the night again")
    if manifest.get("checksum") and not _is_sealed(data, manifest):
        raise StoreError(f"{url}: its checksum does not fit, it was changed; remove it and run the night again")
    run_url = storage.join(store, "enhanced", camera, night, run)
    manifest["frames_url"] = frames_url(run_url)
    if manifest.get("preview_url"):
        manifest["preview_url"] = preview_url(run_url)
    return manifest


class Manifests:
    """The manifests of one night, each read when it is first asked for and never again: what is told of a camera is of
    one run, whatever is published meanwhile."""

    def __init__(self, store: str, night: str) -> None:
        self.store, self.night = store, night
        self._read: dict[str, dict[str, Any] | StoreError | None] = {}

    def of(self, camera: str) -> dict[str, Any] | None:
        """As `read_manifest`."""
        if camera not in self._read:
            try:
                self._read[camera] = read_manifest(self.store, camera, self.night)
            except StoreError as error:
                self._read[camera] = error
        found = self._read[camera]
        if isinstance(found, StoreError):
            raise found.with_traceback(None)  # or it would grow by every time
        return found
