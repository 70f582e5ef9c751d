"""Objects that are written only if there is none, or only in place of the one that was seen.

An object is known again by its mark: its etag on an object store, its SHA-256 elsewhere. Leases, manifests and the
promoted model are written so, each by several processes that may be suspended for any time. Not covered: all other
reading and writing (`tasks.storage`).
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from tasks import storage

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems that know no hard links answer when asked for one."""


def create(url: str, data: bytes) -> str:
    """Write a whole object only if there is none; returns its mark, or nothing if another was there first.

    `data` must be this caller's alone, since an answer that was lost is settled by reading the object back. A store
    that knows no conditional writes is asked first instead, which leaves a moment in which two callers may both do. On
    a file system without hard links (FAT, some network shares) others may for a moment find the object empty.
    """
    return replace(url, data, "")


def replace(url: str, data: bytes, mark: str) -> str:
    """Write a whole object only if it still is the one of this mark; returns the new mark, or nothing if it is not.

    So nobody writes over what he has not seen, however long he was suspended since he looked. An object store compares
    when it writes. A file system, and a store that knows no conditional writes, is asked just before: a moment stays.

    Args:
        data: this caller's alone, and small (as for `create`).
        mark: from `read_marked`, `mark_of` or an earlier call; empty: only if there is no object.
    """
    fs, path = storage.filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return storage.stored(lambda: _replace_local(Path(path), data, mark), url)
    if hasattr(fs, "_call_s3"):
        with suppress(NotImplementedError):
            return storage.stored(lambda: _replace_once(url, fs, path, data, mark), url)
    if mark_of(url) != mark:
        return ""
    storage.write(url, data)
    return mark_of(url)


def read_marked(url: str) -> tuple[bytes, str]:
    """A whole object, and the mark by which `replace` knows it again. Raises FileNotFoundError if there is none."""
    fs, path = storage.filesystem(url)
    if hasattr(fs, "_call_s3"):
        return storage.retry(lambda: storage.read_with_etag(url, fs, path), url)
    data = storage.read(url)
    return data, _digest(data)


def mark_of(url: str) -> str:
    """The mark of an object as it stands; nothing where there is none."""
    try:
        return read_marked(url)[1]
    except FileNotFoundError:
        return ""


def _replace_once(url: str, fs: Any, path: str, data: bytes, mark: str) -> str:
    """One try. Raises what went wrong where nothing was written, so that it is tried again."""
    condition: dict[str, Any] = {"IfMatch": mark} if mark else {"mode": "create"}
    try:
        return storage.plain_etag(storage.call(fs, "pipe_file", path, data, **condition)["ETag"])
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSYS:
            raise NotImplementedError(f"{url}: its store knows no conditional writes") from error
        try:
            found, now = storage.read_with_etag(url, fs, path)  # once: the caller tries again
        except FileNotFoundError:
            if mark or isinstance(error, FileExistsError):  # it was another's, and is gone since
                return ""
            raise error from None
        if found == data:
            return now
        if now == mark:
            raise
        return ""


def _replace_local(path: Path, data: bytes, mark: str) -> str:
    def name(temporary: Path, path: Path) -> None:
        if not mark:
            _link(temporary, path)
        elif _digest_of(path) == mark:
            os.replace(temporary, path)
        temporary.unlink(missing_ok=True)

    with storage.whole(path, name) as file:
        file.write(data)
    return _digest(data) if _digest_of(path) == _digest(data) else ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_of(path: Path) -> str:
    try:
        return _digest(path.read_bytes())
    except FileNotFoundError:
        return ""


def _link(temporary: Path, path: Path) -> None:
    """Give a file this name as well, unless another has it."""
    with suppress(FileExistsError):
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # An empty file takes the name, and gives it to the whole one: never half of it, whoever dies in between.
            path.open("xb").close()
            try:
                os.replace(temporary, path)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
