"""Keeps freed memory in the process, for CPU work on large tensors.

glibc maps every allocation beyond a threshold anew and returns it on free; with tensors of tens of megabytes the page
faults cost as much as the arithmetic. Raising the thresholds keeps the pages. Elsewhere than on glibc, and where an
allocator is preloaded, nothing is changed.
"""

from __future__ import annotations

import ctypes
import logging

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 1 << 30

log = logging.getLogger(__name__)


def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds to 1 GiB for this process. Returns whether that was possible."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError) as error:
        log.debug("freed memory is not kept: %s", error)
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST))


def return_freed_memory() -> None:
    """Give what is kept back to the system, so that the memory of what follows can be measured."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError) as error:
        log.debug("freed memory is not returned: %s", error)
