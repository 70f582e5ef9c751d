"""What the store says of one camera's night, for a report that is drawn while others may still be at work on it.

Covers the outcome only. Not covered: every night of a store (`tasks.status`), and who may work on one (`tasks.lease`).
"""

from __future__ import annotations

from dataclasses import replace

from tasks import lease, store
from tasks.publish import summary
from tasks.status import aimed_at, unfinished
from tasks.types import CameraNight


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
