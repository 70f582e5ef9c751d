"""The one place where URLs are opened: file://, s3:// and any other that fsspec knows.

Covers joining URLs, and reading, writing and removing single objects. Objects are written whole or not at all: local
files through a hidden temporary name and a rename, object stores by their own semantics. Transient faults are retried
here and nowhere else, what can't pass is told at once, and every call to a remote store has a deadline. File systems
are made inside the process that uses them and never pickled. No character of a name means anything but itself: URLs are
taken as they stand, without escapes. Not covered: what lies below a URL (`tasks.listing`), writing only where nobody
else has since (`tasks.conditional`), and whether a fault that stays is the store's or one object's (`tasks.faults`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import re
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import fsspec
from fsspec.asyn import sync
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem

from tasks import meters
from tasks.ranged import RangedFile, Retry

if TYPE_CHECKING:
    from zarr.abc.store import Store

T = TypeVar("T")

ATTEMPTS = 8
"""Tries of one storage call, the first included."""
FIRST_DELAY_S = 0.2
"""Mean pause after the first failure; it doubles, with full jitter: some 25 s in all."""
CALL_S = 60
"""Longest time that one try of a remote call may take, so that a store that drips or hangs is noticed ..."""
LEAST_BYTES_S = 2**19
"""... and what a transfer of known size must reach beyond that."""
FINAL = (errno.EROFS, errno.ENAMETOOLONG)
"""What no waiting mends: a store that is mounted for reading alone, and a name that it can't hold."""
REFUSED = (401, 403)
"""What an object store answers to one whom it doesn't know, or who may not do this."""
NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")
"""What the S3 client raises where this process has no credentials, or half of them; nobody was asked yet."""
NO_ENDPOINT = "Invalid endpoint"
"""How the S3 client's complaint begins of an endpoint that is no URL: one without http:// or https://."""
ENDPOINT = "write AWS_ENDPOINT_URL, or the endpoint of LEDNET_S3_BLOCK, as http://HOST:PORT or https://HOST"
_ONE_SLASH = re.compile("[a-z][a-z0-9+]+:/(?!/)")
_NO_BUCKET = re.compile("(?!file:|local:)[a-z][a-z0-9+]+://(/|$)")
TEMPORARY = ".tmp"
"""How the hidden names of unfinished files end; a killed process may leave one, and no listing shows it."""


class StorageError(OSError):
    """A storage location cannot be used; the message names the URL, the cause and the next step."""


def normalise(location: str) -> str:
    """A URL, or a path of this machine, as a URL without a trailing slash.

    Raises:
        ValueError: for a URL that lacks a slash and so would be a folder of this machine; for one without a bucket, of
            a variable that is not set, which would be such a folder or another bucket.
    """
    if _ONE_SLASH.match(location):
        raise ValueError(f"{location}: a URL has two slashes after its colon; a folder of that name is ./{location}")
    if _NO_BUCKET.match(location):
        raise ValueError(f"{location}: names no bucket; write {_scheme(location)}://BUCKET/PREFIX")
    if "://" not in location:
        location = f"file://{Path(location).expanduser().absolute()}"
    return location.rstrip("/")


def relative(url: str, base: str) -> str:
    """The path of an object below a base URL. Raises StorageError if it is not below it."""
    if not url.startswith(base.rstrip("/") + "/"):
        raise StorageError(f"{url}: does not lie below {base}")
    return url[len(base.rstrip("/")) + 1 :]


def join(url: str, *parts: str) -> str:
    """Append path parts to a URL. Raises StorageError for a part that would leave it."""
    for part in parts:
        if part.startswith("/") or ".." in part.split("/"):
            raise StorageError(f"{url}: refusing the path {part!r}, which would leave it; mend the name")
    return "/".join([url.rstrip("/"), *parts])


def filesystem(url: str, **options: Any) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL and the path on it. S3 endpoint, region and credentials come from the environment
    (AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), never from the URL, which is
    written into logs and manifests."""
    if not is_local(url) and "@" in url.partition("://")[2].partition("/")[0]:
        raise StorageError(f"{_scheme(url)}://...: credentials do not belong in a URL; set the AWS_ variables instead")
    # Not fsspec's url_to_fs, which takes "::" in a file's name for the link of a chain of URLs.
    try:
        kind = fsspec.get_filesystem_class(_scheme(url))
        if _scheme(url) in ("s3", "s3a") and not options.get("asynchronous"):
            # `retry` below is the only one: three layers of retries would make hours of one dead store. Likewise `call`
            # says how long a try may take: s3fs gives a busy store 15 s for the first byte of an answer.
            patience = {"retries": {"total_max_attempts": 1}, "read_timeout": CALL_S}
            options = {"config_kwargs": patience, **options}
        fs = kind(use_listings_cache=False, **kind._get_kwargs_from_urls(url), **options)
        if "config_kwargs" in options:
            fs.retries = 1
    except (ImportError, ValueError, OSError) as error:  # some drivers connect here already
        raise StorageError(f"{url}: cannot be opened ({error}); use file:// or s3://, or install its driver") from error
    return fs, cast(str, kind._strip_protocol(url))


def forget() -> None:
    """Let file systems of object stores be made anew, by the environment as it is now."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else "file"


