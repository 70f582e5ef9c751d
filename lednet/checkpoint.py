"""Checkpoints on disk: weights as safetensors, a card beside them, and the hash that ties the two.

Covers reading and writing both, and finding the ones shipped with the package. The safetensors format (an 8-byte
header length, a JSON header, raw little-endian data) is read and written here in a few lines, so that training and
restoring run where only torch, numpy and OpenCV are; the tests hold it equal to the `safetensors` library. Nothing is
ever unpickled: a checkpoint can be damaged or wrong, but it can't run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lednet.baselines.peer import Peer
from lednet.baselines.peers import PEERS, SHIPPED_PEERS
from lednet.legs import CLIP_KEYS, in_all, legs_of
from lednet.model import SIZES, LEDNet, LEDNetConfig

SHIPPED = Path(__file__).parent / "weights"
"""Folder of the checkpoints that come with the package: <name>.safetensors and <name>.json. Peers have their own."""

MAX_HEADER_BYTES = 16 * 1024 * 1024

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

LEFTOVER = re.compile(r"\..+\.(?P<process>[1-9]\d*)\.tmp", re.ASCII)
"""Name of a file that a process was writing: `.state.pt.4711.tmp`."""

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, MemoryError)
"""What hostile JSON and impossible shapes raise, RecursionError and OverflowError among them."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another kind; the message names the file, the cause and the next step."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint is, in words and figures."""

    name: str
    sha256: str
    """Of the weights file, checked at every load."""
    config: dict[str, Any]
    """`LEDNetConfig.to_dict()`; of a peer `{"model": its name}`."""
    training: dict[str, Any] = field(default_factory=dict)
    """Command, data, recipe, steps, hours, device, seed; with all legs before it as `lednet.legs` keeps them."""
    validation: dict[str, Any] = field(default_factory=dict)
    """Figures, with what they were measured on."""

    def __post_init__(self) -> None:
        # Asked for now: of a damaged card they can't be had, and the one who reads it says which card it is.
        in_all(self.training)
        self.trained_clips()
        self.clip_keys()

    def legs(self) -> Iterator[dict[str, Any]]:
        """Of its training, each from where the one after it ended: the last leg first."""
        return legs_of(self.training)

    def trained_clips(self) -> set[str]:
        """Names of all clips that it, and those that it was made from, were trained on."""
        return {name for leg in self.legs() for name in leg.get("clips", ())}

    def clip_keys(self) -> dict[str, str]:
        """Clip -> what its files were when it was last trained on; without those of which no leg says it."""
        keys: dict[str, str] = {}
        for leg in self.legs():
            keys = {**leg.get(CLIP_KEYS, {}), **keys}
        return keys

    def steps(self) -> int:
        """Of all legs."""
        return sum(leg.get("steps_done", 0) for leg in self.legs())


def write_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors -> the bytes of a safetensors file."""
    header: dict[str, Any] = {}
    chunks: list[bytes] = []
    offset = 0
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(chunks)


def read_safetensors(data: bytes, source: str) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file; `source` names it in errors.

    Raises:
        CheckpointError: if the bytes are not a whole and consistent safetensors file.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        if len(data) < 8 or size > min(MAX_HEADER_BYTES, len(data) - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(data[8 : 8 + size].decode())
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + size :]
        tensors, filled = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            if entry["data_offsets"][0] != filled:
                raise ValueError("its tensors overlap or leave gaps")
            tensors[name] = _read_tensor(entry, body)
            filled = entry["data_offsets"][1]
        if filled != len(body):
            raise ValueError("its data is shorter or longer than its header says")
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{source}: not a whole safetensors file ({error}); copy it again or train a new one"
        ) from error
    return tensors


