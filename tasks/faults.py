"""Whose fault is it: the store's, or one file's?

When reading a file has failed for good, its neighbours are asked. If they answer, and go on answering while this file
goes on failing, the file is at fault: it becomes a problem with its reason, and the night goes on without it. In every
other case the store is: the work item fails, so that nothing is published without frames that are only out of reach,
and running the night again repairs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fsspec.implementations.local import LocalFileSystem

from tasks import storage

ROUNDS = 3
"""How often in a row neighbours must answer at the first try while the file does not."""
PAUSE_S = 1.0
"""Between rounds."""
NEIGHBOURS = 8
"""How many neighbours are tried in a round, at most, until one answers."""


class UnreadableError(OSError):
    """One file cannot be read although its store answers."""


def judge(url: str, error: OSError, try_again: Callable[[], object]) -> OSError:
    """What to raise for a fault that outlasted the retries.

    Args:
        error: the fault.
        try_again: reads some of the file once; raises OSError.

    Returns:
        StorageError if the store is at fault or the file can be read again; otherwise an error of this file alone:
        `error` itself if the file is gone or closed to this user, or else UnreadableError.
    """
    for round_ in range(ROUNDS):
        if round_:
            time.sleep(PAUSE_S)
        if not _neighbour_answers(url):
            return storage.StorageError(
                f"{url}: neither it nor its neighbours can be read ({error}); check the archive, then run it again"
            )
        try:
            try_again()
        except Exception:
            continue
        return storage.StorageError(f"{url}: could not be read for a while ({error}); run it again")
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return error
    return UnreadableError(str(error.__cause__ or error))


def _neighbour_answers(url: str) -> bool:
    """Whether some other file of the same folder can be read at the first try; without one, whether the folder is
    there."""
    folder = url.rpartition("/")[0]
    fs, path = storage.filesystem(folder)
    try:
        listing = storage.call(fs, "ls", path, detail=True)
    except FileNotFoundError as error:
        # An object store has no folders: nothing below the prefix is an answer, unless the bucket has gone. A missing
        # folder of a file system may be a disk that has gone.
        return not isinstance(fs, LocalFileSystem) and not storage.lacks_bucket(error)
    except Exception:
        return False
    own = storage.filesystem(url)[1]
    others = [e["name"] for e in listing if e.get("type") == "file" and e.get("size") and e["name"] != own]
    return not others or any(_first_byte(fs, name) for name in others[:NEIGHBOURS])


def _first_byte(fs: object, name: str) -> bool:
    try:
        return len(storage.call(fs, "cat_file", name, start=0, end=1)) == 1
    except Exception:
        return False
