"""The bytes of a safetensors file: tensors come back as they were, as the safetensors library has them, or as a
CheckpointError; nothing else.

Models and their cards: `test_checkpoint`.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from lednet import checkpoint
from lednet.checkpoint import CheckpointError, read_safetensors, write_safetensors

DTYPES = sorted(checkpoint._DTYPES.values(), key=str)


def same_bytes(a: Tensor, b: Tensor) -> bool:
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and a.reshape(-1).view(torch.uint8).tolist() == b.reshape(-1).view(torch.uint8).tolist()
    )


def some_tensors() -> dict[str, Tensor]:
    """One of every type, with odd sizes in between so that offsets are not aligned by chance."""
    tensors: dict[str, Tensor] = {"first": torch.arange(3, dtype=torch.uint8)}
    for i, dtype in enumerate(DTYPES):
        tensors[f"block.{i}.weight"] = (torch.randn(3, i + 1, 2) * 50).to(dtype)
    tensors["scalar"] = torch.tensor(3.5)
    tensors["nothing"] = torch.zeros(0, 4)
    tensors["odd"] = torch.tensor([float("nan"), float("inf"), -0.0])
    tensors["transposed"] = torch.arange(6.0).reshape(2, 3).T
    return tensors


def wrap(header: Any, body: bytes = b"") -> bytes:
    """The bytes of a safetensors file of that header (JSON, or the bytes themselves)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


# The format


def test_the_safetensors_library_reads_our_bytes(tmp_path: Path) -> None:
    tensors = some_tensors()
    data = write_safetensors(tensors)
    (tmp_path / "ours.safetensors").write_bytes(data)
    for theirs in (safetensors.torch.load(data), safetensors.torch.load_file(tmp_path / "ours.safetensors")):
        assert theirs.keys() == tensors.keys()
        assert [name for name in tensors if not same_bytes(theirs[name], tensors[name])] == []


def test_we_read_the_safetensors_librarys_bytes() -> None:
    tensors = {name: tensor.contiguous() for name, tensor in some_tensors().items()}
    ours = read_safetensors(safetensors.torch.save(tensors, metadata={"format": "pt"}), "theirs")
    assert ours.keys() == tensors.keys()
    assert [name for name in tensors if not same_bytes(ours[name], tensors[name])] == []


def test_no_tensors_at_all_are_a_file_too() -> None:
    assert read_safetensors(write_safetensors({}), "empty") == {}
    assert safetensors.torch.load(write_safetensors({})) == {}


@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=5),
    dtype=st.sampled_from(DTYPES),
    name=st.text(min_size=1, max_size=5).filter(lambda n: n != "__metadata__" and n.isprintable()),
)
def test_tensors_of_any_shape_and_name_come_back(shapes: list[list[int]], dtype: torch.dtype, name: str) -> None:
    tensors = {f"{name}{i}": torch.ones(shape).to(dtype) for i, shape in enumerate(shapes)}
    data = write_safetensors(tensors)
    for back in (read_safetensors(data, "ours"), safetensors.torch.load(data)):
        assert back.keys() == tensors.keys()
        assert all(same_bytes(back[n], tensors[n]) for n in tensors)


# Hostile bytes

F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@given(data=st.binary(max_size=200))
def test_random_bytes_are_a_checkpoint_error(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^some/file: .*(copy it again|train a new one)"):
        read_safetensors(data, "some/file")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8) | st.just("F32"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "dtype", "shape", "data_offsets", "__metadata__"]), inner, max_size=4)
    ),
    max_leaves=12,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "U8", "Q9"]) | json_values,
        "shape": st.lists(st.integers(-3, 5) | st.floats(), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-3, 12) | st.floats(), max_size=3) | json_values,
    }
)


