"""A scheduler that has gone for good does not hide how the night ended."""

from __future__ import annotations

import pytest

from flows.versions import late_workers_checked


class Client:
    """A Dask client that gave its scheduler up, as `distributed.Client` is then: it has nothing to ask with."""

    def subscribe_topic(self, *_: object) -> None: ...

    def register_plugin(self, *_: object, **__: object) -> None: ...

    def unregister_worker_plugin(self, _: str) -> None:
        scheduler = None
        scheduler.unregister_worker_plugin()  # type: ignore[attr-defined]


def test_the_check_of_late_workers_ends_without_its_scheduler() -> None:
    with late_workers_checked(Client()):
        pass


def test_an_error_within_the_night_is_told_and_not_that_of_the_clean_up() -> None:
    with pytest.raises(ZeroDivisionError), late_workers_checked(Client()):
        raise ZeroDivisionError
