"""A flow that only notes with what it was started: in place of one that runs for hours, in `test_events.py`."""

from __future__ import annotations

import json

from prefect import flow

from tasks import storage


@flow(name="retrain")
def note(site: str, store_url: str, footage: list[str] | None = None) -> None:
    """Write the parameters into the store."""
    started_with = {"site": site, "store_url": store_url, "footage": footage}
    storage.write(storage.join(store_url, "started.json"), json.dumps(started_with).encode())
