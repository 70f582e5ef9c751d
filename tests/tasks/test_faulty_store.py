"""A store that misbehaves over real HTTP: what passes is outlived, what stays fails the work and never loses a frame.

The object store is moto's server; the faults are made by a proxy in front of it. Not covered: processes that die.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import s3fs

from tasks import conditional, faults, listing, storage, store
from tasks.enhance import enhance_item
from tasks.publish import publish
from tasks.storage import StorageError
from tests.faulty_proxy import Delay, Drip, Fault, FaultyProxy, Request, Reset, Rule, Shorten, Stale, Status, Truncate
from tests.tasks.night import NIGHT, Site, film, s3_bucket, save_checkpoint, small_settings, without_pauses

DATA = bytes(range(256)) * 40


class Remote(NamedTuple):
    """An object store behind a proxy."""

    proxy: FaultyProxy
    root: str


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with s3_bucket() as url, FaultyProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy, pytest.MonkeyPatch.context() as env:
        env.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3fs.S3FileSystem.clear_instance_cache()
        yield Remote(proxy, url)
        proxy.rule = lambda request: None


@pytest.fixture(autouse=True)
def sound(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins with a store that works."""
    without_pauses(monkeypatch)
    remote.proxy.rule = lambda request: None
    remote.proxy.faults = 0


def first(count: int, fault: Fault, matches: Callable[[Request], bool] = lambda r: not r.is_listing) -> Rule:
    """A rule: this fault for the first so many requests that match."""
    left = iter(range(count))
    return lambda request: fault if matches(request) and next(left, None) is not None else None


PASSING = [Status(500), Status(503), Status(429), Delay(0.2), Reset(0), Reset(100), Truncate(100)]


@pytest.mark.parametrize("fault", PASSING, ids=repr)
def test_faults_that_pass_cost_nothing(remote: Remote, fault: Fault) -> None:
    url = f"{remote.root}/passing"
    remote.proxy.rule = first(3, fault)
    storage.write(url, DATA)
    remote.proxy.rule = first(3, fault)
    assert storage.read(url) == DATA
    with storage.open_seekable(url) as file:
        remote.proxy.rule = first(3, fault)
        assert file.read() == DATA
    assert remote.proxy.faults >= 5  # answers without a body can't be cut
    remote.proxy.rule = first(3, fault, lambda r: r.is_listing)
    assert "passing" in listing.names(remote.root)


def test_an_answer_that_is_silently_too_short_is_asked_for_again(remote: Remote) -> None:
    url = f"{remote.root}/short"
    storage.write(url, DATA)
    remote.proxy.rule = first(2, Shorten(10), lambda r: r.method == "GET")
    assert storage.read(url) == DATA
    assert remote.proxy.faults == 2


