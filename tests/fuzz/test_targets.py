"""Every reader of bytes that others wrote answers any bytes with a result or with its own error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import targets


@pytest.fixture(scope="module", autouse=True)
def _folder() -> Iterator[None]:
    yield
    shutil.rmtree(targets.FOLDER, ignore_errors=True)


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with bytes overwritten, stretches cut out, and others put in; or bytes out of the air."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(("overwrite", "cut", "insert", "number")))
        if kind == "overwrite" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            data[at:at] = draw(st.sampled_from((b"-1", b"1e999", b"NaN", b"null", b"[" * 50, b"9" * 40, b"\xff" * 4)))
    return bytes(data)


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
