"""What the store says of one camera's night, for a report that is drawn while others may still be at work on it.

Covers the outcome, and whose nights there are beside the site's cameras. Not covered: every night of a store
(`tasks.status`), and who may work on one (`tasks.lease`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction

from tasks import lease, listing, storage, store
from tasks.publish import summary
from tasks.status import aimed_at, unfinished
from tasks.types import Camera, CameraNight

log = logging.getLogger(__name__)


def stored_outcome(store_url: str, camera: str, night: str, manifests: store.Manifests | None = None) -> CameraNight:
    """Published, under way, given up half-way (`partial`), `damaged`, or `not published`.

    A published night that is about to be replaced, by a finer pass or because footage came late, is published; its
    `done` says how far that is.

    Args:
        manifests: of this night, to read this camera's from; by default it is read anew.
    """
    manifests = manifests or store.Manifests(store_url, night)
    folder = lease.folder(store_url, camera, night)
    held = lease.is_held(folder)  # first: whoever publishes and leaves meanwhile must not look as if he gave up
    try:
        manifest = manifests.of(camera)
    except store.StoreError as error:
        return CameraNight(camera, "damaged", str(error))
    done, wanted = aimed_at(unfinished(folder, manifest["run"] if manifest else ""))
    if manifest:
        published = summary(manifest, "published", store_url)
        return replace(published, done=done / wanted) if held and wanted else published
    if held:
        return CameraNight(camera, "under way", done=done / wanted if wanted else 0.0)
    if wanted:
        missing = f"{wanted - done} of {wanted} shards are not stored" if done < wanted else "it is not published"
        return CameraNight(camera, "partial", f"{missing} and nobody is at work; run the night again to finish it")
    return CameraNight(camera, "not published", "the store holds no manifest of it; run the night")


def former_cameras(manifests: store.Manifests, known: Collection[str]) -> list[Camera]:
    """Cameras of which this night is published and that cameras.toml no longer names, as their manifests describe them.

    Theirs are the night's pictures and figures too: a report that is drawn anew must not lose them. A manifest that
    can't be read is told, and left out.

    Args:
        known: ids of the cameras that it names.
    """
    found = []
    for name in listing.names(storage.join(manifests.store, "enhanced")):
        if name in known:
            continue
        try:
            manifest = manifests.of(name)
            if manifest is not None:
                told = manifest["camera"]
                identity, called, scene, zone = (str(told[key]) for key in ("id", "name", "scene", "timezone"))
                pattern, rate = str(told.get("pattern", "")), Fraction(told["rate"])
                if identity != name:  # a folder that somebody copied or renamed: that camera would stand there twice
                    raise ValueError(f"it is that of {identity}; name the folder so, or move a copy elsewhere")
                found.append(Camera(identity, called, scene, zone, pattern, rate))
        except (store.StoreError, LookupError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
            url = store.manifest_url(manifests.store, name, manifests.night)
            log.warning("%s: of a camera that cameras.toml no longer names; not in the report (%s)", url, error)
    return found
