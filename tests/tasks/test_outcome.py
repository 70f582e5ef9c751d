"""What a report is told of a night that is not published: still under way, given up, or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks import lease, storage, store
from tasks.enhance import enhance_item
from tasks.outcome import stored_outcome
from tasks.publish import publish
from tests.tasks.night import NIGHT, Site, make_site, pictures, write_clip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A night of four shards in two work items, three of the shards stored."""
    site = make_site(tmp_path, (20, 4))
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    enhance_item(planned.items[0], site.settings)
    return site


def folder(site: Site) -> str:
    return lease.folder(site.store, "pit", NIGHT)


def test_a_night_that_somebody_is_at_work_on_is_under_way(site: Site) -> None:
    with lease.held(folder(site)):
        outcome = stored_outcome(site.store, "pit", NIGHT)
    assert (outcome.status, outcome.done, outcome.manifest_url) == ("under way", 0.75, "")


def test_one_that_was_given_up_is_not(site: Site) -> None:
    outcome = stored_outcome(site.store, "pit", NIGHT)
    assert outcome.status == "partial"
    assert "1 of 4 shards are not stored and nobody is at work; run the night again" in outcome.reason


def test_one_that_only_lacks_its_manifest_says_so(site: Site) -> None:
    enhance_item(site.plan().items[1], site.settings)
    reason = stored_outcome(site.store, "pit", NIGHT).reason
    assert reason == "it is not published and nobody is at work; run the night again to finish it"


def test_one_that_is_published_while_it_is_looked_at_is_published(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = site.plan()
    enhance_item(planned.items[1], site.settings)

    def published_just_now(_: str) -> bool:
        publish(planned, site.store, site.settings)
        return False

    monkeypatch.setattr(lease, "is_held", published_just_now)
    assert stored_outcome(site.store, "pit", NIGHT).status == "published"


def test_a_planned_night_is_under_way_and_nothing_of_it_done(tmp_path: Path) -> None:
    root = storage.normalise(str(tmp_path))
    with lease.held(lease.folder(root, "pit", NIGHT)):
        outcome = stored_outcome(root, "pit", NIGHT)
    assert (outcome.status, outcome.done) == ("under way", 0.0)
    assert stored_outcome(root, "pit", NIGHT).status == "not published"


def test_a_published_night_tells_how_far_the_one_to_replace_it_is(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    published = site.run()
    write_clip(site.footage("220004.mp4"), pictures(8))
    store.create_run(site.plan(), site.settings, "0")
    with lease.held(folder(site)):
        assert stored_outcome(site.store, "pit", NIGHT) == replace(published, done=0.0)
    assert stored_outcome(site.store, "pit", NIGHT) == published


def test_a_lease_from_elsewhere_counts_while_it_is_renewed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write(f"{folder(site)}/lease.1.json", b'{"machine": "another", "pid": 1, "host": "far", "beat": 1}')
    assert stored_outcome(site.store, "pit", NIGHT).status == "under way"
    monkeypatch.setattr(lease, "QUIET_S", -1.0)
    assert stored_outcome(site.store, "pit", NIGHT).status == "partial"


def test_a_damaged_manifest_is_told_with_its_reason(site: Site) -> None:
    storage.write(store.manifest_url(site.store, "pit", NIGHT), b"{}")
    outcome = stored_outcome(site.store, "pit", NIGHT)
    assert outcome.status == "damaged"
    assert "not a manifest" in outcome.reason