def is_local(url: str) -> bool:
    """Whether a URL names a folder or file of this machine."""
    return _scheme(url) in ("file", "local")


def call(fs: fsspec.AbstractFileSystem, method: str, *args: Any, limit_s: float = CALL_S, **options: Any) -> Any:
    """One try of a file system's method, with a deadline where the store is remote. Raises OSError when it passes."""
    if not fs.async_impl:
        return getattr(fs, method)(*args, **options)
    return sync(fs.loop, getattr(fs, f"_{method}"), *args, timeout=limit_s, **options)


def retry(call: Callable[[], T], what: str) -> T:
    """Make a storage call, again after a pause when it fails for a reason that may pass.

    Raises:
        FileNotFoundError: at once, since waiting would not help.
        PermissionError: at once: there are no credentials, they are refused, or this is not allowed.
        StorageError: after `ATTEMPTS` tries, or at once where the store takes no writes or its endpoint is no URL.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise
        except Exception as error:
            if isinstance(error, ValueError) and str(error).startswith(NO_ENDPOINT):
                raise StorageError(f"{what}: {error}; {ENDPOINT}") from error
            if not isinstance(error, OSError) and not _is_drivers(error):
                raise
            if refusal := _refusal(error):
                raise PermissionError(f"{what}: {refusal}") from error
            if getattr(error, "errno", None) in FINAL:
                raise StorageError(f"{what}: {error}; name another place, or mend this one") from error
            if attempt == ATTEMPTS:
                raise StorageError(f"{what}: failed {ATTEMPTS} times, last with: {error}; check the store") from error
            meters.RETRIES.inc()
            time.sleep(random.uniform(0, 2 * FIRST_DELAY_S * 2 ** (attempt - 1)))
    raise AssertionError("unreachable")


def _refusal(error: Exception) -> str:
    """Why this process may not do what it asked for, and the next step; empty where that is not what went wrong."""
    if type(error).__name__ in NO_CREDENTIALS:
        return f"{error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or LEDNET_S3_BLOCK (docs/operating.md)"
    # The answer itself, where there is one: it says which of many refusals this is, and s3fs knows not all of them.
    answer = error if hasattr(error, "response") else error.__cause__
    told = getattr(answer, "response", None)
    status = told.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(told, dict) else None
    if isinstance(error, PermissionError) or status in REFUSED:
        return f"{answer if status else error}; check the rights of this user or key"
    return ""


def _is_drivers(error: Exception) -> bool:
    """Whether an error is one of the S3 client's own, which are no OSErrors: no connection, no credentials."""
    return type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp")


def lacks_bucket(error: Exception) -> bool:
    """Whether an object store has not even the bucket, where all else that is missing is but an empty folder."""
    told = getattr(error.__cause__, "response", None)
    return isinstance(told, dict) and told.get("Error", {}).get("Code") == "NoSuchBucket"


def read(url: str) -> bytes:
    """A whole object, of the length that the store states. Raises FileNotFoundError if there is none."""
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            return cast(bytes, retry(lambda: fs.cat_file(path), url))
        return retry(lambda: read_with_etag(url, fs, path), url)[0]
    except (NotADirectoryError, IsADirectoryError) as error:
        raise FileNotFoundError(f"{url}: no such object") from error


def write(url: str, data: bytes) -> None:
    """Write a whole object, atomically."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        stored(lambda: _write_local(Path(path), data), url)
    else:
        limit_s = CALL_S + len(data) / LEAST_BYTES_S
        stored(lambda: call(fs, "pipe_file", path, data, limit_s=limit_s), url)


def stored(call: Callable[[], T], url: str) -> T:
    """`retry` of a call that writes: what is not there then is the place to write to, which clients don't name."""
    try:
        return retry(call, url)
    except FileNotFoundError as error:
        raise StorageError(f"{url}: {error}; make its bucket or folder first, or mend the URL") from error


def _write_local(path: Path, data: bytes) -> None:
    with whole(path) as file:
        file.write(data)


