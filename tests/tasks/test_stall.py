"""A process that gets nowhere ends itself, whatever holds it up; one that shows signs of life does not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tasks.settings import NightSettings

# PyDLL calls C without letting go of the interpreter's lock, as a library that hangs within an extension does.
HUNG = """
import ctypes
from tasks.stall import ended_if_stalled
def deadlock():
    ctypes.PyDLL(None).sleep(60)
with ended_if_stalled(0.5):
    deadlock()
"""
ALIVE = """
import time
from tasks.stall import ended_if_stalled
with ended_if_stalled(0.6) as alive, ended_if_stalled(0.6):
    for _ in range(8):
        time.sleep(0.2)
        alive()
time.sleep(1)
"""
TWO = """
import time
from tasks.stall import ended_if_stalled
with ended_if_stalled(0.5):
    with ended_if_stalled(0.5):
        pass
    time.sleep(60)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)


def test_a_process_that_hangs_with_the_interpreters_lock_ends_and_says_where_it_was() -> None:
    ended = run(HUNG)
    assert ended.returncode == 1
    assert "in deadlock" in ended.stderr


def test_one_that_shows_signs_of_life_goes_on_and_is_let_be_afterwards() -> None:
    assert run(ALIVE).returncode == 0


def test_the_end_of_one_work_item_does_not_end_the_watch_over_another() -> None:
    assert run(TWO).returncode == 1


def test_a_limit_that_a_hanging_file_would_reach_is_refused() -> None:
    settings = NightSettings()
    with pytest.raises(ValueError, match="item_stall_s = 1800: must be more than twice decode_stall_s, which is 900"):
        replace(settings, item_stall_s=1800)
