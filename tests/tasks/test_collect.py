"""What may go goes, and says so before; a published run never does. In folders and in S3."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks import collect, lease, listing, storage, store
from tasks.collect import find_garbage
from tests.tasks.night import make_site

NIGHT = "2026-01-15"


def run(root: str, camera: str, name: str) -> str:
    url = f"{root}/enhanced/{camera}/{NIGHT}/{name}"
    for path in ("ready.json", "frames.zarr/zarr.json", "frames.zarr/frames/c/0/0/0/0", "receipts/000000.json"):
        storage.write(f"{url}/{path}", b"12345")
    return url


def manifest(root: str, camera: str, name: str) -> None:
    fields = dict.fromkeys(("camera", "night", "shards", "frames", "coverage", "problems", "frames_url"), 0)
    storage.write(store.manifest_url(root, camera, NIGHT), store.sealed({**fields, "format": 1, "run": name}))


@pytest.fixture
def full(root: str) -> str:
    """A camera with a published and a superseded run, one with an unpublished run, one with a damaged manifest."""
    run(root, "pit", "new")
    run(root, "pit", "old")
    manifest(root, "pit", "new")
    run(root, "silo", "left")
    run(root, "gate", "some")
    storage.write(store.manifest_url(root, "gate", NIGHT), b"{ damaged")
    return root


def test_superseded_and_abandoned_runs_are_found_with_their_size(full: str) -> None:
    found = [(g.kind, g.url.removeprefix(full), g.objects, g.bytes) for g in find_garbage(full, 0)]
    assert found == [
        ("superseded run", f"/enhanced/pit/{NIGHT}/old", 4, 20),
        ("unpublished run", f"/enhanced/silo/{NIGHT}/left", 4, 20),
    ]


def test_what_was_written_lately_is_left_alone(full: str) -> None:
    assert list(find_garbage(full)) == []


def test_a_published_run_and_an_unclear_one_stay_whole(full: str) -> None:
    kept = {e.url: storage.read(e.url) for e in listing.find(full) if "/old/" not in e.url and "/left/" not in e.url}
    for garbage in find_garbage(full, 0):
        collect.remove(garbage)
    assert {e.url: storage.read(e.url) for e in listing.find(full)} == kept
    assert listing.names(f"{full}/enhanced/silo/{NIGHT}") == []


def test_the_layout_is_unsaid_before_receipts_and_those_before_their_shards(
    full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []
    monkeypatch.setattr(storage, "remove", gone.append)
    for garbage in find_garbage(full, 0):
        collect.remove(garbage)
    gone = [url for url in gone if "/lease." not in url]
    assert ["/receipts/" in u for u in gone] == [False, True, False, False] * 2
    assert [u.endswith("/ready.json") for u in gone] == [True, False, False, False] * 2


def test_a_run_that_was_removed_but_for_one_object_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(tmp_path, (10,))
    url = site.enhance().run_url
    (garbage,) = find_garbage(site.store, 0)
    real = storage.remove

    def killed(at: str) -> None:
        if at.startswith(url) and len(list(listing.find(url))) == 1:
            raise KeyboardInterrupt
        real(at)

    monkeypatch.setattr(storage, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        collect.remove(garbage)
    monkeypatch.undo()
    assert len(list(listing.find(url))) == 1
    assert site.run().status == "published"


def test_a_run_that_somebody_is_at_work_on_stays_however_old_the_clock_makes_it(
    full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 30 * 86_400)
    (old, left) = find_garbage(full)
    before = list(listing.find(left.url))
    with lease.held(lease.folder(full, "silo", NIGHT)):
        done = CliRunner().invoke(app, ["gc", "--store", full, "--json"])
    assert [g["url"] for g in json.loads(done.stdout)["garbage"]] == [old.url]
    assert list(listing.find(left.url)) == before


def test_a_run_that_was_published_after_it_was_looked_at_stays(full: str) -> None:
    (left,) = [g for g in find_garbage(full, 0) if g.kind == "unpublished run"]
    before = list(listing.find(left.url))
    manifest(full, "silo", "left")
    with pytest.raises(collect.InUseError, match="published meanwhile"):
        collect.remove(left)
    assert list(listing.find(left.url)) == before


def test_one_who_lost_the_lease_while_it_was_suspended_deletes_nothing_more(
    full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (left,) = [g for g in find_garbage(full, 0) if g.kind == "unpublished run"]
    before = {e.url for e in listing.find(left.url)}
    place, remove = lease.folder(full, "silo", NIGHT), storage.remove

    def suspended(url: str) -> None:
        remove(url)
        storage.write(f"{place}/lease.2.json", json.dumps({"token": "another's"}).encode())

    monkeypatch.setattr(storage, "remove", suspended)
    with pytest.raises(collect.InUseError, match=r"/left: .* its lease ran out"):
        collect.remove(left)
    assert before - {e.url for e in listing.find(left.url)} == {f"{left.url}/ready.json"}


def test_the_command_says_what_would_go_and_deletes_nothing(full: str) -> None:
    before = list(listing.find(full))
    done = CliRunner().invoke(app, ["gc", "--store", full, "--older-than", "0", "--dry-run", "--json"])
    assert [g["kind"] for g in json.loads(done.stdout)["garbage"]] == ["superseded run", "unpublished run"]
    assert list(listing.find(full)) == before
    assert "2 things" in CliRunner().invoke(app, ["gc", "--store", full, "--older-than", "0"]).stdout
    assert list(find_garbage(full, 0)) == []


def test_old_temporary_files_go_and_new_ones_stay(tmp_path: Path) -> None:
    names = (f".old.{storage.TEMPORARY}", f".new.{storage.TEMPORARY}")
    (tmp_path / "enhanced").mkdir()
    for name in names:
        (tmp_path / "enhanced" / name).write_bytes(b"half")
    week = time.time() - 8 * 86_400
    os.utime(tmp_path / "enhanced" / names[0], (week, week))
    for garbage in find_garbage(f"file://{tmp_path}"):
        collect.remove(garbage)
    assert [p.name for p in (tmp_path / "enhanced").iterdir()] == [names[1]]


def test_uploads_that_were_never_completed_go(bucket: str) -> None:
    fs, path = storage.filesystem(f"{bucket}/parts/shard")
    place, key, _ = fs.split_path(path)
    fs.call_s3("create_multipart_upload", Bucket=place, Key=key)
    (garbage,) = [g for g in find_garbage(f"{bucket}/parts", -1) if g.kind == "unfinished object"]
    assert garbage.url == f"{bucket}/parts/shard"
    assert list(find_garbage(f"{bucket}/elsewhere", -1)) == []
    collect.remove(garbage)
    assert list(find_garbage(f"{bucket}/parts", -1)) == []
