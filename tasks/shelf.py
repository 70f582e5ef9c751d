"""Plans put aside until their turn comes, so that the coordinator's memory doesn't grow with cameras and files.

They are kept compressed in a file that has no name: the system takes it back whenever this process ends, even by
SIGKILL. Not covered: what a plan is (`tasks.plan`).
"""

from __future__ import annotations

import pickle
import tempfile
import threading
import zlib
from types import TracebackType

from tasks.plan import coarser
from tasks.settings import NightSettings
from tasks.types import NightPlan

LEVEL = 1
"""Of zlib: half of a plan are random etags, which a higher level can't press any smaller."""


class PlanShelf:
    """Takes plans and gives them back as often as asked, to any thread. A context, whose end is the shelf's."""

    def __init__(self, archive: str, store: str, settings: NightSettings) -> None:
        self._places = (archive, store, settings)
        # Without a buffer: what a full disk did not take would stay in it, and every later call would fail over it.
        self._file = tempfile.TemporaryFile(prefix="lednet-plans-", buffering=0)  # noqa: SIM115 (closed by __exit__)
        self._lock = threading.Lock()

    def put(self, plan: NightPlan) -> tuple[int, int]:
        """Put a plan aside; returns where it lies, for `get`."""
        data = zlib.compress(pickle.dumps(plan, pickle.HIGHEST_PROTOCOL), LEVEL)
        left = memoryview(data)
        with self._lock:
            at = self._file.seek(0, 2)
            while left:
                left = left[self._file.write(left) :]
        return at, len(data)

    def get(self, place: tuple[int, int], every: int = 1) -> NightPlan:
        """The plan that lies there, at one slot in `every`; equal to the one put aside for 1.

        Raises:
            NothingToDoError: if its footage reaches none of the fewer slots.
        """
        at, size = place
        with self._lock:
            self._file.seek(at)
            data = self._file.read(size)
        # Written by this process into a file that nobody else can open.
        return coarser(pickle.loads(zlib.decompress(data)), every, *self._places)  # noqa: S301

    def __enter__(self) -> PlanShelf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
