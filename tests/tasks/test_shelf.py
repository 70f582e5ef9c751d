"""Plans put aside and taken back: the same, at every rate."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.plan import coarser
from tasks.shelf import PlanShelf
from tests.tasks import night


def test_a_plan_is_given_back_as_it_was_at_every_rate(tmp_path: Path) -> None:
    site = night.make_site(tmp_path)
    plan = site.plan()
    with PlanShelf(*site) as shelf:
        places = [shelf.put(plan), shelf.put(coarser(plan, 2, *site))]
        assert shelf.get(places[0]) == plan
        assert shelf.get(places[1]) == shelf.get(places[0], 2) == coarser(plan, 2, *site)


def test_a_plan_that_the_disk_has_no_room_for_is_told_at_once_and_costs_no_other(tmp_path: Path) -> None:
    site = night.make_site(tmp_path)
    plan = site.plan()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with PlanShelf(*site) as shelf:
        place = shelf.put(plan)
        resource.setrlimit(resource.RLIMIT_FSIZE, (sum(place) + 10, limits[1]))  # as if the disk were full then
        try:
            with pytest.raises(OSError, match="File too large"):
                shelf.put(replace(plan, night="2026-01-16"))
            assert shelf.get(place) == plan
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        after = shelf.put(replace(plan, night="2026-01-17"))
        assert (shelf.get(place), shelf.get(after).night) == (plan, "2026-01-17")
