"""What lies below a URL: the objects, the names of a folder, and what killed writers left unfinished.

Covers finding them, and removing what is unfinished or empty. Not covered: file systems, retries and deadlines, and
reading, writing and removing one object (`tasks.storage`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from tasks import storage

LISTING_S = 300
"""Longest time for one try of listing a folder."""


@dataclass(frozen=True)
class Entry:
    """One stored object."""

    url: str
    size: int
    etag: str
    modified_s: float = 0.0
    """When it was written, in seconds since the Unix epoch by the store's clock; 0 where the store does not say."""


def find(url: str, deep: int | None = None) -> Iterator[Entry]:
    """Every object below a URL, by name. A folder that is not there holds nothing; one that can't be listed is an
    error, since its files would be missing silently. Links to files and folders are followed.

    Args:
        deep: folders of a file system that lie more than so many below the URL are not looked into. An object store,
            which has none, may give more.
    """
    fs, path = storage.filesystem(url)
    if isinstance(fs, LocalFileSystem):
        found = storage.retry(lambda: _find_local(path, deep), url)
    else:
        try:
            found = storage.retry(lambda: storage.call(fs, "find", path, detail=True, limit_s=LISTING_S), url)
        except FileNotFoundError:
            return
    for name in sorted(found):
        # Clients that show folders of an object store keep an empty object for each, whose name ends with a slash.
        if name != path and not name.endswith("/") and not _is_beside(name.rsplit("/", 1)[-1]):
            size = int(found[name].get("size") or 0)
            # Below the URL as it was given: the file system's own may spell scheme and folders otherwise.
            yield Entry(url.rstrip("/") + name[len(path) :], size, _etag(found[name]), _modified(found[name]))


def need_archive(archive: str) -> None:
    """Raise FileNotFoundError where the archive's folder or bucket is not there: a disk that is not mounted, or a
    mistyped option, would look like a night without footage."""
    _need("archive", archive)


def need_store(store: str) -> None:
    """Raise FileNotFoundError where the store's folder or bucket is not there: it would look like an empty one."""
    _need("store", store)


def _need(kind: str, location: str) -> None:
    url, named = storage.normalise(location), f"--{kind} or LEDNET_{kind.upper()}"
    fs, path = storage.filesystem(url)
    if storage.is_local(url) and not storage.exists(url):
        raise FileNotFoundError(f"{kind} {location}: not there; mount it, or name it with {named}")
    if hasattr(fs, "_call_s3"):
        bucket, key, _ = fs.split_path(path)
        # What `find` asks, for a key may be allowed nothing else.
        question = {"Bucket": bucket, "Prefix": f"{key}/" if key else "", "MaxKeys": 1}
        try:
            storage.retry(lambda: storage.call(fs, "call_s3", "list_objects_v2", **question), url)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{kind} {location}: {error}; name it with {named}") from error


def names(url: str) -> list[str]:
    """Names of the objects and folders directly below a URL; none where nothing, or no folder, is there."""
    fs, path = storage.filesystem(url)
    try:
        found: list[str] = storage.retry(lambda: storage.call(fs, "ls", path, detail=False, limit_s=LISTING_S), url)
    except (FileNotFoundError, NotADirectoryError):
        return []
    below = {entry.rstrip("/").rsplit("/", 1)[-1] for entry in found if entry.rstrip("/") != path}
    return sorted(name for name in below if name and not _is_beside(name))


def unfinished(url: str) -> Iterator[Entry]:
    """What killed writers left below a URL: hidden temporary files, or uploads in parts that were never completed."""
    fs, path = storage.filesystem(url)
    if isinstance(fs, LocalFileSystem):
        found = storage.retry(lambda: _find_local(path), url)
        for name in sorted(n for n in found if _is_temporary(n.rsplit("/", 1)[-1])):
            yield Entry(fs.unstrip_protocol(name), found[name]["size"], "", _modified(found[name]))
    elif hasattr(fs, "_call_s3"):
        for upload in _uploads(fs, path, url):
            yield Entry(f"s3://{upload['Bucket']}/{upload['Key']}", 0, upload["UploadId"], _modified(upload))


def _uploads(fs: Any, path: str, url: str) -> Iterator[dict[str, Any]]:
    bucket, key, _ = fs.split_path(path)
    question = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
    more = True
    while more:  # a store tells a thousand at a time
        answer = storage.retry(partial(storage.call, fs, "call_s3", "list_multipart_uploads", **question), url)
        for upload in answer.get("Uploads", []):
            yield {**upload, "Bucket": bucket, "LastModified": upload.get("Initiated", 0.0)}
        more = answer.get("IsTruncated", False)
        question |= {name: answer.get(f"Next{name}", "") for name in ("KeyMarker", "UploadIdMarker")}


def remove_unfinished(entry: Entry) -> None:
    """Delete what `unfinished` found."""
    fs, path = storage.filesystem(entry.url)
    if isinstance(fs, LocalFileSystem):
        storage.remove(entry.url)
        return
    bucket, key, _ = fs.split_path(path)
    names = {"Bucket": bucket, "Key": key, "UploadId": entry.etag}
    storage.retry(lambda: storage.call(fs, "call_s3", "abort_multipart_upload", **names), entry.url)


def remove_empty_folders(url: str) -> None:
    """Remove a folder and those below it as far as they are empty; object stores have none."""
    if storage.is_local(url):
        for folder, _, _ in os.walk(storage.filesystem(url)[1], topdown=False):
            with suppress(OSError):  # not empty
                os.rmdir(folder)


def _find_local(path: str, deep: int | None = None) -> dict[str, dict[str, Any]]:
    """Not fsspec's own, which leaves out folders that it may not or cannot list, and says nothing."""
    parts = path.count("/")

    def unless_gone(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise error

    found: dict[str, dict[str, Any]] = {}
    seen: set[tuple[int, int]] = set()  # links can lead in circles
    for folder, folders, files in os.walk(path, onerror=unless_gone, followlinks=True):
        here = _status(folder)
        if here is None or (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders.sort()
        if deep is not None and folder.count("/") - parts >= deep:
            folders.clear()
        for name in (os.path.join(folder, file) for file in files):
            status = _status(name)
            if status is not None and stat.S_ISREG(status.st_mode):
                found[name] = {"size": status.st_size, "mtime": status.st_mtime}
    return found


def _status(path: str) -> os.stat_result | None:
    """What a path or link leads to; None where that is gone, or a link leads nowhere."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def _modified(info: dict[str, Any]) -> float:
    stamp = info.get("mtime", info.get("LastModified", 0.0))
    return stamp.timestamp() if isinstance(stamp, datetime) else float(stamp or 0)


def _etag(info: dict[str, Any]) -> str:
    tag = info.get("ETag") or info.get("etag")
    if tag:
        return str(tag).strip('"')
    return f"{info.get('size')}-{info.get('mtime', info.get('LastModified', ''))}"


def _is_beside(name: str) -> bool:
    """Whether a file is no content: one that is being written, or what macOS keeps beside a file on a foreign disk."""
    return _is_temporary(name) or name.startswith("._")


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(storage.TEMPORARY)
