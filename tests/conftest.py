"""What all tests share: one thread for tensors, and a garbage collector that looks at what tests make alone."""

from __future__ import annotations

import gc

import pytest


def pytest_collection_finish() -> None:
    """Imports and collected tests stay to the end, hundreds of thousands of objects: full collections, which libraries
    and tests ask for again and again, pass over them from here on."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Whatever the tests before have asked for. Tensors of these sizes gain nothing from threads, which wait for each
    other: with two, on cores that another process uses as well, a night of 25 small frames costs many times as much."""
    import torch  # not above: the process that hands the tests out has no need of it, and all others wait for it

    torch.set_num_threads(1)