def test_an_answer_that_drips_is_given_up_and_asked_for_again(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{remote.root}/drip"
    storage.write(url, DATA)
    monkeypatch.setattr(storage, "CALL_S", 1)
    monkeypatch.setattr(storage, "LEAST_BYTES_S", 2**20)
    with storage.open_seekable(url) as file:
        remote.proxy.rule = first(1, Drip(10, 0.05))
        assert file.read() == DATA
    assert remote.proxy.faults == 1


def test_a_store_that_fails_for_good_is_told_after_so_many_tries(remote: Remote) -> None:
    storage.write(f"{remote.root}/dead", DATA)
    remote.proxy.rule = lambda request: Status(503)
    asked = len(remote.proxy.requests)
    with pytest.raises(StorageError, match=f"dead: failed {storage.ATTEMPTS} times"):
        storage.read(f"{remote.root}/dead")
    assert len(remote.proxy.requests) - asked == storage.ATTEMPTS  # no other layer retries as well


@pytest.mark.parametrize("mark", ["", "an earlier one"], ids=["create", "replace"])
def test_a_conditional_write_to_a_store_that_fails_for_good_is_tried_no_more_often(remote: Remote, mark: str) -> None:
    remote.proxy.rule = lambda request: Status(503)
    asked = len(remote.proxy.requests)
    told = f"dead: failed {storage.ATTEMPTS} times, last with: [^;]*; check the store$"
    with pytest.raises(StorageError, match=told):
        conditional.replace(f"{remote.root}/dead", DATA, mark)
    assert len(remote.proxy.requests) - asked == 2 * storage.ATTEMPTS  # the write, and a look at what came of it


@pytest.mark.parametrize("fault", PASSING, ids=repr)
def test_faults_that_pass_cost_no_conditional_write(remote: Remote, fault: Fault) -> None:
    url = f"{remote.root}/conditional {fault!r}"
    remote.proxy.rule = first(3, fault)
    seen = conditional.create(url, DATA)
    assert seen
    remote.proxy.rule = first(3, fault)
    assert conditional.replace(url, DATA[:9], seen)
    remote.proxy.rule = first(3, fault)
    assert not conditional.replace(url, DATA[:7], seen)
    remote.proxy.rule = lambda request: None
    assert storage.read(url) == DATA[:9]


def test_an_object_that_is_replaced_while_it_is_read_is_never_mixed(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.ranged.READ_AHEAD", 100)
    url = f"{remote.root}/replaced"
    storage.write(url, DATA)
    with storage.open_seekable(url) as file:
        assert file.read(100) == DATA[:100]
        storage.write(url, DATA[::-1])
        with pytest.raises(OSError, match="replaced"):
            file.read(100)


def make_remote_site(remote: Remote, tmp_path: Path, counts: tuple[int, ...] = (10, 8)) -> Site:
    """A filmed night in the object store; the archive and the store in folders of their own."""
    for path in film(tmp_path / "archive", counts):
        name = path.relative_to(tmp_path)
        storage.write(f"{remote.root}/{tmp_path.name}/{name}", path.read_bytes())
    settings = replace(small_settings(save_checkpoint(tmp_path)), item_slots=8)
    base = f"{remote.root}/{tmp_path.name}"
    return Site(f"{base}/archive", f"{base}/store", settings)


def objects(site: Site) -> dict[str, bytes]:
    return {storage.relative(e.url, site.store): storage.read(e.url) for e in listing.find(site.store)}


def after_requests(count: int, fault: Fault, matches: Callable[[Request], bool]) -> Rule:
    """A rule: this fault for every matching request but the first so many."""
    left = iter(range(count))
    return lambda request: fault if matches(request) and next(left, None) is None else None


def of_archive(request: Request) -> bool:
    return "/archive/" in request.path + request.query.replace("%2F", "/")


def test_an_archive_that_goes_while_files_are_decoded_fails_the_work_and_publishes_nothing(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.ranged.READ_AHEAD", 1024)
    site = make_remote_site(remote, tmp_path)
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    for reads in (0, 6):
        remote.proxy.rule = after_requests(reads, Status(503), of_archive)
        with pytest.raises(StorageError):
            site.enhance()
        assert store.read_manifest(site.store, "pit", NIGHT) is None
    remote.proxy.rule = lambda request: None
    assert site.run().status == "published"
    assert site.manifest()["problems"] == []
    assert site.manifest()["frames"] == 9
    whole = objects(site)
    undisturbed = site._replace(store=site.store + "2")
    undisturbed.run()
    assert {k: v for k, v in objects(undisturbed).items() if k.endswith("/0")} == {
        k: v for k, v in whole.items() if k.endswith("/0")
    }


def test_one_object_that_can_never_be_read_costs_itself_alone(remote: Remote, tmp_path: Path) -> None:
    site = make_remote_site(remote, tmp_path)
    planned = site.plan()
    remote.proxy.rule = lambda r: Status(500) if r.path.endswith("220000.mp4") and r.method == "GET" else None
    store.create_run(planned, site.settings, "0")
    for item in planned.items:
        enhance_item(item, site.settings)
    assert publish(planned, site.store, site.settings).status == "published"
    (problem,) = site.manifest()["problems"]
    assert problem["url"].endswith("220000.mp4")
    assert "cannot be read" in problem["reason"]
    assert site.manifest()["frames"] == 4


FLAKY = [Status(503), Reset(50), Truncate(50), Delay(0.05)]


def test_a_night_through_a_store_that_fails_every_third_time_is_the_undisturbed_one(
    remote: Remote, tmp_path: Path
) -> None:
    site = make_remote_site(remote, tmp_path)
    site.run()
    expected = objects(site)
    for entry in list(listing.find(site.store)):
        storage.remove(entry.url)
    remote.proxy.rule = lambda r: FLAKY[r.number // 3 % len(FLAKY)] if r.number % 3 == 0 else None
    assert site.run().status == "published"
    assert remote.proxy.faults > 10
    remote.proxy.rule = lambda request: None
    assert objects(site) == expected


def test_a_listing_that_lags_behind_costs_work_and_no_frame(remote: Remote, tmp_path: Path) -> None:
    site = make_remote_site(remote, tmp_path)
    planned = site.plan()
    store.done_shards(planned.run_url)  # the proxy remembers that nothing was there
    remote.proxy.rule = lambda r: Stale() if r.is_listing and "receipts" in r.query else None
    assert site.run().status == "partial"
    remote.proxy.rule = lambda request: None
    assert site.run().status == "published"
    assert site.manifest()["frames"] == 9


def test_a_bucket_that_is_gone_is_no_fault_of_a_file(remote: Remote) -> None:
    def again() -> None:
        raise FileNotFoundError("The specified bucket does not exist")

    found = faults.judge("s3://gone/archive/220000.mp4", FileNotFoundError("gone"), again)
    assert isinstance(found, StorageError)
