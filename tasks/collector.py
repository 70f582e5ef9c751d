"""Python's garbage collector while millions of small objects are made: it looks at what is new alone.

Each full collection would go through all that was imported, hundreds of thousands of objects, again and again. Not
covered: freed memory, which the allocator keeps (`lednet.memory`, `tasks.worker_memory`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def new_objects_alone() -> Iterator[None]:
    """What is there at the beginning is passed over until the end; then all is collected as before."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
