"""A night of 3,000 files on an object store, which lists a thousand at a time: each is planned, and each is used.

The archive is filled past HTTP, which would take its time; all that the night itself asks and writes goes over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from tasks.plan import plan_night
from tasks.settings import NightSettings
from tasks.types import Camera, NightPlan
from tests.chaos.night import ARCHIVE, BUCKET, STORE, backend
from tests.tasks import night
from tests.tasks.night import Site, s3_bucket

FILES, SECONDS = 3000, 10
CAMERA = Camera(
    "pit", "Pit", "outdoor", "UTC", "pit/%Y-%m-%d/%H%M%S.mp4", Fraction(1, SECONDS), "20:00", "04:20", segment_s=SECONDS
)
"""A night of as many slots as there are files; one file fills each."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("many")
    clip = night.write_clip(folder / "clip.mp4", night.pictures(2)).read_bytes()
    with s3_bucket():
        for second in range(0, FILES * SECONDS, SECONDS):
            day, clock = ("15", 20 * 3600 + second) if second < 4 * 3600 else ("16", second - 4 * 3600)
            name = f"2026-01-{day}/{clock // 3600:02}{clock // 60 % 60:02}{clock % 60:02}.mp4"
            backend().put_object(BUCKET, f"archive/pit/{name}", clip)
        settings = NightSettings(checkpoint=night.save_checkpoint(folder), shard_least=100, shard_most=100)
        yield Site(ARCHIVE, STORE, replace(settings, preview_pictures=8, preview_width=48))


def plan(site: Site) -> NightPlan:
    return plan_night(CAMERA, night.NIGHT, site.archive, site.store, site.settings)


def test_every_file_is_planned_in_the_order_of_time(site: Site) -> None:
    planned = plan(site)
    starts = [planned.grid.start_ns + k * SECONDS * 10**9 for k in range(FILES)]
    assert [s.start_ns for s in planned.segments] == starts
    assert (planned.problems, planned.gaps, planned.planned_slots) == ((), (), FILES)


@pytest.mark.slow
def test_every_file_is_restored_and_the_night_published(site: Site) -> None:
    outcome = night.run_night(site.archive, site.store, site.settings, CAMERA)
    assert (outcome.status, outcome.frames, outcome.coverage, outcome.quarantined) == ("published", FILES, 1.0, 0)
