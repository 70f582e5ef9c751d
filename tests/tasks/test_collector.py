"""The garbage collector while a night is planned: it passes over what was there, and only then."""

from __future__ import annotations

import gc
import weakref

import pytest

from tasks.collector import new_objects_alone


class Knot:
    """An object that only a collection can take away."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_made_meanwhile_is_collected() -> None:
    with new_objects_alone():
        made = weakref.ref(Knot())
        gc.collect()
        assert made() is None


def test_what_was_there_is_collected_afterwards() -> None:
    was_there = weakref.ref(Knot())
    with new_objects_alone():
        gc.collect()
        assert was_there() is not None
    gc.collect()
    assert was_there() is None


def test_it_is_collected_after_a_failure_too() -> None:
    was_there = weakref.ref(Knot())
    with pytest.raises(OSError, match="full"), new_objects_alone():
        raise OSError("full")
    gc.collect()
    assert was_there() is None
