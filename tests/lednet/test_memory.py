"""Keeping freed memory works where it can and harms nothing."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest
import torch

from lednet.memory import keep_freed_memory


def test_keeping_freed_memory_says_whether_it_could_and_may_be_asked_twice() -> None:
    assert isinstance(keep_freed_memory(), bool)
    assert keep_freed_memory() == keep_freed_memory()
    assert torch.ones(5_000_000).sum() == 5_000_000


def test_where_there_is_no_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert keep_freed_memory() is False


FAULTS = """
import resource, torch
from lednet.memory import keep_freed_memory
if keep_freed_memory():
    torch.set_num_threads(1)
    for _ in range(20):  # glibc before 2.38 leaves some holes that an aligned tensor does not fit into
        torch.ones(16_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="another allocator is preloaded")
def test_a_large_tensor_reuses_the_pages_of_a_freed_one() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=60)
    if not done.stdout.strip():
        pytest.skip("no mallopt here")
    assert int(done.stdout) < 20_000  # five new tensors of 64 MB would be 78,000 pages
