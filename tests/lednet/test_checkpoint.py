"""Models come back as they were saved, or as a CheckpointError that says what to do; nothing else.

Not covered: the bytes of a file without a card (`test_safetensors`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lednet import checkpoint
from lednet.checkpoint import CheckpointError, card_path, load, read_safetensors, save, write_safetensors
from lednet.legs import in_all
from lednet.model import LEDNet, LEDNetConfig


@pytest.fixture
def saved(tmp_path: Path, tiny: LEDNetConfig) -> Path:
    path = tmp_path / "model.safetensors"
    save(path, LEDNet(tiny), half=True, training={"steps": 3}, validation={"psnr": 20.5})
    return path


def give_card(path: Path, **changed: Any) -> None:
    """Make the card of a weights file say what the file is, apart from `changed`."""
    card = {"name": "x", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "config": {}} | changed
    card_path(path).write_text(json.dumps(card))


# Saving and loading


def test_a_model_saved_in_fp32_comes_back_exactly(tmp_path: Path, tiny: LEDNetConfig) -> None:
    model = LEDNet(tiny)
    save(tmp_path / "a.safetensors", model, half=False, training={}, validation={})
    back, _ = load(tmp_path / "a.safetensors")
    assert not back.training
    assert back.config == tiny
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


def test_a_model_saved_in_half_comes_back_rounded_to_fp16_in_fp32(tmp_path: Path, tiny: LEDNetConfig) -> None:
    model = LEDNet(tiny)
    save(tmp_path / "a.safetensors", model, half=True, training={}, validation={})
    back, _ = load(str(tmp_path / "a.safetensors"))
    for name, tensor in model.state_dict().items():
        assert back.state_dict()[name].dtype == torch.float32
        assert torch.equal(back.state_dict()[name], tensor.half().float()), name


def test_half_is_half_the_size(tmp_path: Path, tiny: LEDNetConfig) -> None:
    model = LEDNet(tiny)
    for name, half in (("full", False), ("half", True)):
        save(tmp_path / f"{name}.safetensors", model, half=half, training={}, validation={})
    full, half_size = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half"))
    assert 0.45 < half_size / full < 0.65


def test_the_card_says_what_the_checkpoint_is(saved: Path, tiny: LEDNetConfig) -> None:
    _, card = load(saved)
    assert card.name == "model"
    assert card.sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert LEDNetConfig.from_dict(card.config) == tiny
    assert card.training == {"steps": 3}
    assert card.validation == {"psnr": 20.5}


def test_saving_leaves_no_other_files_behind(saved: Path) -> None:
    assert sorted(p.name for p in saved.parent.iterdir()) == ["model.json", "model.safetensors"]


def test_the_safetensors_library_reads_a_saved_checkpoint(saved: Path) -> None:
    model, _ = load(saved)
    theirs = safetensors.torch.load_file(saved)
    assert theirs.keys() == model.state_dict().keys()


# Loading what should not be loaded


@given(share=st.floats(0, 1), bit=st.integers(0, 7))
@example(0.0, 0)
@example(1.0, 7)
def test_a_flipped_bit_anywhere_in_the_weights_is_refused(share: float, bit: int) -> None:
    data = bytearray(FlippedBits.data())
    data[int(share * (len(data) - 1))] ^= 1 << bit
    path = FlippedBits.folder / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: sha256 is .* copy weights and card again"):
        load(path)


class FlippedBits:
    """A checkpoint that outlives one example."""

    folder: Path
    _data: bytes

    @classmethod
    def data(cls) -> bytes:
        return cls._data


@pytest.fixture(autouse=True, scope="module")
def _flipped_bits(tmp_path_factory: pytest.TempPathFactory, tiny: LEDNetConfig) -> None:
    FlippedBits.folder = tmp_path_factory.mktemp("flipped")
    path = FlippedBits.folder / "model.safetensors"
    save(path, LEDNet(tiny), half=True, training={}, validation={})
    FlippedBits._data = path.read_bytes()


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused_even_if_its_card_agrees(kept: int, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="sha256"):
        load(saved)
    give_card(saved)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a whole safetensors file"):
        load(saved)


def test_a_missing_file_is_refused_with_what_could_be_named_instead(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file; name a \.safetensors file"):
        load(tmp_path / "none.safetensors")


def test_a_missing_card_is_refused_by_name(saved: Path) -> None:
    card_path(saved).unlink()
    with pytest.raises(CheckpointError, match=r"model\.json: no readable card.*copy the \.json"):
        load(saved)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", "null", '"card"', "{}", '{"name": "x"}', "[" * 100_000, "\0",
     '{"name": "x", "sha256": 5, "config": {}}', '{"name": "x", "sha256": "", "config": []}',
     '{"name": "x", "sha256": "", "config": {}, "colour": "red"}'],
)  # fmt: skip
def test_a_card_that_is_no_card_is_refused(text: str, saved: Path) -> None:
    card_path(saved).write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.json: no readable card"):
        load(saved)


def test_a_card_that_is_not_text_is_refused(saved: Path) -> None:
    card_path(saved).write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(CheckpointError, match=r"model\.json: no readable card"):
        load(saved)


def test_the_card_of_another_file_is_refused(saved: Path, tiny: LEDNetConfig) -> None:
    other = saved.with_name("other.safetensors")
    save(other, LEDNet(tiny), half=True, training={}, validation={})
    card_path(saved).write_bytes(card_path(other).read_bytes())
    with pytest.raises(CheckpointError, match="another's"):
        load(saved)


class Bomb:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_a_pickle_is_refused_and_never_run(saved: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"weights": Bomb(tmp_path / "exploded")}, buffer)
    saved.write_bytes(buffer.getvalue())
    give_card(saved)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load(saved)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"heads": 4},
        {"channels": [32, 32]},
        {"channels": 32},
        {"channels": [33, 33, 33]},
        {"channels": [-32, 32, 32]},
        {"channels": ["a", "b", "c"]},
        {"channels": [64, 64, 64]},
        {"channels": None},
        {"encoder_blocks": [1, 1, 2]},
        {"encoder_blocks": [1.5, 1, 1]},
        {"middle_blocks": "two"},
        {"decoder_blocks": []},
        {"attention_at_half": False},
        {"attention_at_half": "no"},
    ],
    ids=str,
)
def test_a_config_that_is_not_the_weights_own_is_refused(
    change: dict[str, Any], saved: Path, tiny: LEDNetConfig
) -> None:
    give_card(saved, config=tiny.to_dict() | change)
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors: not the weights of the LEDNet on its card.*copy"
    ) as caught:
        load(saved)
    assert len(str(caught.value)) < 600


def test_a_card_that_does_not_tell_of_attention_at_half_is_of_when_there_was_no_other_kind(
    saved: Path, tiny: LEDNetConfig
) -> None:
    give_card(saved, config={k: v for k, v in tiny.to_dict().items() if k != "attention_at_half"})
    assert load(saved)[0].config.attention_at_half


def test_a_config_without_a_field_is_refused(saved: Path, tiny: LEDNetConfig) -> None:
    give_card(saved, config={k: v for k, v in tiny.to_dict().items() if k != "channels"})
    with pytest.raises(CheckpointError, match="channels"):
        load(saved)


def test_weights_with_a_tensor_missing_or_too_many_are_refused(saved: Path, tiny: LEDNetConfig) -> None:
    tensors = read_safetensors(saved.read_bytes(), "")
    for changed in ({k: v for k, v in tensors.items() if k != "head.bias"}, tensors | {"extra": torch.ones(1)}):
        saved.write_bytes(write_safetensors(changed))
        give_card(saved, config=tiny.to_dict())
        with pytest.raises(CheckpointError, match=r"head\.bias|extra"):
            load(saved)


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    checkpoint.write_atomically(path, b"old")

    def crash(*_: object) -> None:
        raise OSError(28, "disk full")

    monkeypatch.setattr(checkpoint.os, "fsync", crash)
    with pytest.raises(OSError, match=r"disk full: .*file"):
        checkpoint.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", sorted(checkpoint.SHIPPED.glob("*.safetensors")), ids=lambda p: p.stem)
def test_every_shipped_checkpoint_loads_and_says_what_it_was_trained_and_measured_on(path: Path) -> None:
    model, card = load(path.stem)
    assert card.name == path.stem
    told = card.training["in_all"]
    assert told == in_all(card.training)
    assert told["steps"] == card.steps() > 0
    assert told["hours"] > 0
    assert all(told[name] for name in ("devices", "recipes", "clips"))
    assert card.validation["clips"]
    assert torch.isfinite(model(torch.rand(1, 3, 24, 32))).all()


@pytest.mark.parametrize("path", sorted(checkpoint.SHIPPED.glob("*.safetensors")), ids=lambda p: p.stem)
def test_no_leg_of_a_shipped_card_names_a_place_on_the_machine_that_trained_it(path: Path) -> None:
    for leg in checkpoint.read_card(path).legs():
        assert not [word for word in leg["command"].split() if word.startswith(("/", "~", ".."))]


def test_a_card_knows_all_steps_and_clips_of_what_it_was_made_from() -> None:
    first = {"clips": ["c"], "steps_done": 3, "from": {}}
    training = {"clips": ["a"], "steps_done": 1, "from": {"clips": ["b", "a"], "from": first}}
    card = checkpoint.Card("small", "0" * 64, {}, training)
    assert card.trained_clips() == {"a", "b", "c"}
    assert card.steps() == 4


def ended_process() -> int:
    """The number of a process that is gone."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f".state.pt.{ended_process()}.tmp"
    left.write_bytes(b"half")
    checkpoint.remove_leftovers(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize("process", [os.getpid(), os.getppid(), 1], ids=["own", "parent", "first"])
def test_what_a_living_process_is_writing_is_left_alone(process: int, tmp_path: Path) -> None:
    writing = tmp_path / f".state.pt.{process}.tmp"
    writing.write_bytes(b"half")
    checkpoint.remove_leftovers(tmp_path)
    assert writing.exists()


@pytest.mark.parametrize(
    "name", ["state.pt", "state.pt.{}.tmp", ".state.pt.tmp", ".state.pt.{}", ".{}.tmp", ".a.0.tmp"]
)
def test_files_of_other_names_are_no_leftovers(name: str, tmp_path: Path) -> None:
    path = tmp_path / name.format(ended_process())
    path.write_bytes(b"other")
    checkpoint.remove_leftovers(tmp_path)
    assert path.exists()
