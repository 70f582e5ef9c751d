"""URLs: files and S3 objects behave alike, are written whole. The S3 server is moto's.

Not covered: what lies below a URL (`test_listing`), faults (`test_storage_faults`), `create` and `replace`
(`test_conditional_writes`).
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr

from tasks import conditional, listing, storage
from tasks.storage import StorageError

NAMES = (
    "with space.bin",
    "number#1.bin",
    "50%25 off.bin",
    "what?.bin",
    "a&b=c+d;e.bin",
    "夜间/北坡.bin",
    "22::00.bin",
    "quote'\"[x]{y}.bin",
    "~tilde.bin",
    ".hidden",
)
"""Paths that URL parsers like to mangle."""
LARGE = 2**20 * 104
"""Bytes that s3fs sends in parts, of 50 MiB each."""


def test_what_was_written_is_read(root: str) -> None:
    storage.write(f"{root}/a/b.bin", b"content")
    assert storage.read(f"{root}/a/b.bin") == b"content"


def test_empty_objects_are_objects(root: str) -> None:
    storage.write(f"{root}/empty", b"")
    assert storage.read(f"{root}/empty") == b""
    assert storage.exists(f"{root}/empty")


def test_writing_again_replaces(root: str) -> None:
    storage.write(f"{root}/a", b"longer than the second")
    storage.write(f"{root}/a", b"second")
    assert storage.read(f"{root}/a") == b"second"


@pytest.mark.parametrize("missing", ["no", "a/no", "a/b.bin/no"])
def test_reading_what_is_not_there_says_so_at_once(root: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write(f"{root}/a/b.bin", b"")
    monkeypatch.setattr("tasks.storage.time.sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(FileNotFoundError):
        storage.read(f"{root}/{missing}")
    assert not storage.exists(f"{root}/{missing}")


def test_reading_a_folder_says_that_there_is_no_object(root: str) -> None:
    storage.write(f"{root}/a/b.bin", b"")
    with pytest.raises(FileNotFoundError):
        storage.read(f"{root}/a")


def test_folders_exist(root: str) -> None:
    storage.write(f"{root}/a/b.bin", b"")
    assert storage.exists(f"{root}/a")


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_the_round_trip(root: str, name: str) -> None:
    url = storage.join(root, name)
    storage.write(url, name.encode())
    assert storage.exists(url)
    assert [e.url for e in listing.find(root)] == [url]
    assert storage.relative(url, root) == name
    assert storage.read(next(iter(listing.find(root))).url) == name.encode()
    assert listing.names(root) == [name.split("/")[0]]
    with storage.open_seekable(url) as file:
        assert file.read() == name.encode()


@pytest.mark.parametrize("name", ["a #1?b %41", "夜::间"])
def test_zarr_writes_where_the_others_read(root: str, name: str) -> None:
    url = storage.join(root, name)
    zarr.create_array(storage.zarr_store(url), shape=(3,), dtype="uint8", fill_value=0)[:] = 7
    assert b'"shape"' in storage.read(f"{url}/zarr.json")
    assert np.asarray(zarr.open_array(storage.zarr_store(url), mode="r")).tolist() == [7, 7, 7]


def test_an_object_is_read_by_ranges(root: str) -> None:
    data = bytes(range(256)) * 64
    storage.write(f"{root}/a", data)
    with storage.open_seekable(f"{root}/a") as file:
        assert file.seekable()
        assert file.read(3) == data[:3]
        file.seek(1000)
        assert file.read(10) == data[1000:1010]
        file.seek(-5, os.SEEK_END)
        assert file.read() == data[-5:]
        file.seek(0)
        assert file.read() == data


def test_a_large_object_goes_up_in_parts_and_is_read_whole_and_by_ranges(bucket: str) -> None:
    data = np.arange(LARGE // 8, dtype=np.uint64).tobytes()
    storage.write(f"{bucket}/large/a", data)
    [entry] = listing.find(f"{bucket}/large")
    assert entry.etag.endswith("-3")  # which S3 gives to an object of three parts
    assert storage.read(entry.url) == data
    with storage.open_seekable(entry.url) as file:
        file.seek(-7, os.SEEK_END)
        assert file.read() == data[-7:]
    assert list(listing.unfinished(bucket)) == []


def test_an_object_written_in_pieces_is_there_when_it_is_whole(root: str) -> None:
    url = f"{root}/pieces/a"
    with storage.writing(url) as file:
        file.write(b"one, ")
        file.write(b"two")
        assert not storage.exists(url)
    assert storage.read(url) == b"one, two"


def test_an_object_whose_writing_failed_is_as_it_was(root: str) -> None:
    url = f"{root}/pieces/b"
    storage.write(url, b"old")
    with suppress(RuntimeError), storage.writing(url) as file:
        file.write(b"ne")
        raise RuntimeError
    assert storage.read(url) == b"old"
    assert listing.names(f"{root}/pieces") == ["b"]


def test_a_crash_before_the_rename_leaves_the_old_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = storage.normalise(str(folder / "a"))
    storage.write(url, b"old")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.storage.os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        storage.write(url, b"new")
    assert storage.read(url) == b"old"
    assert [p.name for p in folder.iterdir()] == ["a"]


def test_the_whole_content_is_on_the_disk_before_it_takes_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda f: (done.append(os.fstat(f).st_size), fsync(f)))
    monkeypatch.setattr("os.replace", lambda *names: (done.append("named"), rename(*names)))
    storage.write(storage.normalise(str(folder / "a")), b"content")
    assert done == [7, "named"]


def test_what_a_killed_process_left_is_hidden_and_never_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = storage.normalise(str(folder))
    monkeypatch.setattr("tasks.storage.os.replace", lambda *_: None)  # as if killed between writing and renaming
    storage.write(f"{root}/a", b"half")
    left = [p.name for p in folder.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".")
    assert listing.names(root) == []
    assert list(listing.find(root)) == []


@pytest.mark.parametrize("store", [storage.write, conditional.create])
def test_a_bucket_that_is_not_there_is_named_with_the_next_step(
    bucket: str, store: Callable[[str, bytes], object]
) -> None:
    with pytest.raises(StorageError, match=r"s3://nobodys/a: .*bucket does not exist; make its bucket or folder first"):
        store("s3://nobodys/a", b"1")


def test_what_is_removed_is_gone_and_removing_it_again_is_no_fault(root: str) -> None:
    storage.write(f"{root}/a", b"1")
    for _ in range(2):
        storage.remove(f"{root}/a")
        assert not storage.exists(f"{root}/a")


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(StorageError, match="credentials do not belong in a URL") as caught:
        storage.read("s3://key:secret@mine/a")
    assert "secret" not in str(caught.value)


def test_two_writers_of_one_object_do_not_meet(folder: Path) -> None:
    url = storage.normalise(str(folder / "a"))
    contents = [bytes([k]) * 50_000 for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda c: storage.write(url, c), contents * 5))
    assert storage.read(url) in contents
    assert [p.name for p in folder.iterdir()] == ["a"]


@pytest.mark.parametrize("part", ["../b", "a/../../b", "..", "/etc/passwd", "a/.."])
def test_paths_that_would_leave_are_refused(part: str) -> None:
    with pytest.raises(StorageError, match="would leave it"):
        storage.join("file:///store", part)


@pytest.mark.parametrize("part", ["a..b", "...", "a/b.c", "..a"])
def test_dots_in_names_are_no_way_out(part: str) -> None:
    assert storage.join("file:///store/", part) == f"file:///store/{part}"


def test_relative_undoes_join() -> None:
    assert storage.relative(storage.join("s3://mine/a/", "b", "c d"), "s3://mine/a") == "b/c d"


@pytest.mark.parametrize("url", ["s3://mine/ab", "s3://mine/a", "s3://other/a/b"])
def test_relative_refuses_what_lies_elsewhere(url: str) -> None:
    with pytest.raises(StorageError, match="does not lie below"):
        storage.relative(url, "s3://mine/a")


def test_paths_become_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert storage.normalise("store/") == f"file://{tmp_path}/store"
    assert storage.normalise("~/store") == "file:///home/somebody/store"
    assert storage.normalise("s3://mine/store/") == "s3://mine/store"
    assert storage.normalise("./s3:/store") == f"file://{tmp_path}/s3:/store"
    with pytest.raises(ValueError, match="s3:/mine/store: a URL has two slashes"):
        storage.normalise("s3:/mine/store")


@pytest.mark.parametrize("location", ["s3://", "s3:///store", "s3:////", "gs://", "memory://"])
def test_a_url_that_names_no_bucket_is_no_folder_of_this_machine_and_no_other_bucket(location: str) -> None:
    with pytest.raises(ValueError, match=rf"^{location}: names no bucket"):
        storage.normalise(location)


def test_an_unknown_scheme_is_named_with_the_next_step() -> None:
    with pytest.raises(StorageError, match=r"gopher://a/b: cannot be opened .*use file:// or s3://"):
        storage.read("gopher://a/b")


def test_a_server_that_is_asked_when_its_driver_is_made_is_named_when_it_does_not_answer() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        url = f"ftp://127.0.0.1:{unused.getsockname()[1]}/a"
        with pytest.raises(StorageError, match=rf"{url}: cannot be opened .*refused.*use file:// or s3://"):
            storage.read(url)


def test_any_file_system_that_fsspec_knows_is_taken() -> None:
    root = "memory://tests/storage"
    assert conditional.create(f"{root}/a", b"1")
    assert not conditional.create(f"{root}/a", b"2")
    assert storage.read(f"{root}/a") == b"1"
    zarr.create_array(storage.zarr_store(f"{root}/z"), shape=(2,), dtype="uint8", fill_value=0)[:] = 5
    assert listing.names(root) == ["a", "z"]
    assert np.asarray(zarr.open_array(storage.zarr_store(f"{root}/z"), mode="r")).tolist() == [5, 5]


def test_what_zarr_connected_is_closed_when_nobody_uses_it(bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    zarr.create_array(storage.zarr_store(f"{bucket}/closed"), shape=(1,), dtype="uint8", fill_value=0)[:] = 5
    storage.forget()
    gc.collect()
    assert "Unclosed" not in caplog.text
