"""What is fuzzed: every reader of bytes that others wrote, with the errors that it may raise and seeds to change.

A target takes any bytes and must end in time, raising nothing but what is named. `test_targets` runs them briefly under
hypothesis, `python -m tests.fuzz.run` for minutes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pandas as pd
import torch

from lednet import checkpoint
from lednet.clips import ClipError
from lednet.model import LEDNetConfig
from tasks import decode, landed, lease, models, rates, status, store
from tasks.archive import find_segments, pattern_regex, static_prefix
from tasks.facts import checked, read_facts
from tasks.footage import list_footage
from tasks.nights import night_range
from tasks.picture import read_picture
from tasks.site import SiteError, read_site
from tasks.types import Camera
from tests.tasks.made_facts import made_row

FOLDER = Path(tempfile.mkdtemp(prefix="lednet-fuzz-"))
ROOT = f"file://{FOLDER}"
MOST_FRAMES = 100


class Target(NamedTuple):
    """A reader, the errors that it may raise, and inputs to begin with."""

    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


def _written(name: str, data: bytes) -> str:
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"file://{path}"


def manifest(data: bytes) -> object:
    """A published night's manifest."""
    _written("enhanced/pit/2026-01-15/manifest.json", data)
    return store.read_manifest(ROOT, "pit", "2026-01-15")


def nights(data: bytes) -> object:
    """What `lednet status` makes of a manifest and of a run that is under way."""
    _written("status/enhanced/pit/2026-01-15/manifest.json", data)
    _written("status/enhanced/pit/2026-01-16/a/ready.json", data)
    return status.list_nights(f"{ROOT}/status")


def rate(data: bytes) -> object:
    """How fast the last night was."""
    return rates.read_rate(_written("rates/pit.json", data))


def promotions(data: bytes) -> object:
    """Which model is in production."""
    _written("promoted/models/production.json", data)
    return models.read_production(f"{ROOT}/promoted")


def seen(data: bytes) -> object:
    """What was seen of uploaded footage."""
    return landed.read_seen(_written("landed.json", data))


def event(data: bytes) -> object:
    """An event's payload, as the deployments of prefect.yaml hand it to flows: after Prefect has seen to the types."""
    payload = json.loads(data)
    night, footage = payload["night"], payload["footage"]
    if not isinstance(night, str) or not isinstance(footage, list) or not all(isinstance(f, str) for f in footage):
        raise TypeError
    night_range(night)
    _written("footage/pit/GX010119.MP4", b"x")
    return list_footage([f"{ROOT}/footage/{f}" for f in footage])


def receipt(data: bytes) -> object:
    """A shard's receipt."""
    _written("run/receipts/000001.json", data)
    return store.read_receipt(f"{ROOT}/run", 1)


def rows(data: bytes) -> object:
    """A shard's quality rows."""
    _written("run/receipts/000002.parquet", data)
    return store.read_rows(f"{ROOT}/run", 2)


def facts(data: bytes) -> object:
    """A night's facts beside another's, which must not suffer."""
    _written("history/facts/pit/2026-03-01.parquet", FACTS)
    _written("history/facts/pit/2026-01-15.parquet", data)
    read = read_facts(f"{ROOT}/history")
    assert "2026-03-01" in set(read["night"])
    return read


def daylight(data: bytes) -> object:
    """A picture of daylight, or of footage to learn from."""
    return read_picture(_written("daylight.png", data), 10**6)


def site(data: bytes) -> object:
    """cameras.toml."""
    return read_site(_written("cameras.toml", data))


def weights(data: bytes) -> object:
    """A checkpoint's tensors; a whole file's hash is compared with its card's first, which no change would pass."""
    return checkpoint.read_safetensors(data, "fuzz")


def card(data: bytes) -> object:
    """A checkpoint's card, beside weights that are another network's."""
    _written("fuzz.safetensors", WEIGHTS)
    _written("fuzz.json", data)
    return checkpoint.load(str(FOLDER / "fuzz.safetensors"))


def leases(data: bytes) -> object:
    """A lease that somebody left."""
    _written("lease/lease.1.json", data)
    found = lease._read(f"{ROOT}/lease/lease.1.json")
    return found and lease._is_dead(found)


def name_pattern(data: bytes) -> object:
    """A camera's pattern and a file's name: the two halves of the input."""
    half = len(data) // 2
    pattern, name = data[:half].decode(errors="replace"), data[half:].decode(errors="replace")
    static_prefix(pattern, datetime(2028, 2, 29, tzinfo=UTC).date())
    return pattern_regex(pattern).fullmatch(name)


def segments(data: bytes) -> object:
    """The name of a file in the archive."""
    name = data.decode(errors="replace").replace("/", "").replace("\0", "")[:100].strip(".") or "x"
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    (folder / name[:60]).write_bytes(b"x")
    camera = Camera("pit", "Pit", "outdoor", "Europe/Berlin", "%Y%m%d*%H%M%S.*", Fraction(5), segment_s=60.0)
    return find_segments(camera, f"file://{folder}", 1_768_514_400 * 10**9, 1_768_557_600 * 10**9)