@given(header=json_values | st.dictionaries(st.text(max_size=3), entries, max_size=3), body=st.binary(max_size=12))
@example({"a": F32 | {"shape": [float("inf")]}}, b"1234")
@example({"a": F32 | {"data_offsets": [0, 1e400]}}, b"1234")
@example({"a": F32 | {"shape": [0, 10**30], "data_offsets": [0, 0]}}, b"")
def test_hostile_headers_raise_nothing_but_checkpoint_errors(header: Any, body: bytes) -> None:
    try:
        tensors = read_safetensors(wrap(header, body), "file")
    except CheckpointError:
        return
    assert sum(t.numel() * t.element_size() for t in tensors.values()) == len(body)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x08\0\0", id="less than a header length"),
        pytest.param(b"\xff" * 8 + b"{}", id="huge header length"),
        pytest.param((2**63 - 1).to_bytes(8, "little") + b"{}", id="largest signed header length"),
        pytest.param((10).to_bytes(8, "little") + b"{}", id="header longer than the file"),
        pytest.param(wrap([]), id="a list for a header"),
        pytest.param(wrap(1), id="a number for a header"),
        pytest.param(wrap(None), id="null for a header"),
        pytest.param(wrap("text"), id="text for a header"),
        pytest.param(wrap(b""), id="empty header"),
        pytest.param(wrap(b"\xff\xfe{}"), id="header not UTF-8"),
        pytest.param(wrap("{}".encode("utf-16")), id="header in UTF-16"),
        pytest.param(wrap(b"[" * 100_000), id="lists nested without end"),
        pytest.param(wrap(b'{"a":' * 100_000), id="tables nested without end"),
        pytest.param(wrap(b'{"a":' + b"9" * 5_000 + b"}"), id="a number of 5000 digits"),
        pytest.param(wrap({"a": None}), id="no entry"),
        pytest.param(wrap({"a": {}}), id="empty entry"),
        pytest.param(wrap({"a": F32 | {"dtype": "F3"}}, b"1234"), id="unknown type"),
        pytest.param(wrap({"a": F32 | {"dtype": ["F32"]}}, b"1234"), id="a list for a type"),
        pytest.param(wrap({"a": F32 | {"data_offsets": [-4, 0]}}, b"1234"), id="negative offset"),
        pytest.param(wrap({"a": F32 | {"data_offsets": [4, 0]}}, b"1234"), id="offsets backwards"),
        pytest.param(wrap({"a": F32 | {"data_offsets": [0, 4, 4]}}, b"1234"), id="three offsets"),
        pytest.param(wrap({"a": F32 | {"data_offsets": [False, 4]}}, b"1234"), id="truth for an offset"),
        pytest.param(wrap({"a": F32 | {"shape": [-1]}}, b"1234"), id="negative size"),
        pytest.param(wrap({"a": F32 | {"shape": [-1, -1]}}, b"1234"), id="two negative sizes"),
        pytest.param(wrap({"a": F32 | {"shape": [1.5]}}, b"1234"), id="a size that is no whole number"),
        pytest.param(wrap({"a": F32 | {"shape": "1"}}, b"1234"), id="text for a shape"),
        pytest.param(wrap({"a": F32 | {"shape": [float("inf")]}}, b"1234"), id="infinite size"),
        pytest.param(wrap({"a": F32 | {"shape": [2]}}, b"1234"), id="shape larger than its data"),
        pytest.param(wrap({"a": F32 | {"shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}), id="sizes that overflow"),
        pytest.param(wrap({"a": F32, "b": F32}, b"1234"), id="overlapping tensors"),
        pytest.param(wrap({"a": F32, "b": F32 | {"data_offsets": [2, 6]}}, b"123456"), id="half overlapping tensors"),
        pytest.param(wrap({"a": F32 | {"data_offsets": [4, 8]}}, b"12345678"), id="a gap before"),
        pytest.param(wrap({"a": F32}, b"12345"), id="bytes left over"),
        pytest.param(wrap({"a": F32}, b"123"), id="bytes missing"),
    ],
)
def test_a_file_that_is_not_whole_and_consistent_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^here\.safetensors: .*copy it again"):
        read_safetensors(data, "here.safetensors")


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_more_than_a_checkpoint_error_even_without_a_hash(place: int, bit: int) -> None:
    data = bytearray(write_safetensors({"a": torch.ones(3), "b": torch.ones(2, 2).half()}))
    data[place % len(data)] ^= 1 << bit
    with contextlib.suppress(CheckpointError):
        read_safetensors(bytes(data), "file")
