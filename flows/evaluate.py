"""The morning's report: what a night's store holds, compared and drawn.

find the published nights -> compare with the truth where one is known -> write page and tables
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import flow
from prefect.artifacts import create_link_artifact

from tasks import storage, store
from tasks.evaluate import against_truth
from tasks.logs import show_in_prefect
from tasks.nights import night_date
from tasks.publish import summary
from tasks.report import Truth, write_report
from tasks.site import read_site
from tasks.types import CameraNight


@flow(name="evaluate")
def evaluate(
    night: str, site: str, store_url: str, outcomes: Sequence[CameraNight] = (), truths: Mapping[str, str] | None = None
) -> str:
    """Write the report of a night; returns its URL.

    Args:
        night: local date on which the night starts, YYYY-MM-DD; `last` for the latest that has ended.
        site: path or URL of cameras.toml.
        store_url: where results are, as a path or URL.
        outcomes: what `enhance_night` returned; by default what the store says of the site's cameras.
        truths: camera id -> URL of its true frames, where those are known.
    """
    show_in_prefect()
    described, store_url = read_site(site), storage.normalise(store_url)
    night = night_date(night, described.cameras)
    known = {camera.id: camera for camera in described.cameras}
    outcomes = outcomes or [stored_outcome(store_url, camera, night) for camera in known]
    figures = {}
    for camera, url in (truths or {}).items():
        manifest = store.read_manifest(store_url, camera, night)
        if manifest is not None:
            rows = against_truth(manifest, known[camera], url, described.settings.most_pixels)
            figures[camera] = Truth(url, rows)
    url = write_report(night, store_url, outcomes, figures)
    create_link_artifact(url, key="report", description=f"Report of the night of {night}")
    return url


def stored_outcome(store_url: str, camera: str, night: str) -> CameraNight:
    """What the store says of a camera's night."""
    manifest = store.read_manifest(store_url, camera, night)
    if manifest is None:
        return CameraNight(camera, "not published", "the store holds no manifest of it; run the night")
    return summary(manifest, "published", store_url)
