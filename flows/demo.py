"""The demo: a drawn and filmed archive of two cameras, put through the very flows that a site runs.

film the archive -> enhance the night -> report with the known truth beside it
"""

from __future__ import annotations

import logging
from pathlib import Path

from flows.night_commands import run_night, show_outcomes
from flows.options import DONE, FAILED
from flows.screen import screen
from tasks import storage, store
from tasks.demo import build_demo_archive
from tasks.sheet import before_after

log = logging.getLogger("lednet")


def run_demo(folder: Path) -> int:
    """Run the demo in a folder; returns 0 when every camera's night is published and the report is written."""
    log.info("filming two drawn cameras by night into %s", folder / "archive")
    sample = build_demo_archive(folder / "archive")
    log.info("enhancing the night of %s", sample.night)
    truths = {camera: storage.normalise(str(path)) for camera, path in sample.truth.items()}
    store_url = storage.normalise(str(folder / "store"))
    outcomes, report = run_night(
        sample.night, str(sample.cameras_toml), str(sample.archive), store_url, None, report=True, truths=truths
    )
    show_outcomes(outcomes, "")
    manifests = [m for o in outcomes if (m := store.read_manifest(store_url, o.camera, sample.night)) is not None]
    out = screen()
    for manifest in manifests:
        out.print(f"frames of {manifest['camera']['id']:10}", manifest["frames_url"])
    picture = before_after(manifests)
    if picture is not None:
        storage.write(storage.normalise(str(folder / "before_after.jpg")), picture)
        out.print("before and after     ", folder / "before_after.jpg")
    out.print("The broken file is part of the demo: it is quarantined, the rest of its camera's night is restored.")
    out.print("report               ", report)
    return DONE if all(o.status in ("published", "already published") for o in outcomes) else FAILED
