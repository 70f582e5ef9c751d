"""What all tests share: one thread for tensors."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Whatever the tests before have asked for. Tensors of these sizes gain nothing from threads, which wait for each
    other: with two, on cores that another process uses as well, a night of 25 small frames costs many times as much."""
    torch.set_num_threads(1)
