"""What the store says of its nights: published, under way, stopped, damaged, or nothing at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks import lease, storage, store
from tasks.enhance import enhance_item
from tasks.plan import coarser
from tasks.publish import publish
from tasks.status import STOPPED, NightStatus, list_nights, progress
from tasks.types import NightPlan
from tests.tasks.night import NIGHT, Site, enhance, make_site, pictures, write_clip

OTHER = "2026-01-16"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A published night of three shards. Only to be copied."""
    site = make_site(tmp_path_factory.mktemp("night"), (10, 4))
    site.run()
    return site


@pytest.fixture
def published(finished: Site, tmp_path: Path) -> Site:
    shutil.copytree(finished.folder, tmp_path / "store")
    return finished._replace(store=storage.normalise(str(tmp_path / "store")))


@pytest.fixture
def laid_out(tmp_path: Path) -> tuple[Site, NightPlan]:
    """A night of four shards in two work items, none of them stored."""
    site = make_site(tmp_path, (20, 4))
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    return site, planned


def test_an_empty_store_has_no_nights(tmp_path: Path) -> None:
    assert list_nights(str(tmp_path / "nowhere")) == []


def test_a_published_night_is_told_with_its_figures(published: Site) -> None:
    assert list_nights(published.store) == [NightStatus("pit", NIGHT, "published", 3, 3, 7, 7 / 35, 0)]


def test_a_store_may_be_named_by_path(published: Site) -> None:
    assert list_nights(str(published.folder)) == list_nights(published.store)


def test_a_night_under_way_is_told_with_its_shards(laid_out: tuple[Site, NightPlan]) -> None:
    site, planned = laid_out
    with lease.held(lease.folder(site.store, "pit", NIGHT)):
        assert list_nights(site.store) == [NightStatus("pit", NIGHT, "under way", 0, 4, at_work=True)]
        enhance_item(planned.items[0], site.settings)
        assert list_nights(site.store) == [NightStatus("pit", NIGHT, "under way", 3, 4, at_work=True)]


def test_a_night_that_nobody_is_at_work_on_is_not_under_way(laid_out: tuple[Site, NightPlan]) -> None:
    site, planned = laid_out
    enhance_item(planned.items[0], site.settings)
    assert list_nights(site.store) == [NightStatus("pit", NIGHT, STOPPED, 3, 4)]


def test_a_night_that_is_stored_and_not_published_is_not_done(laid_out: tuple[Site, NightPlan]) -> None:
    site, _ = laid_out
    site.enhance()
    assert list_nights(site.store) == [NightStatus("pit", NIGHT, STOPPED, 4, 4)]


@pytest.mark.parametrize("data", [b"{", b"{}", b"", b'{"format": 1}'])
def test_a_damaged_manifest_is_told(published: Site, data: bytes) -> None:
    storage.write(store.manifest_url(published.store, "pit", NIGHT), data)
    assert list_nights(published.store) == [NightStatus("pit", NIGHT, "damaged", 0, 0)]


