"""What lies below a URL: files and S3 objects are listed alike, and nothing is missing silently.

Not covered: what killed writers left, which no listing shows (`test_storage`, `test_collect`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from moto.s3.models import s3_backends

from lednet.clips import find_clips
from tasks import listing, storage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_every_object_below_a_folder_is_found_by_name(root: str) -> None:
    for name in ("b/2", "a", "b/1", "b/c/d/e", "ab"):
        storage.write(f"{root}/{name}", name.encode())
    found = list(listing.find(root))
    assert [e.url for e in found] == [f"{root}/{n}" for n in ("a", "ab", "b/1", "b/2", "b/c/d/e")]
    assert [e.size for e in found] == [1, 2, 3, 3, 7]


def test_a_folder_does_not_hold_its_namesakes_files(root: str) -> None:
    storage.write(f"{root}/pit/1", b"")
    storage.write(f"{root}/pit-north/2", b"")
    assert [e.url for e in listing.find(f"{root}/pit")] == [f"{root}/pit/1"]
    assert listing.names(f"{root}/pit") == ["1"]


def test_a_folder_that_is_not_there_holds_nothing(root: str) -> None:
    assert list(listing.find(f"{root}/no/such")) == []
    assert listing.names(f"{root}/no/such") == []


def test_names_are_those_directly_below(root: str) -> None:
    for name in ("b/2", "a", "b/c/d", "z/x/y"):
        storage.write(f"{root}/{name}", b"")
    assert listing.names(root) == ["a", "b", "z"]


def test_an_object_holds_no_names(root: str) -> None:
    storage.write(f"{root}/a", b"")
    assert listing.names(f"{root}/a") == []
    assert list(listing.find(f"{root}/a")) == []


def test_the_etag_changes_with_the_content(root: str) -> None:
    tags = []
    for content in (b"one", b"two", b"three"):
        storage.write(f"{root}/a", content)
        if storage.is_local(root):
            os.utime(f"{root}/a".removeprefix("file://"), ns=(len(tags), len(tags) * 10**9))
        tags += [e.etag for e in listing.find(root)]
    assert len(set(tags)) == 3


def test_the_etag_stays_while_the_content_does(root: str) -> None:
    storage.write(f"{root}/a", b"one")
    assert list(listing.find(root)) == list(listing.find(root))


def test_listings_are_never_remembered(root: str) -> None:
    storage.write(f"{root}/a", b"")
    assert listing.names(root) == ["a"]
    storage.write(f"{root}/b", b"")
    assert listing.names(root) == ["a", "b"]
    assert len(list(listing.find(root))) == 2


def test_more_objects_than_a_page_holds_are_listed(bucket: str) -> None:
    for k in range(1005):  # past HTTP, which would take its time
        s3_backends["123456789012"]["aws"].put_object("mine", f"many/{k:04}", b"")
    expected = [f"{k:04}" for k in range(1005)]
    assert [storage.relative(e.url, f"{bucket}/many") for e in listing.find(f"{bucket}/many")] == expected
    assert listing.names(f"{bucket}/many") == expected


def test_a_bucket_that_is_not_there_holds_nothing(bucket: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read("s3://nobodys/a")
    assert list(listing.find("s3://nobodys/a")) == []


def fail_to_list(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    """Let listing a folder of this name fail; others are listed as they are."""
    scandir = os.scandir

    def listed(path: str) -> object:
        if str(path).endswith(name):
            raise error
        return scandir(path)

    monkeypatch.setattr("os.scandir", listed)


def test_an_upload_that_is_not_complete_is_as_old_as_the_store_says(bucket: str) -> None:
    begun = boto3.client("s3").create_multipart_upload(Bucket="mine", Key="parts/a")["UploadId"]
    (upload,) = listing.unfinished(f"{bucket}/parts")
    boto3.client("s3").abort_multipart_upload(Bucket="mine", Key="parts/a", UploadId=begun)
    assert upload.modified_s == datetime(2010, 11, 10, 20, 48, 33, tzinfo=UTC).timestamp()  # which moto says of each


def test_uploads_beyond_the_thousand_that_a_store_tells_at_once_are_found(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {
        "": {"Uploads": [{"Key": "parts/a", "UploadId": "1"}], "IsTruncated": True,
             "NextKeyMarker": "parts/a", "NextUploadIdMarker": "1"},
        "1": {"Uploads": [{"Key": "parts/a", "UploadId": "2"}], "IsTruncated": False},
    }  # fmt: skip
    # Moto tells all at once.
    monkeypatch.setattr(storage, "call", lambda *_, UploadIdMarker="", **__: pages[UploadIdMarker])
    assert [upload.etag for upload in listing.unfinished(f"{bucket}/parts")] == ["1", "2"]


def test_a_folder_that_cannot_be_listed_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = storage.normalise(str(folder))
    storage.write(f"{root}/open/1", b"")
    storage.write(f"{root}/closed/2", b"")
    fail_to_list(monkeypatch, "closed", PermissionError(13, "Permission denied", "closed"))
    with pytest.raises(PermissionError, match="closed"):
        list(listing.find(root))


def test_links_are_followed_and_never_in_circles(folder: Path) -> None:
    storage.write(storage.normalise(str(folder.parent / "elsewhere" / "1")), b"12345")
    folder.mkdir()
    (folder / "camera").symlink_to(folder.parent / "elsewhere")
    (folder / "file").symlink_to(folder.parent / "elsewhere" / "1")
    (folder / "circle").symlink_to(folder)
    (folder / "broken").symlink_to(folder / "nowhere")
    (folder / "itself").symlink_to("itself")
    (folder / "through a file").symlink_to(folder.parent / "elsewhere" / "1" / "2")
    os.mkfifo(folder / "pipe")
    root = storage.normalise(str(folder))
    found = list(listing.find(root))
    assert [(e.url, e.size) for e in found] == [(f"{root}/camera/1", 5), (f"{root}/file", 5)]
    assert found[0].etag == found[1].etag


def test_folders_deeper_than_asked_for_need_not_be_readable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = storage.normalise(str(folder))
    for name in ("1", "day/2", "day/lost+found/3", "lost+found/4"):
        storage.write(f"{root}/{name}", b"")
    assert [e.url for e in listing.find(root, 1)] == [f"{root}/{n}" for n in ("1", "day/2", "lost+found/4")]
    fail_to_list(monkeypatch, "lost+found", PermissionError(13, "Permission denied", "lost+found"))
    assert [e.url for e in listing.find(root, 0)] == [f"{root}/1"]
    assert [e.url for e in listing.find(f"{root}/day", 0)] == [f"{root}/day/2"]


def test_what_is_found_lies_below_the_url_however_that_is_written(
    folder: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write(storage.normalise(str(folder / "a" / "1")), b"")
    storage.write(f"{bucket}/a/1", b"")
    monkeypatch.chdir(folder.parent)
    for root in ("file://store", f"local://{folder}", f"file://{folder}/../store", bucket.replace("s3:", "s3a:")):
        assert [storage.relative(e.url, root) for e in listing.find(f"{root}/a")] == ["a/1"]


def test_what_stands_for_a_folder_of_an_object_store_is_no_object(bucket: str) -> None:
    for key in ("marked/", "marked/day/", "marked/day/1"):
        s3_backends["123456789012"]["aws"].put_object("mine", key, b"")
    assert [e.url for e in listing.find(f"{bucket}/marked")] == [f"{bucket}/marked/day/1"]
    assert listing.names(f"{bucket}/marked") == ["day"]


def test_a_folder_that_goes_while_it_is_listed_costs_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = storage.normalise(str(folder))
    storage.write(f"{root}/gone/1", b"")
    storage.write(f"{root}/kept/2", b"")
    fail_to_list(monkeypatch, "gone", FileNotFoundError(2, "No such file", "gone"))
    assert [e.url for e in listing.find(root)] == [f"{root}/kept/2"]


def test_what_macos_keeps_beside_files_is_no_file(tmp_path: Path) -> None:
    for name in ("GX010119.MP4", "._GX010119.MP4"):
        (tmp_path / name).touch()
    url = storage.normalise(str(tmp_path))
    assert [e.url.rpartition("/")[2] for e in listing.find(url)] == listing.names(url) == ["GX010119.MP4"]
    assert [path.name for path in find_clips(tmp_path)] == ["GX010119.MP4"]


def test_an_archive_or_store_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    listing.need_archive(str(tmp_path))
    listing.need_store(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="nas: not there; mount it"):
        listing.need_archive(str(tmp_path / "nas"))
    with pytest.raises(FileNotFoundError, match="nas: not there; mount it, or name it with --store or LEDNET_STORE"):
        listing.need_store(str(tmp_path / "nas"))


def test_an_archive_whose_bucket_is_not_there_is_told_with_the_next_step(bucket: str) -> None:
    listing.need_archive(bucket)
    listing.need_archive(f"{bucket}/a folder that nothing lies in yet")
    with pytest.raises(FileNotFoundError, match=r"archive s3://nobodys/a: .*bucket does not exist; name it"):
        listing.need_archive("s3://nobodys/a")
    with pytest.raises(FileNotFoundError, match=r"store s3://nobodys/a: .*; name it with --store"):
        listing.need_store("s3://nobodys/a")
