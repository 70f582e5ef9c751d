"""What may go from a store: runs that nobody needs any more, and what killed writers left.

Covers runs beside a newer published one (superseded), runs that were never published, and unfinished objects, all only
when nothing of them was written for some days. Never covered: a published run, a night whose manifest can't be read,
reports, pairs, models.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tasks import lease, listing, storage, store

OLDER_THAN_DAYS = 7.0
"""What was written since is left alone: a night may be under way, or waiting for late footage."""


class InUseError(RuntimeError):
    """A run that was to go is in use; the message says by whom."""


@dataclass(frozen=True)
class Garbage:
    """Something that may go."""

    url: str
    kind: str
    """`superseded run`, `unpublished run` or `unfinished object`."""
    objects: int
    bytes: int
    days: float
    """Since the last write to it."""
    entry: listing.Entry | None = None
    """The object, where it is unfinished."""
    night: tuple[str, str, str] | None = None
    """Store, camera and night of a run."""


def find_garbage(store_url: str, older_than_days: float = OLDER_THAN_DAYS) -> Iterator[Garbage]:
    """What may go, by place; deletes nothing."""
    root = storage.join(store_url, "enhanced")
    now = time.time()
    for camera in listing.names(root):
        for night in listing.names(storage.join(root, camera)):
            for run in _old_runs(store_url, camera, night, now):
                if run.days >= older_than_days:
                    yield run
    for entry in listing.unfinished(store_url):
        days = (now - entry.modified_s) / 86_400
        if days >= older_than_days:
            yield Garbage(entry.url, "unfinished object", 1, entry.size, days, entry)


def _old_runs(store_url: str, camera: str, night: str, now: float) -> Iterator[Garbage]:
    try:
        manifest = store.read_manifest(store_url, camera, night)
    except store.StoreError:
        return  # which of its runs is the published one can't be known
    folder = storage.join(store_url, "enhanced", camera, night)
    beat = lease.last_beat_s(folder)
    for run in listing.names(folder):
        if run.endswith(".json") or (manifest is not None and run == manifest["run"]):
            continue
        entries = list(listing.find(storage.join(folder, run)))
        if entries:
            kind = "unpublished run" if manifest is None else "superseded run"
            days = (now - max(beat, *(e.modified_s for e in entries))) / 86_400
            yield Garbage(storage.join(folder, run), kind, len(entries), sum(e.size for e in entries), days,
                          night=(store_url, camera, night))  # fmt: skip


def remove(garbage: Garbage) -> None:
    """Delete it. Of a run the word that it is laid out goes first and the receipts next: killed half-way, it is a run
    that the next one lays out again and whose shards it does again; never one whose receipts name shards that are gone.

    How old something is, is told by clocks, and clocks are set wrong at times. So a run goes only under its night's
    lease and by its manifest as it stands then: nobody is at work on it, and it was not published meanwhile. That
    lease is looked at before every object, for a process that was suspended may have lost it.

    Raises:
        InUseError: if somebody is at work on its night, or it is published now; nothing is deleted.
    """
    if garbage.entry is not None:
        listing.remove_unfinished(garbage.entry)
        return
    assert garbage.night is not None
    store_url, camera, night = garbage.night
    try:
        with lease.held(lease.folder(store_url, camera, night)) as held:
            manifest = store.read_manifest(store_url, camera, night)
            if manifest is not None and garbage.url.endswith(f"/{manifest['run']}"):
                raise InUseError(f"{garbage.url}: was published meanwhile")
            _remove_run(garbage.url, held)
    except (lease.HeldError, store.StoreError) as error:
        raise InUseError(f"{garbage.url}: {error}") from error


def _remove_run(url: str, held: lease.Lease) -> None:
    entries = list(listing.find(url))
    for entry in sorted(entries, key=lambda e: (not e.url.endswith("/ready.json"), "/receipts/" not in e.url)):
        held.check()
        storage.remove(entry.url)
    listing.remove_empty_folders(url)
