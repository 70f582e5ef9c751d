"""The sensor for new GoPro footage, for stores that send no event themselves.

look below the upload URL -> tell each new, finished clip once -> remember it

Run every few minutes. A clip is finished when two looks in a row found it the same (`tasks.landed`).
"""

from __future__ import annotations

import logging
from dataclasses import replace

from prefect import flow

from flows.events import FOOTAGE_LANDED, send
from flows.logs import one_line
from flows.object_store import use_block
from tasks import landed, storage
from tasks.logs import show_in_prefect

log = logging.getLogger("lednet")


@flow(name="watch-gopro")
def watch_gopro(upload: str, store_url: str) -> list[str]:
    """Tell Prefect of GoPro clips that have landed; returns the URLs of their files.

    Each clip is one event `gopro.footage.landed` with the payload footage (URLs in order of the chapters), clip, upload
    and store_url. It is remembered after it is told: a crash in between tells it again, under the same event id.

    Args:
        upload: where the clips are put, as a path or URL; everything below it is looked at.
        store_url: where it is remembered what was seen, as a path or URL.
    """
    show_in_prefect()
    use_block()
    upload, store_url = storage.normalise(upload), storage.normalise(store_url)
    memory = landed.state_url(store_url, upload)
    before = landed.read_seen(memory)
    clips, seen = landed.look(upload, before)
    for name, clip in seen.items():
        if clip.waiting and (name not in before or before[name].waiting != clip.waiting):
            log.info("%s/%s is not told yet: %s", upload, one_line(name), one_line(clip.waiting))
    for finished in clips:
        payload = {"footage": finished.files, "clip": finished.name, "upload": upload, "store_url": store_url}
        send(FOOTAGE_LANDED, f"gopro.clip.{finished.name}", payload, key=f"{upload} {finished.key}")
        seen[finished.name] = replace(seen[finished.name], told=finished.key)
        landed.write_seen(memory, upload, seen)
        log.info("%s/%s has landed: %d files", upload, finished.name, len(finished.files))
    if seen != before:
        landed.write_seen(memory, upload, seen)
    return [url for finished in clips for url in finished.files]