def _read_tensor(entry: dict[str, Any], body: memoryview) -> Tensor:
    dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
    begin, end = entry["data_offsets"]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError("a tensor's shape or offsets are not whole numbers")
    if not 0 <= begin <= end <= len(body) or math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError("a tensor's offsets do not fit its shape")
    raw = torch.from_numpy(np.frombuffer(body[begin:end], np.uint8).copy())
    return raw.view(dtype).reshape(shape) if raw.numel() else torch.zeros(shape, dtype=dtype)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader or a crash sees the old content or the new, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # as `remove_leftovers` knows them
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk's own words name no file
    finally:
        temporary.unlink(missing_ok=True)  # there where writing failed: a full disk need not keep it


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this machine left of files that they were writing by `write_atomically`."""
    for path in folder.glob(".*.tmp"):
        named = LEFTOVER.fullmatch(path.name)
        if named and not _lives(int(named["process"])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Whether there is a process of this number; one of another user's too."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # a number that no process can have
        return False
    except PermissionError:
        pass
    return True


def card_path(weights: Path) -> Path:
    """Where the card of a weights file stands: beside it, `.json`."""
    return weights.with_suffix(".json")


def save(path: Path, model: LEDNet | Peer, *, half: bool, training: dict[str, Any], validation: dict[str, Any]) -> Card:
    """Write a model's weights to `path` and its card beside it, each atomically, the card last.

    Args:
        half: store fp16, half the size; loading gives fp32 either way.
    """
    state = {k: v for k, v in model.state_dict().items() if not (isinstance(model, Peer) and k.startswith("helpers."))}
    config = {"model": model.name} if isinstance(model, Peer) else model.config.to_dict()
    data = write_safetensors({k: v.half() if half and v.is_floating_point() else v for k, v in state.items()})
    card = Card(path.stem, hashlib.sha256(data).hexdigest(), config, training, validation)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    write_atomically(card_path(path), (json.dumps(asdict(card), indent=2) + "\n").encode())
    return card


def locate(checkpoint: str | Path) -> Path:
    """A shipped checkpoint's name or a .safetensors file's path -> the path. Raises CheckpointError if not there."""
    shipped = {p.stem: p for folder in (SHIPPED, SHIPPED_PEERS) for p in sorted(folder.glob("*.safetensors"))}
    path = shipped.get(str(checkpoint), Path(checkpoint))
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint {checkpoint}: no such file; name a .safetensors file, or a shipped one "
            f"({', '.join(shipped) or 'none'})"
        )
    return path


def read_card(weights: Path) -> Card:
    """The card of a weights file. Raises CheckpointError if it is missing or damaged."""
    path = card_path(weights)
    try:
        card = Card(**json.loads(path.read_text()))
        if not isinstance(card.sha256, str) or not isinstance(card.config, dict):
            raise ValueError("its sha256 is no text or its config no table")
        return card
    except (OSError, *_UNREADABLE) as error:
        raise CheckpointError(
            f"{path}: no readable card beside the weights ({error}); copy the .json that belongs to them"
        ) from error


def identify(checkpoint: str | Path) -> tuple[Card, bytes]:
    """A checkpoint's card and the bytes of its weights, whose hash is checked. Raises CheckpointError."""
    path = locate(checkpoint)
    card = read_card(path)
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise CheckpointError(
            f"{path}: sha256 is {found[:12]}, its card says {card.sha256[:12]}; the file is damaged or another's, "
            "copy weights and card again"
        )
    return card, data


def build(card: Card) -> LEDNet | Peer:
    """The network that a card names, untrained. Raises what hostile cards raise; `load_network` names the file."""
    if "model" not in card.config:
        return LEDNet(LEDNetConfig.from_dict(card.config))
    if card.config["model"] not in PEERS:
        raise ValueError(f"no network is called {card.config['model']!r}; known: {', '.join(PEERS)}")
    peer = PEERS[card.config["model"]]()
    peer.helpers = torch.nn.ModuleDict()
    return peer


def size_of(card: Card) -> str:
    """The name of a LEDNet's size, from its card. Raises CheckpointError if it is none of `lednet.model.SIZES`."""
    try:
        config = LEDNetConfig.from_dict(card.config)
    except (TypeError, ValueError):  # of a peer, or hostile
        config = None
    size = next((name for name, known in SIZES.items() if known == config), None)
    if size is None:
        raise CheckpointError(
            f"{card.name}: a LEDNet of none of the sizes {', '.join(SIZES)}, so it can't be trained on; name another"
        )
    return size


def load_network(checkpoint: str | Path) -> tuple[LEDNet | Peer, Card]:
    """Load a LEDNet or one of its peers in evaluation mode, fp32, on the CPU.

    Args:
        checkpoint: name of a shipped one ("small") or path of a .safetensors file with its card beside it.

    Raises:
        CheckpointError: if it is missing, damaged, or not what its card says.
    """
    path = locate(checkpoint)
    card, data = identify(checkpoint)
    tensors = read_safetensors(data, str(path))
    try:
        model = build(card)
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except _UNREADABLE as error:
        cause = textwrap.shorten(str(error), 200)  # torch lists every tensor, one a line
        raise CheckpointError(
            f"{path}: not the weights of the {card.config.get('model', 'LEDNet')} on its card ({cause}); copy weights "
            "and card again, or train a new one"
        ) from error
    return model.eval(), card


def load(checkpoint: str | Path) -> tuple[LEDNet, Card]:
    """As `load_network`, where only a LEDNet will do. Raises CheckpointError as well if it is another network's."""
    model, card = load_network(checkpoint)
    if isinstance(model, Peer):
        raise CheckpointError(f"{locate(checkpoint)}: a {model.title} and no LEDNet; name a LEDNet's checkpoint")
    return model, card
