"""A stored object as a seekable file that is read by ranges, with what went wrong remembered.

Covers reading ahead, answers of a wrong length and retrying through a function that is given. FFmpeg swallows errors of
the files that it reads, so the first fault that stays is kept in `fault`, and every later read raises it again. Not
covered: how ranges are fetched (`tasks.storage`), whose fault a fault is (`tasks.faults`).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

READ_AHEAD = 4 * 2**20
"""Bytes fetched at least at once."""

Fetch = Callable[[int, int], bytes]
"""(first byte, count) -> bytes, one try; raises OSError."""
Retry = Callable[[Callable[[], Any], str], Any]
"""(one try, the object's URL) -> what the try gives."""


class RangedFile(io.RawIOBase):
    """An object of known size, read only. Never fewer bytes than the object holds there: that is a fault."""

    def __init__(
        self,
        url: str,
        fetch: Fetch,
        size: int,
        retry: Retry,
        release: Callable[[], object] | None = None,
        etag: str = "",
    ) -> None:
        self.url, self.size = url, size
        self.etag = etag
        """The object store's own name for what is read; none for a file."""
        self.fault: OSError | None = None
        """The fault that outlasted all retries."""
        self._fetch, self._retry, self._release = fetch, retry, release
        self._position = 0
        self._ahead, self._ahead_at = b"", 0
        self._failed_at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, which may lie beyond the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"{self.url}: negative position {base + offset}")
        self._position = base + offset
        return self._position

    def read(self, count: int | None = -1) -> bytes:
        """Bytes from the position on: as many as wanted and there. Raises OSError if they can't be had."""
        if self.fault is not None:
            raise self.fault.with_traceback(None)  # or it would grow by every read
        left = max(0, self.size - self._position)
        wanted = left if count is None or count < 0 else min(count, left)
        if not wanted:
            return b""
        offset = self._position - self._ahead_at
        if not 0 <= offset <= len(self._ahead) - wanted:
            self._read_ahead(wanted)
            offset = 0
        self._position += wanted
        return self._ahead[offset : offset + wanted]

    def readinto(self, buffer: Any) -> int:
        """As `read`, into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _read_ahead(self, wanted: int) -> None:
        start = self._position
        count = min(max(wanted, READ_AHEAD), self.size - start)
        try:
            self._ahead = self._retry(lambda: self._whole(start, count), self.url)
        except OSError as error:
            self.fault, self._failed_at = error, start
            raise
        self._ahead_at = start

    def _whole(self, start: int, count: int) -> bytes:
        data = self._fetch(start, count)
        if len(data) != count:
            raise OSError(f"answered with {len(data)} bytes instead of {count}")
        return data

    def try_again(self) -> None:
        """Fetch one byte where reading failed, once. Raises OSError."""
        self._whole(self._failed_at, 1)

    def close(self) -> None:
        """Let go of the object."""
        if not self.closed and self._release is not None:
            self._release()
        self._ahead = b""
        super().close()
