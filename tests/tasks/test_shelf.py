"""Plans put aside and taken back: the same, at every rate."""

from __future__ import annotations

from pathlib import Path

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
