"""A night of everything that recorders, disks and ill will make of video files: each has its outcome, none stops it.

The files are made on the spot, one every two seconds, each a second of ten frames a second where it is sound; decoding
runs in its helper process, as in a real night. What damage does frame by frame is in `test_decode_damage`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from footage import numbered, write_clip

from tasks import storage, store
from tasks.decode_process import prober
from tasks.enhance import enhance_item
from tasks.plan import plan_night
from tasks.publish import publish
from tasks.settings import NightSettings
from tasks.types import Camera
from tests.tasks.night import NIGHT, save_checkpoint, small_settings

NAME, PATTERN = "<script>alert(1)</script>", "%Y-%m-%d/pit/%H%M%S*"
CAMERA = Camera("pit", NAME, "outdoor", "UTC", PATTERN, Fraction(5), "22:00", "22:01:20")
LIMIT_S = 240
MOST_PIXELS = 200_000
SECOND = [Fraction(k, 10) for k in range(10)]

Make = Callable[[Path], object]


class Case(NamedTuple):
    """A kind of file, its frames in the night, and a word of the reason that must be told."""

    name: str
    make: Make
    frames: tuple[int, int]
    """At least, at most."""
    word: str | None = None


def clip(**options: Any) -> Make:
    return lambda path: write_clip(path, SECOND, **options)


def of_size(height: int, width: int) -> Make:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in SECOND]
    return clip(codec="ffv1", pix_fmt="bgr0", pictures=pictures)


def cut(make: Make, share: float) -> Make:
    def write(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def joined(*makes: Make) -> Make:
    def write(path: Path) -> None:
        data = b""
        for make in makes:
            make(path)
            data += path.read_bytes()
        path.write_bytes(data)

    return write


def more_frames_stated(path: Path) -> None:
    """An AVI whose header counts frames that are not there."""
    write_clip(path, SECOND, codec="mjpeg", pix_fmt="yuvj420p", base=Fraction(1, 10))
    data = bytearray(path.read_bytes())
    at = data.index(b"avih") + 8 + 16
    assert int.from_bytes(data[at : at + 4], "little") == len(SECOND)
    data[at : at + 4] = (9999).to_bytes(4, "little")
    path.write_bytes(data)


def no_frames(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()


def bytes_of(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


INTERLACED = {"preset": "ultrafast", "x264-params": "interlaced=1"}
CASES = [
    Case("sound.mp4", clip(), (5, 5)),
    Case("no index.mp4", cut(clip(), 0.5), (0, 0), "not a readable video"),
    Case("cut.mkv", cut(clip(gop=2), 0.8), (1, 5), ""),
    Case("cut.ts", cut(clip(gop=2), 0.6), (1, 4), ""),
    Case("more frames stated.avi", more_frames_stated, (5, 5), ""),
    Case("variable.mp4", lambda p: write_clip(p, [0, 0.04, 0.08, 0.21, 0.6, 0.83]), (4, 5)),
    Case("no times.h264", clip(container="h264", fps=10, base=Fraction(1, 10)), (1, 6)),
    Case("late start.mkv", lambda p: write_clip(p, [5000 + s for s in SECOND]), (5, 5)),
    Case("times jump back.ts", joined(clip(), clip()), (5, 10), "damaged"),
    Case(
        "size changes.ts", joined(clip(), clip(pictures=[numbered(k, 96, 128) for k in range(10)])), (5, 10), "damaged"
    ),
    Case("odd.mkv", of_size(51, 67), (5, 5)),
    Case("pixel.mkv", of_size(1, 1), (5, 5)),
    Case("wide.mkv", of_size(16, 8192), (5, 5)),
    Case("bomb.mkv", of_size(512, 512), (0, 0), "above the limit"),
    Case("ten bit.mp4", clip(pix_fmt="yuv420p10le"), (5, 5)),
    Case("422.mp4", clip(pix_fmt="yuv422p"), (5, 5)),
    Case("interlaced.ts", clip(options=INTERLACED), (4, 5)),
    Case("h265.mp4", clip(codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"}), (5, 5)),
    Case("mjpeg.avi", clip(codec="mjpeg", pix_fmt="yuvj420p", base=Fraction(1, 10)), (5, 5)),
    Case("grey.mkv", clip(codec="ffv1", pix_fmt="gray"), (5, 5)),
    Case("no frames.mp4", no_frames, (0, 0), ""),
    Case("empty.mp4", bytes_of(b""), (0, 0), "empty"),
    Case("text.mp4", bytes_of(b"the recorder's log\n" * 100), (0, 0), "not a readable video"),
    Case("zeros.ts", bytes_of(bytes(100_000)), (0, 0), "not a readable video"),
    Case("夜班 $(touch x);`id`&%41#?.mp4", clip(), (5, 5)),
    Case("..mp4", clip(), (5, 5)),
    Case("line\nbreak \x1b[31m.mp4", clip(), (5, 5)),
    Case("twice.mp4", clip(), (0, 5)),
    Case("day long.mkv", lambda p: write_clip(p, [0, 3, 40_000, 86_000]), (1, 2)),
]
DOUBLE = "doubled.mp4"


def place(archive: Path, number: int, name: str) -> Path:
    return archive / NIGHT / "pit" / f"22{number * 2 // 60:02}{number * 2 % 60:02} {name}"


class Night(NamedTuple):
    manifest: dict[str, Any]
    seconds: float

    def frames(self, name: str) -> int:
        return sum(s["frames"] for s in self.manifest["segments"] if s["url"].endswith(f" {name}"))

    def reasons(self, name: str) -> list[str]:
        return [p["reason"] for p in self.manifest["problems"] if p["url"].endswith(f" {name}")]


def run(archive: Path, where: Path, settings: NightSettings) -> dict[str, Any]:
    """A night, as the flow does it."""
    url = f"file://{where}"
    plan = plan_night(CAMERA, NIGHT, f"file://{archive}", url, settings, prober(settings))
    store.create_run(plan, settings, "0")
    for item in plan.items:
        enhance_item(item, settings)
    assert publish(plan, url, settings).status == "published"
    manifest = store.read_manifest(url, CAMERA.id, NIGHT)
    assert manifest is not None
    return manifest


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> NightSettings:
    tiny = small_settings(save_checkpoint(tmp_path_factory.mktemp("weights")))
    return replace(tiny, most_pixels=MOST_PIXELS, item_slots=1000, shard_most=50, shard_least=50)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, settings: NightSettings) -> Night:
    root = tmp_path_factory.mktemp("hostile")
    for number, case in enumerate(CASES):
        path = place(root / "archive", number, case.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = path.with_name(f"plain.{case.name.rpartition('.')[2]}")  # encoders take no name whatever
        case.make(plain)
        plain.rename(path)
        if case.name == "twice.mp4":
            os.link(path, place(root / "archive", number, DOUBLE))
    began = time.monotonic()
    manifest = run(root / "archive", root / "store", settings)
    return Night(manifest, time.monotonic() - began)


@pytest.mark.parametrize("case", CASES, ids=lambda c: ascii(c.name))
def test_every_kind_of_file_has_its_outcome(night: Night, case: Case) -> None:
    least, most = case.frames
    assert least <= night.frames(case.name) <= most, night.reasons(case.name)
    if case.word is None:
        assert night.reasons(case.name) == []
    elif case.word:
        assert any(case.word in reason for reason in night.reasons(case.name)), night.reasons(case.name)


def test_a_doubled_file_gives_no_frame_twice(night: Night) -> None:
    assert night.frames("twice.mp4") + night.frames(DOUBLE) == 5


def test_the_night_does_not_hang(night: Night) -> None:
    assert night.seconds < LIMIT_S


def test_a_cameras_name_is_data_wherever_it_goes(night: Night) -> None:
    assert night.manifest["camera"]["name"] == NAME
    assert json.loads(store.canonical_json(night.manifest)) == night.manifest


def test_a_file_that_was_still_growing_is_done_anew_when_it_is_whole(tmp_path: Path, settings: NightSettings) -> None:
    path = write_clip(tmp_path / "archive" / NIGHT / "pit" / "220000.mkv", [Fraction(k, 10) for k in range(40)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    early = run(tmp_path / "archive", tmp_path / "store", settings)
    assert 0 < early["frames"] < 20
    assert [p["reason"] for p in early["problems"]]
    path.write_bytes(whole)
    late = run(tmp_path / "archive", tmp_path / "store", settings)
    assert late["run"] != early["run"]
    assert (late["frames"], late["problems"]) == (20, [])
    assert storage.exists(f"file://{tmp_path}/store/enhanced/pit/{NIGHT}/{early['run']}/ready.json")
