"""A clock that is set while a night is at work spoils nothing: what is planned and stored does not depend on it.

The clock is Python's, changed at every reading. Leases are in `test_lease`, collecting garbage in `test_collect`.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from datetime import UTC, datetime, timedelta

import pytest

from tasks import nights, store
from tasks.enhance import enhance_item
from tasks.nights import night_date
from tasks.publish import publish
from tests.tasks.night import CAMERA, NIGHT, Site, files, make_site

JUMPS_S = (-400 * 86_400, -3_600, -1, 0, 1, 3_600, 400 * 86_400)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("clock"), (10, 8))


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> dict[str, bytes]:
    """What a night stores by a clock that nobody touches."""
    site.run()
    stored = files(site.folder)
    shutil.rmtree(site.folder)
    return stored


def test_a_night_by_a_clock_that_jumps_at_every_look_is_the_night(
    site: Site, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, real = random.Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: real() + rng.choice(JUMPS_S))
    site.run()
    assert files(site.folder) == undisturbed


@pytest.mark.parametrize("looks", [1, 2, 4])
def test_a_clock_that_jumps_over_the_deadline_leaves_whole_shards_to_go_on_from(
    site: Site, undisturbed: dict[str, bytes], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(site.folder, ignore_errors=True)
    real, count = time.time, 0

    def jumping() -> float:
        nonlocal count
        count += 1
        return real() + (86_400 if count > looks else 0)

    plan = site.plan()
    store.create_run(plan, site.settings, "0")
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", jumping)
        for item in plan.items:
            enhance_item(item, site.settings, until_s=real() + 3_600)
    early = files(site.folder)
    assert all(undisturbed[name] == data for name, data in early.items())
    assert publish(plan, site.store, site.settings).status == "partial"
    for item in plan.items:
        enhance_item(item, site.settings, until_s=math.inf)
    assert publish(plan, site.store, site.settings).status == "published"
    assert files(site.folder) == undisturbed


def test_the_last_night_is_told_by_one_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    night = datetime.fromisoformat(NIGHT).replace(hour=23, tzinfo=UTC)

    class Jumping(datetime):
        """Half a year later at every look."""

        looks = 0

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            cls.looks += 1
            return night + timedelta(days=180 * (cls.looks - 1))

    monkeypatch.setattr(nights, "datetime", Jumping)
    assert night_date("last", [CAMERA] * 3) == NIGHT
    assert Jumping.looks == 1
