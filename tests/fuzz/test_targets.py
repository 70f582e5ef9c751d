"""Every reader of bytes that others wrote answers any bytes with a result or with its own error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from tests.fuzz import targets
from tests.fuzz.inputs import changed


@pytest.fixture(scope="module", autouse=True)
def _folder() -> Iterator[None]:
    yield
    shutil.rmtree(targets.FOLDER, ignore_errors=True)


@pytest.mark.parametrize("name", sorted(targets.TARGETS))
def test_any_bytes_end_in_a_result_or_the_readers_own_error(name: str) -> None:
    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(changed(targets.TARGETS[name].seeds))
    def read(data: bytes) -> None:
        targets.check(name, data)

    read()


@pytest.mark.parametrize("name", sorted(set(targets.TARGETS) - {"card"}))
def test_the_seeds_are_good(name: str) -> None:
    for seed in targets.TARGETS[name].seeds:
        targets.TARGETS[name].read(seed)
