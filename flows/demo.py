"""The demo: a drawn and filmed archive of two cameras, put through the very flows that a site runs.

film the archive -> enhance the night -> report with the known truth beside it
"""

from __future__ import annotations

import logging
from pathlib import Path

from rich.console import Console

from flows import cli
from tasks import storage
from tasks.demo import build_demo_archive

log = logging.getLogger("lednet")


def run_demo(folder: Path, console: Console) -> int:
    """Run the demo in a folder; returns 0 when every camera's night is published and the report is written."""
    log.info("filming two drawn cameras by night into %s", folder / "archive")
    sample = build_demo_archive(folder / "archive")
    log.info("enhancing the night of %s", sample.night)
    truths = {camera: storage.normalise(str(path)) for camera, path in sample.truth.items()}
    store = folder / "store"
    outcomes, report = cli.run_night(
        sample.night, str(sample.cameras_toml), str(sample.archive), str(store), None, report=True, truths=truths
    )
    cli.show_outcomes(outcomes, "")
    out = Console()
    for outcome in outcomes:
        if outcome.manifest_url:
            run = cli.published_run(outcome.manifest_url)
            out.print(f"frames  {outcome.camera:10}", run, soft_wrap=True)
    out.print("The broken file is part of the demo: it is quarantined, the rest of its camera's night is restored.")
    out.print("report ", report, soft_wrap=True)
    return cli.DONE if all(o.manifest_url for o in outcomes) else cli.FAILED
