"""A published night proves itself byte by byte, and a damaged shard is done anew to the same bytes, alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from lednet import __version__
from tasks import lease, storage, store
from tasks.plan import coarser
from tasks.publish import publish
from tasks.verify import NightCheck, check_night, published, repair_night
from tests.tasks.night import CAMERA, NIGHT, Site, enhance, files, film, make_site


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, dict[str, bytes]]:
    """A published night and its bytes."""
    site = make_site(tmp_path_factory.mktemp("whole"), (10, 8))
    planned = site.plan()
    store.create_run(planned, site.settings, __version__)
    assert site.run().status == "published"
    return site, files(site.folder)


@pytest.fixture
def site(whole: tuple[Site, dict[str, bytes]]) -> Site:
    """The same, intact at the start of every test."""
    site, expected = whole
    shutil.rmtree(site.folder)
    for name, data in expected.items():
        (site.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (site.folder / name).write_bytes(data)
    return site


def check(site: Site) -> NightCheck:
    return check_night(site.store, CAMERA.id, NIGHT)


def repair(site: Site) -> NightCheck:
    return repair_night(check(site), CAMERA, site.archive, site.store, site.settings, __version__)


def place(site: Site, suffix: str) -> Path:
    (path,) = [p for p in site.folder.rglob("*") if p.is_file() and str(p).endswith(suffix)]
    return path


def flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 1
    path.write_bytes(data)


def test_an_intact_night_has_no_finding(site: Site) -> None:
    assert list(published(site.store)) == [(CAMERA.id, NIGHT)]
    found = check(site)
    assert (found.findings, found.shards) == ((), 4)
    assert found.bytes > sum(p.stat().st_size for p in site.folder.rglob("c/*/0/0/0"))


def test_published_nights_are_those_with_a_manifest_of_the_night_and_cameras_asked_for(tmp_path: Path) -> None:
    places = ("a", "2026-01-15"), ("a", "2026-01-16"), ("b", "2026-01-15")
    for place in places:
        storage.write(store.manifest_url(f"file://{tmp_path}", *place), b"")
    storage.write(f"file://{tmp_path}/enhanced/a/2026-01-17/run/ready.json", b"")
    url = f"file://{tmp_path}"
    assert [*published(url)] == [*places]
    assert [*published(url, "2026-01-15")] == [places[0], places[2]]
    assert [*published(url, None, ["b"])] == [places[2]]


def test_a_night_that_is_not_published_has_no_finding(tmp_path: Path) -> None:
    assert check_night(f"file://{tmp_path}", CAMERA.id, NIGHT) == NightCheck(CAMERA.id, NIGHT, 0, 0, ())


def test_a_shard_that_no_frame_fell_into_needs_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.decode_process.fill_slots", lambda *_: iter(()))
    site = make_site(tmp_path, (10,))
    assert site.run().frames == 0
    assert check(site).findings == ()


@pytest.mark.parametrize("name", ["frames", "coverage", "bytes"])
def test_a_manifest_that_says_otherwise_than_its_receipts_is_named(site: Site, name: str) -> None:
    manifest = json.loads(place(site, "manifest.json").read_bytes())
    place(site, "manifest.json").write_bytes(store.sealed(manifest | {name: manifest[name] + 1}))
    (finding,) = check(site).findings
    assert finding.fault.startswith(f"says {name} ")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_flipped_bit_anywhere_is_found(whole: tuple[Site, dict[str, bytes]], site: Site, share: float) -> None:
    for name in whole[1]:
        flip(site.folder / name, share)
        assert name in "".join(f.url for f in check(site).findings), name
        (site.folder / name).write_bytes(whole[1][name])


@pytest.mark.parametrize("suffix", ["frames/c/1/0/0/0", "000001.json", "000001.parquet"])
def test_a_damaged_shard_is_named(site: Site, suffix: str) -> None:
    flip(place(site, suffix), 0.5)
    (finding,) = check(site).findings
    assert finding.shard == 1
    assert finding.url.endswith(suffix)


def stamps(site: Site) -> dict[str, int]:
    return {str(p): p.stat().st_ino for p in site.folder.rglob("c/*/0/0/0")}


@pytest.mark.parametrize("damage", [lambda p: flip(p, 0.5), Path.unlink], ids=["flipped", "missing"])
@pytest.mark.parametrize("suffix", ["frames/c/1/0/0/0", "000001.json", "000001.parquet"])
def test_repairing_redoes_the_damaged_shard_alone_to_the_same_bytes(
    whole: tuple[Site, dict[str, bytes]], site: Site, suffix: str, damage: Callable[[Path], None]
) -> None:
    before = stamps(site)
    damage(place(site, suffix))
    assert repair(site).findings == ()
    assert files(site.folder) == whole[1]
    changed = [Path(p).parts[-4] for p, inode in stamps(site).items() if before[p] != inode]
    assert changed in ([], ["1"])


@pytest.mark.parametrize(
    "suffix", ["manifest.json", "quality.parquet", "preview.mp4", "valid/c/0", "time/c/0", "frames/zarr.json",
               "frames.zarr/zarr.json", "ready.json"],
)  # fmt: skip
def test_what_does_not_come_of_a_shard_is_written_again(
    whole: tuple[Site, dict[str, bytes]], site: Site, suffix: str
) -> None:
    before = stamps(site)
    flip(place(site, suffix), 0.5)
    assert repair(site).findings == ()
    assert files(site.folder) == whole[1]
    assert stamps(site) == before


def test_a_night_whose_footage_has_changed_is_not_repaired_with_other_bytes(site: Site, tmp_path: Path) -> None:
    flip(place(site, "frames/c/1/0/0/0"), 0.5)
    before = files(site.folder)
    shutil.copytree(Path(site.archive.removeprefix("file://")), tmp_path / "archive")
    (tmp_path / "archive" / "pit" / NIGHT / "220004.mp4").unlink()
    with pytest.raises(store.StoreError, match="other footage, settings or weights"):
        repair_night(check(site), CAMERA, f"file://{tmp_path}/archive", site.store, site.settings, __version__)
    assert files(site.folder) == before


def test_a_night_that_is_intact_is_not_repaired_whatever_became_of_its_footage(site: Site) -> None:
    found = check(site)
    assert repair_night(found, CAMERA, "file:///nowhere", site.store, site.settings, __version__) == found


def test_a_night_that_somebody_is_at_work_on_is_not_repaired(site: Site) -> None:
    flip(place(site, "frames/c/1/0/0/0"), 0.5)
    with lease.held(lease.folder(site.store, CAMERA.id, NIGHT)), pytest.raises(lease.HeldError):
        repair(site)


def test_a_repair_that_mends_nothing_says_so(site: Site, tmp_path: Path) -> None:
    flip(place(site, "manifest.json"), 0.5)
    other = f"file://{tmp_path}/archive"
    film(tmp_path / "archive", (9,))  # so that another run is its, which nobody has begun
    after = repair_night(check(site), CAMERA, other, site.store, site.settings, __version__)
    assert (len(after.findings), after.repaired) == (1, 0)


def test_a_night_that_is_published_coarse_is_repaired_to_the_same_bytes(tmp_path: Path) -> None:
    site = make_site(tmp_path, (10, 8))
    planned = coarser(site.plan(), 2, site.archive, site.store, site.settings)
    store.create_run(planned, site.settings, __version__)
    enhance(planned, site.settings)
    publish(planned, site.store, site.settings)
    before = files(site.folder)
    flip(place(site, "frames/c/0/0/0/0"), 0.5)
    assert repair(site).findings == ()
    assert files(site.folder) == before


def test_a_night_that_can_not_be_repaired_is_named_and_the_next_one_is_repaired(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pit = site.folder / "enhanced" / CAMERA.id
    shutil.copytree(pit, pit.with_name("gone"))
    for camera in ("gone", CAMERA.id):
        manifest = site.folder / "enhanced" / camera / NIGHT / "manifest.json"
        fields = json.loads(manifest.read_text())
        fields.pop("checksum")
        manifest.write_bytes(store.sealed(fields | {"camera": fields["camera"] | {"id": camera}}))
        (damaged,) = (site.folder / "enhanced" / camera).rglob("frames/c/1/0/0/0")
        flip(damaged, 0.5)
    (tmp_path / "cameras.toml").write_text(two_cameras(site))
    places = ("--site", str(tmp_path / "cameras.toml"), "--archive", site.archive, "--store", site.store)
    done = CliRunner().invoke(app, ["verify", *places, "--repair"])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert f"gone, night of {NIGHT}: not repaired: no file of it in the archive" in caplog.text
    assert "1 damaged objects, 1 repaired" in done.stdout
    assert check(site).findings == ()


def two_cameras(site: Site) -> str:
    """cameras.toml of the tests' camera, and of one whose footage is gone."""
    numbers = ("shard_mb", "shard_least", "shard_most", "item_slots", "preview_pictures", "preview_width",
               "queue_batches")  # fmt: skip
    settings = "".join(f"{name} = {getattr(site.settings, name)}\n" for name in numbers)
    cameras = "".join(
        f'[[camera]]\nid = "{name}"\nname = "Pit"\nscene = "outdoor"\ntimezone = "UTC"\nrate = 5\n'
        f'pattern = "{name}/%Y-%m-%d/%H%M%S.*"\nstart = "22:00"\nend = "22:00:07"\n'
        for name in ("gone", CAMERA.id)
    )
    return f'[settings]\ncheckpoint = "{site.settings.checkpoint}"\n{settings}{cameras}'


def test_a_moved_store_is_as_good_as_it_was(site: Site, tmp_path: Path) -> None:
    shutil.copytree(site.folder, tmp_path / "moved")
    moved = f"file://{tmp_path}/moved"
    assert check_night(moved, CAMERA.id, NIGHT).findings == ()
    manifest = store.read_manifest(moved, CAMERA.id, NIGHT)
    assert manifest is not None
    assert manifest["frames_url"].startswith(moved)


def test_the_command_names_the_shard_and_fails(site: Site) -> None:
    flip(place(site, "frames/c/5/0/0/0"), 0.5)
    done = CliRunner().invoke(app, ["verify", "--store", site.store])
    assert done.exit_code == 1
    assert "shard 5: " in done.stdout
    assert "1 damaged objects" in done.stdout