def test_a_new_run_beside_a_published_night_is_under_way(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site.run()
    write_clip(site.footage("220004.mp4"), pictures(8))
    store.create_run(site.plan(), site.settings, "0")
    with lease.held(lease.folder(site.store, "pit", NIGHT)):
        assert [(n.state, n.shards_done, n.shards) for n in list_nights(site.store)] == [
            ("published", 2, 2), ("under way", 0, 4),
        ]  # fmt: skip


def test_somebody_is_at_work_on_a_published_night_until_the_run_in_its_place_is_published(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site.run()
    write_clip(site.footage("220004.mp4"), pictures(8))
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    with lease.held(lease.folder(site.store, "pit", NIGHT)):
        enhance(planned, site.settings)  # every shard is stored, and the preview yet to be made
        assert [(n.state, n.at_work) for n in list_nights(site.store)] == [("published", True)]
        publish(planned, site.store, site.settings)
    assert [(n.state, n.at_work) for n in list_nights(site.store)] == [("published", False)]


def test_a_night_that_is_published_while_it_is_looked_at_is_not_told_as_given_up(
    laid_out: tuple[Site, NightPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, planned = laid_out
    enhance(planned, site.settings)

    def published_just_now(_: str) -> bool:
        publish(planned, site.store, site.settings)
        return False

    monkeypatch.setattr(lease, "is_held", published_just_now)
    assert [n.state for n in list_nights(site.store)] == ["published"]


def test_a_run_that_another_has_replaced_is_not_told(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10,))
    site.run()
    write_clip(site.footage("220004.mp4"), pictures(8))
    site.run()
    assert [n.state for n in list_nights(site.store)] == ["published"]


def publish_coarse(site: Site) -> NightPlan:
    """Publish one slot in 4 of a night; returns the plan of all of them."""
    full = site.plan()
    coarse = coarser(full, 4, site.archive, site.store, site.settings)
    enhance(coarse, site.settings)
    publish(coarse, site.store, site.settings)
    return full


def test_a_coarse_night_is_told_as_such_and_how_far_the_fuller_one_is(tmp_path: Path) -> None:
    site = make_site(tmp_path, (20, 4))
    full = publish_coarse(site)
    (told,) = list_nights(site.store)
    assert (told.state, told.every, told.fuller) == ("published", 4, (0, 0))
    store.create_run(full, site.settings, "0")
    enhance_item(full.items[0], site.settings)
    told = list_nights(site.store)[0]
    assert (told.every, told.fuller) == (4, (3, 4))
    enhance(full, site.settings)
    publish(full, site.store, site.settings)
    assert [(n.every, n.fuller) for n in list_nights(site.store)] == [(1, (0, 0))]


def test_a_night_of_an_older_release_counts_as_whole_and_one_that_states_nonsense_as_damaged(published: Site) -> None:
    manifest = {k: v for k, v in published.manifest().items() if k not in ("every", "checksum")}
    url = store.manifest_url(published.store, "pit", NIGHT)
    for every, state in (({}, "published"), ({"every": "4"}, "damaged"), ({"every": 0}, "damaged")):
        storage.write(url, store.sealed(manifest | every))
        assert [(n.state, n.every) for n in list_nights(published.store)] == [(state, 1)]


def test_nights_come_by_camera_and_date_and_can_be_chosen(published: Site) -> None:
    folder = published.folder / "enhanced"
    shutil.copytree(folder / "pit" / NIGHT, folder / "pit" / OTHER)
    shutil.copytree(folder / "pit", folder / "crusher")

    def told(**chosen: object) -> list[tuple[str, str]]:
        return [(n.camera, n.night) for n in list_nights(published.store, **chosen)]  # type: ignore[arg-type]

    assert told() == [("crusher", NIGHT), ("crusher", OTHER), ("pit", NIGHT), ("pit", OTHER)]
    assert told(night=OTHER) == [("crusher", OTHER), ("pit", OTHER)]
    assert told(cameras=["pit"]) == [("pit", NIGHT), ("pit", OTHER)]
    assert told(night=NIGHT, cameras=["nobody"]) == []


def test_files_that_do_not_belong_there_are_passed_over(published: Site) -> None:
    folder = published.folder / "enhanced"
    for place in (folder, folder / "pit", folder / "pit" / NIGHT):
        (place / ".DS_Store").write_bytes(b"x")
        (place / "notes.txt").write_bytes(b"x")
    (folder / "pit" / NIGHT / "half a run").mkdir()
    assert [n.state for n in list_nights(published.store)] == ["published"]


@pytest.mark.parametrize("data", [None, b"", b"{}", b"[]", b'{"shards": "many"}'])
def test_a_run_that_is_not_laid_out_wants_nothing(tmp_path: Path, data: bytes | None) -> None:
    url = storage.normalise(str(tmp_path / "run"))
    if data is not None:
        storage.write(f"{url}/ready.json", data)
    assert progress(url) == (0, 0)
