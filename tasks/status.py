"""What is done: the nights that a store holds, published or under way, from the store alone."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks import storage, store

PUBLISHED, UNDER_WAY, DAMAGED = "published", "under way", "damaged"


@dataclass(frozen=True)
class NightStatus:
    """One camera's night in the store."""

    camera: str
    night: str
    state: str
    """`PUBLISHED`, `UNDER_WAY` (which a cancelled night is as well) or `DAMAGED`."""
    shards_done: int
    shards: int
    frames: int = 0
    coverage: float = 0.0
    problems: int = 0


def list_nights(store_url: str, night: str | None = None, cameras: list[str] | None = None) -> list[NightStatus]:
    """Every camera's night in the store, by camera and night; of one night or of some cameras on request."""
    root = storage.join(storage.normalise(store_url), "enhanced")
    found = []
    for camera in storage.names(root):
        if cameras and camera not in cameras:
            continue
        for name in storage.names(storage.join(root, camera)):
            if night in (None, name):
                found += _status(storage.normalise(store_url), camera, name)
    return found


def _status(store_url: str, camera: str, night: str) -> list[NightStatus]:
    try:
        manifest = store.read_manifest(store_url, camera, night)
    except store.StoreError:
        return [NightStatus(camera, night, DAMAGED, 0, 0)]
    statuses = []
    if manifest is not None and not (isinstance(manifest["shards"], list) and isinstance(manifest["problems"], list)):
        return [NightStatus(camera, night, "damaged", 0, 0)]
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
            )
        )
    folder = storage.join(store_url, "enhanced", camera, night)
    for run in storage.names(folder):
        if run == "manifest.json" or (manifest is not None and run == manifest["run"]):
            continue
        done, wanted = progress(storage.join(folder, run))
        if wanted and (manifest is None or done < wanted):
            statuses.append(NightStatus(camera, night, UNDER_WAY, done, wanted))
    return statuses


def progress(run_url: str) -> tuple[int, int]:
    """Shards of a run that are stored, and that are wanted (0: the run is not laid out)."""
    try:
        wanted = int(json.loads(storage.read(storage.join(run_url, "ready.json")))["shards"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0, 0
    return len(store.done_shards(run_url)), wanted