@contextmanager
def whole(path: Path, name: Callable[[Path, Path], None] | None = None) -> Iterator[IO[bytes]]:
    """A hidden file, which takes its name when the context is left without an error.

    Args:
        name: gives it its name, or doesn't, and leaves nothing behind; by default it takes the place of what is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unique, since processes on several machines may write the same object at once and share process ids.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        (name or os.replace)(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def writing(url: str) -> Iterator[IO[bytes]]:
    """A file to write an object into that memory should not hold whole: what `write` does, when the context is left
    without an error. For a remote store it stands among this machine's temporary files until then."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with whole(Path(path)) as file:
            yield file
        return
    with NamedTemporaryFile(prefix="lednet-") as file:
        yield file
        file.flush()
        limit_s = CALL_S + file.seek(0, os.SEEK_END) / LEAST_BYTES_S
        stored(lambda: call(fs, "put_file", file.name, path, limit_s=limit_s), url)


def read_with_etag(url: str, fs: Any, path: str) -> tuple[bytes, str]:
    """One try to read an object of a remote store whole, with the etag that it has; faults as they come."""
    with _open_remote(url, fs, path, lambda one_try, _: one_try()) as file:
        return file.read(), file.etag


def plain_etag(etag: str) -> str:
    """An etag as every store takes it for a condition: Ceph's wants no quotes when it writes."""
    return etag.strip('"')


def remove(url: str) -> None:
    """Delete one object; nothing happens where there is none. Never a folder."""
    fs, path = filesystem(url)
    try:
        retry(lambda: call(fs, "rm_file", path), url)
    except FileNotFoundError:
        return


def exists(url: str) -> bool:
    """Whether an object or folder is there."""
    fs, path = filesystem(url)
    try:
        retry(lambda: call(fs, "info", path), url)  # not `exists`, which takes some faults for a no
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def open_seekable(url: str) -> RangedFile:
    """An object as a seekable binary file, read by ranges; nothing is downloaded that is not asked for.

    What is read is the object as it stood when it was opened: one that is replaced meanwhile is a fault.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by the file that is returned

        def pread(start: int, count: int) -> bytes:
            return os.pread(file.fileno(), count, start)

        return RangedFile(url, pread, os.fstat(file.fileno()).st_size, retry, file.close)
    return _open_remote(url, fs, path, retry)


def _open_remote(url: str, fs: Any, path: str, again: Retry) -> RangedFile:
    info = again(lambda: call(fs, "info", path), url)
    if info.get("type") == "directory":
        raise FileNotFoundError(f"{url}: no such object")

    def fetch(start: int, count: int) -> bytes:
        limit_s = CALL_S + count / LEAST_BYTES_S
        if hasattr(fs, "_call_s3"):
            return cast(bytes, sync(fs.loop, _get_range, fs, path, start, start + count, info["ETag"], timeout=limit_s))
        return cast(bytes, call(fs, "cat_file", path, start=start, end=start + count, limit_s=limit_s))

    return RangedFile(url, fetch, int(info["size"]), again, etag=plain_etag(info.get("ETag") or ""))


async def _get_range(fs: Any, path: str, start: int, end: int, etag: str) -> bytes:
    """Some bytes of an S3 object while it still has this etag."""
    bucket, key, _ = fs.split_path(path)
    answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=etag)
    try:
        return cast(bytes, await answer["Body"].read())
    finally:
        answer["Body"].close()


def zarr_store(url: str) -> Store:
    """A URL as a Zarr store, made for this process."""
    from zarr.storage import FsspecStore, LocalStore  # only here, for it is a third of what a decoder's start takes

    if is_local(url):
        return LocalStore(filesystem(url)[1])
    fs, path = filesystem(url, asynchronous=True)
    if not fs.async_impl:
        fs = AsyncFileSystemWrapper(fs, asynchronous=True)
    elif hasattr(fs, "_call_s3") and fs._s3 is None:
        retry(lambda: _connect(fs), url)
    return FsspecStore(fs, path=path)


def _connect(fs: Any) -> None:
    """Connect an S3 file system in Zarr's event loop, and have that end when nobody uses it any more. s3fs ends its own
    connections alone, and leaves an asynchronous one's to whoever asked for it."""
    from zarr.core.sync import sync as in_zarrs_loop

    async def connect() -> asyncio.AbstractEventLoop:
        await fs.set_session()
        return asyncio.get_running_loop()

    loop = in_zarrs_loop(connect())
    # A process that ends takes its connections along, and Zarr's loop is gone by then.
    weakref.finalize(fs, _disconnect, loop, fs._s3creator).atexit = False


def _disconnect(loop: asyncio.AbstractEventLoop, connection: Any) -> None:
    """Without waiting: the garbage collector calls it in any thread, also in that of the loop."""
    asyncio.run_coroutine_threadsafe(connection.__aexit__(None, None, None), loop)
