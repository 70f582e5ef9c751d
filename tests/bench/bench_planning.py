"""Planning a large site: `python -m tests.bench.bench_planning [CAMERAS] [--keep]`.

Plans a night of 12 hours of 10-second files, 4,320 objects a camera, for CAMERAS cameras one after the other, as
`flows.enhance_night` does: listing, names to times, grid, shards, run key, the plan put on the shelf, and the run laid
out in a folder. Then every plan is taken from the shelf and its work items made, as they are to be fed to the workers.
Prints CPU seconds and peak memory, and both for 1,000 cameras (4.3 million objects). `--keep` holds all plans at once,
which is what the flow once did. The listing is made up, so that the time is the planner's and not a store's: an S3
server tells 1,000 objects an answer, so 4,320 answers of some 50 ms add less than four minutes where one thread asks.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from tempfile import TemporaryDirectory
from unittest import mock

from lednet import __version__
from tasks import listing
from tasks.collector import new_objects_alone
from tasks.decode import Header
from tasks.plan import plan_night
from tasks.settings import NightSettings
from tasks.shelf import PlanShelf
from tasks.store import create_run
from tasks.types import Camera, NightPlan

NIGHT = "2026-01-15"
SECONDS = 10
HOURS = 12
SITE = 1_000
BEGIN = datetime(2026, 1, 15, 18)


def made_up(url: str, _deep: int | None = None) -> Iterator[listing.Entry]:
    """What an archive holds of a camera on one day: a file every ten seconds of its night."""
    day = datetime.strptime(url.rpartition("/")[2], "%Y-%m-%d").date()
    for k in range(HOURS * 3600 // SECONDS):
        at = BEGIN + timedelta(seconds=SECONDS * k)
        if at.date() == day:
            yield listing.Entry(f"{url}/{at:%H-%M-%S}.mp4", 2_500_000 + k, f"{k:032x}")


def camera(k: int) -> Camera:
    pattern = f"camera-{k:04d}/%Y-%m-%d/%H-%M-%S.mp4"
    return Camera(f"camera-{k:04d}", f"Camera {k}", "outdoor", "UTC", pattern, Fraction(25), segment_s=SECONDS)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cameras", nargs="?", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="hold every plan until the end")
    options = parser.parse_args()
    header = Header(float(SECONDS), None, 1920, 1080, 25.0)
    settings = NightSettings()
    kept: list[NightPlan] = []
    with (
        TemporaryDirectory(prefix="lednet-bench-") as folder,
        mock.patch.object(listing, "find", made_up),
        PlanShelf("file:///archive", f"file://{folder}", settings) as shelf,
        new_objects_alone(),
    ):
        places = ("file:///archive", f"file://{folder}", settings)
        plan_night(camera(0), NIGHT, *places, lambda _: header)  # reads the weights
        before, planning, laying, objects, items, shelved = peak_mb(), 0.0, 0.0, 0, 0, []
        for k in range(options.cameras):
            started = time.process_time()
            plan = plan_night(camera(k), NIGHT, *places, lambda _: header)
            shelved.append(shelf.put(plan))
            planning += time.process_time() - started
            objects, items = objects + len(plan.segments), items + len(plan.items)
            started = time.process_time()
            create_run(plan, settings, __version__)
            laying += time.process_time() - started
            if options.keep:
                kept.append(plan)
        started = time.process_time()
        assert items == sum(1 for place in shelved for _ in shelf.get(place).items)
        feeding = time.process_time() - started
    grown = peak_mb() - before
    parts = {
        "planning": planning,
        "laying out the runs": laying,
        "making the work items, while the night runs": feeding,
    }
    print(f"{options.cameras} cameras, {objects:,} objects, {items:,} work items")
    for name, seconds in parts.items():
        each = seconds / options.cameras
        print(f"{name}: {each:.3f} s of CPU a camera, {each * SITE / 60:.1f} min for {SITE:,} cameras")
    print(f"peak memory {peak_mb():.0f} MB, {grown:.0f} MB of it since the first camera")
    many = SITE / options.cameras
    site = f"{SITE:,} cameras, {objects * many:,.0f} objects, {items * many:,.0f} work items"
    memory = before + grown * (many if options.keep else 1)
    print(f"{site}: {(planning + laying) * many / 60:.1f} min of CPU before the last is begun, {memory:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
