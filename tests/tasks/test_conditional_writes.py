"""Objects that are written only if there is none, or only in place of the one that was seen.

Not covered: what else is written and read (`test_storage`), and who relies on it (`test_lease`, `test_models`).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tasks import conditional, listing, storage
from tests.tasks.night import without_pauses


def test_an_object_is_created_once_on_a_file_system_without_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_links(monkeypatch)
    url = storage.normalise(str(folder / "a"))
    assert conditional.create(url, b"mine")
    assert not conditional.create(url, b"theirs")
    assert storage.read(url) == b"mine"
    assert [p.name for p in folder.iterdir()] == ["a"]


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")  # as vfat answers

    monkeypatch.setattr("tasks.storage.os.link", refused)


def test_of_an_object_that_is_created_without_links_never_half_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bytes] = []

    def look(temporary: Path, path: Path) -> None:
        found.append(path.read_bytes())  # what a machine that dies here leaves
        found.append(temporary.read_bytes())
        rename(temporary, path)

    rename = os.replace
    without_links(monkeypatch)
    monkeypatch.setattr("tasks.storage.os.replace", look)
    assert conditional.create(storage.normalise(str(folder / "a")), b"whole")
    assert found == [b"", b"whole"]


def test_a_fault_in_creating_without_links_is_not_taken_for_anothers_object(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, faults = os.replace, [OSError(errno.EIO, "Input/output error")] * 3

    def rename_or_fail(*names: Path) -> None:
        if faults:
            raise faults.pop()
        rename(*names)

    without_links(monkeypatch)
    without_pauses(monkeypatch)
    monkeypatch.setattr("tasks.storage.os.replace", rename_or_fail)
    assert conditional.create(storage.normalise(str(folder / "a")), b"mine")
    assert [p.name for p in folder.iterdir()] == ["a"]


def test_an_object_is_replaced_by_one_who_has_seen_it_as_it_is(root: str) -> None:
    first = conditional.create(f"{root}/a", b"1")
    second = conditional.replace(f"{root}/a", b"2", first)
    assert second == conditional.mark_of(f"{root}/a") != first
    assert conditional.read_marked(f"{root}/a") == (b"2", second)
    assert conditional.replace(f"{root}/a", b"3", second)
    assert storage.read(f"{root}/a") == b"3"


def test_an_object_is_not_replaced_by_one_who_saw_it_before_it_changed(root: str) -> None:
    seen = conditional.create(f"{root}/a", b"1")
    storage.write(f"{root}/a", b"another's")
    assert not conditional.replace(f"{root}/a", b"2", seen)
    assert storage.read(f"{root}/a") == b"another's"
    assert listing.names(root) == ["a"]
    assert list(listing.unfinished(root)) == []


def test_an_object_that_is_gone_is_not_replaced(root: str) -> None:
    seen = conditional.create(f"{root}/a", b"1")
    storage.remove(f"{root}/a")
    assert not conditional.replace(f"{root}/a", b"2", seen)
    assert conditional.mark_of(f"{root}/a") == ""


def test_an_object_that_changes_between_the_last_look_and_the_write_is_not_replaced_in_s3(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, call = f"{bucket}/late", storage.call
    seen = conditional.create(url, b"1")

    def overtaken(fs: object, method: str, *args: object, **options: object) -> object:
        if method == "pipe_file" and "IfMatch" in options:
            storage.write(url, b"another's")
        return call(fs, method, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(storage, "call", overtaken)
    assert not conditional.replace(url, b"2", seen)
    assert storage.read(url) == b"another's"


def test_a_store_without_conditional_writes_is_asked_before(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = storage.call

    def old(fs: object, method: str, *args: object, **options: object) -> object:
        if method == "pipe_file" and {"IfMatch", "mode"} & options.keys():
            raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")
        return call(fs, method, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(storage, "call", old)
    monkeypatch.setattr("tasks.storage.time.sleep", lambda _: pytest.fail("it waited"))
    first = conditional.create(f"{bucket}/old", b"1")
    assert first
    assert not conditional.create(f"{bucket}/old", b"2")
    assert conditional.replace(f"{bucket}/old", b"3", first)
    assert not conditional.replace(f"{bucket}/old", b"4", first)
    assert storage.read(f"{bucket}/old") == b"3"