def video(data: bytes) -> object:
    """A video file, from its header to its frames."""
    url = _written("video", data)
    decode.probe(url)
    count = 0
    for count, (_, frame) in enumerate(decode.read_frames(url, 0.0, 10.0, [], 10**6)):
        decode.pixels(frame)
        if count >= MOST_FRAMES:
            break
    return count


def _clip(codec: str, container: str) -> bytes:
    path = FOLDER / f"seed.{container}"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame(32, 32, stream.pix_fmt)))
        out.mux(stream.encode(None))
    return path.read_bytes()


def _picture(kind: str) -> bytes:
    _, data = cv2.imencode(f".{kind}", np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3))
    return data.tobytes()


MANIFEST = store.sealed(
    {"format": 1, "camera": {}, "night": "", "run": "a", "shards": [], "frames": 0, "coverage": 0.5, "problems": [],
     "frames_url": "", "preview_url": None}
)  # fmt: skip
RECEIPT = json.dumps(
    {"shard": 1, "sha256": "ab", "size": 3, "valid": [[0, 4]], "sources": [["u", 4]], "rows_sha256": "",
     "problems": [{"url": "u", "reason": "r", "frames": 0}]}
).encode()  # fmt: skip
ROWS = pd.DataFrame({"slot": [0, 1], "light_before": [0.5, None], "after_jpeg": [b"\xff\xd8", None]})
FACTS = store.parquet_bytes(checked(pd.DataFrame([made_row()])))
WEIGHTS = checkpoint.write_safetensors({"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.float16)})
CARD = json.dumps(
    {"name": "fuzz", "sha256": hashlib.sha256(WEIGHTS).hexdigest(), "training": {}, "validation": {},
     "config": LEDNetConfig((8, 8, 8), (1, 1, 1), 1, (1, 1), 8).to_dict()}
).encode()  # fmt: skip
RATE = b'{"night": "2026-01-15", "height": 48, "width": 64, "model": "small", "frames": 600, "seconds": 20.5}'
PROMOTED = json.dumps(
    {
        "format": 1,
        "version": "a",
        "history": [dict.fromkeys(("version", "previous", "action", "who", "when", "why"), "a")],
    }
).encode()
SEEN = json.dumps(
    {"format": 1, "upload": "u", "clips": {"a": {"key": "k", "files": ["f"], "told": "", "waiting": "w"}}}
).encode()
EVENT = json.dumps({"night": "2026-01-15..2026-01-16", "footage": ["pit/GX010119.MP4", "pit"]}).encode()
SITE = b"""[[camera]]
id = "pit"
name = "Pit"
scene = "outdoor"
timezone = "Asia/Shanghai"
pattern = "%Y-%m-%d/%H%M%S.mp4"
rate = "30000/1001"
"""

TARGETS: dict[str, Target] = {
    "manifest": Target(manifest, (store.StoreError,), (MANIFEST,)),
    "receipt": Target(receipt, (store.StoreError,), (RECEIPT,)),
    "nights": Target(nights, (), (MANIFEST, b'{"shards": 4}')),
    "rate": Target(rate, (), (RATE,)),
    "promotions": Target(promotions, (models.ModelError,), (PROMOTED,)),
    "seen": Target(seen, (landed.LandedError,), (SEEN,)),
    # RecursionError, KeyError and TypeError stand for what Prefect refuses before a flow begins.
    "event": Target(event, (ValueError, KeyError, TypeError, RecursionError, OSError, ClipError), (EVENT,)),
    "rows": Target(rows, (store.StoreError,), (store.parquet_bytes(ROWS),)),
    "facts": Target(facts, (), (FACTS,)),
    "daylight": Target(daylight, (decode.VideoError,), tuple(_picture(kind) for kind in ("png", "jpg", "bmp", "tiff"))),
    "site": Target(site, (SiteError,), (SITE,)),
    "weights": Target(weights, (checkpoint.CheckpointError,), (WEIGHTS,)),
    "card": Target(card, (checkpoint.CheckpointError,), (CARD,)),
    "lease": Target(leases, (), (lease._bytes({**lease._self(), "token": "x"}, 1),)),
    "pattern": Target(name_pattern, (), (b"north/%Y-%m-%d/%H%M%S.*north/2026-01-15/220000.mp4",)),
    "segments": Target(segments, (), (b"20260115-220000.mp4",)),
    "video": Target(
        video,
        (decode.VideoError,),
        (_clip("libx264", "mp4"), _clip("libx264", "matroska"), _clip("libx264", "mpegts"), _clip("mjpeg", "avi")),
    ),
}


def check(name: str, data: bytes) -> None:
    """Give a target some bytes. Raises whatever it may not raise."""
    target = TARGETS[name]
    try:
        target.read(data)
    except target.errors:
        return
