"""What is done: the nights that a store holds, published, under way or given up half-way, from the store alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tasks import lease, listing, storage, store

PUBLISHED, UNDER_WAY, STOPPED, DAMAGED = "published", "under way", "stopped", "damaged"


@dataclass(frozen=True)
class NightStatus:
    """One camera's night in the store."""

    camera: str
    night: str
    state: str
    """`PUBLISHED`, `UNDER_WAY`, `STOPPED` (begun, and nobody is at work on it) or `DAMAGED`."""
    shards_done: int
    shards: int
    frames: int = 0
    coverage: float = 0.0
    problems: int = 0
    every: int = 1
    """Of a published night: one slot in so many is restored, more than 1 after a deadline."""
    fuller: tuple[int, int] = (0, 0)
    """Of a coarse one: shards that the run which is to take its place has stored, and wants; (0, 0): none is begun."""
    at_work: bool = False
    """Whether somebody holds the night's lease; over a published one too, to put another run in its place."""


def list_nights(store_url: str, night: str | None = None, cameras: list[str] | None = None) -> list[NightStatus]:
    """Every camera's night in the store, by camera and night; of one night or of some cameras on request."""
    root = storage.join(storage.normalise(store_url), "enhanced")
    found = []
    for camera in listing.names(root):
        if cameras and camera not in cameras:
            continue
        for name in listing.names(storage.join(root, camera)):
            if night in (None, name):
                found += _status(storage.normalise(store_url), camera, name)
    return found


def _status(store_url: str, camera: str, night: str) -> list[NightStatus]:
    folder = lease.folder(store_url, camera, night)
    at_work = lease.is_held(folder)  # first: whoever publishes and leaves meanwhile must not look as if he gave up
    try:
        manifest = store.read_manifest(store_url, camera, night)
    except store.StoreError:
        return [NightStatus(camera, night, DAMAGED, 0, 0)]
    statuses = []
    every = manifest.get("every", 1) if manifest is not None else 1  # nights of older releases do not say
    whole = manifest is None or (isinstance(manifest["shards"], list) and isinstance(manifest["problems"], list))
    if not whole or not isinstance(every, int) or every < 1:
        return [NightStatus(camera, night, DAMAGED, 0, 0)]
    left = unfinished(folder, manifest["run"] if manifest else "")
    if manifest is not None:
        count = len(manifest["shards"])
        statuses.append(
            NightStatus(
                camera,
                night,
                PUBLISHED,
                count,
                count,
                manifest["frames"],
                manifest["coverage"],
                len(manifest["problems"]),
                every,
                aimed_at(left) if every > 1 else (0, 0),
                at_work,
            )
        )
    begun = UNDER_WAY if at_work else STOPPED
    return [*statuses, *(NightStatus(camera, night, begun, *run, at_work=at_work) for run in left)]


def unfinished(folder: str, published: str) -> list[tuple[int, int]]:
    """Shards that a night's unpublished runs have stored, and that they want, by the names of the runs.

    Args:
        folder: of the camera's night.
        published: the run that the manifest names, empty for none. A whole run beside it was replaced by it.
    """
    found = [
        progress(storage.join(folder, run)) for run in listing.names(folder) if run not in ("manifest.json", published)
    ]
    return [(done, wanted) for done, wanted in found if wanted and (not published or done < wanted)]


def aimed_at(left: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Of unfinished runs the one with most shards, which a night ends with; (0, 0) where there is none."""
    return max(left, key=lambda run: run[1], default=(0, 0))


def progress(run_url: str) -> tuple[int, int]:
    """Shards of a run that are stored, and that are wanted (0: the run is not laid out)."""
    try:
        wanted = int(json.loads(storage.read(storage.join(run_url, "ready.json")))["shards"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0, 0
    return len(store.done_shards(run_url)), wanted
