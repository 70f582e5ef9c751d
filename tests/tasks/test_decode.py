"""A header says what a file holds, and frames come with their real times, from wherever reading begins.

Not covered: what the pictures look like (`test_decode_pictures`), damage (`test_decode_damage`), files that are refused
(`test_decode_opening`).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import HEIGHT, WIDTH, noisy, number_of, paced, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.decode import pixels, probe, read_frames
from tests.tasks.reading import NO_LIMIT, read, times_of, url_of

CITY = Path(__file__).resolve().parents[3] / "shared" / "data" / "night" / "city_towers.mpg"


# Headers


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.avi", "mjpeg"), ("a.mov", "mpeg4"),
     ("a.flv", "libx264")],
)  # fmt: skip
def test_a_header_tells_size_length_and_rate(name: str, codec: str, tmp_path: Path) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(tmp_path / name, paced(20, 10), codec=codec, pix_fmt=pix_fmt, base=Fraction(1, 10))
    header = probe(url_of(path))
    assert (header.width, header.height) == (WIDTH, HEIGHT)
    assert header.seconds == pytest.approx(2, abs=0.11)
    assert header.fps == pytest.approx(10)


def test_a_raw_stream_states_no_length(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.h264", paced(20, 25), fps=25, base=Fraction(1, 25), container="h264")
    assert probe(url_of(path)).seconds is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_header_tells_when_the_file_was_created(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, [0, 0.1], metadata={"creation_time": "2026-01-15T22:00:05.000000Z"})
    assert probe(url_of(path)).created == datetime(2026, 1, 15, 22, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("created", ["yesterday", "2026-13-45"])
def test_a_creation_time_that_is_none_is_none(created: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.flv", [0, 0.1], metadata={"creation_time": created})
    assert probe(url_of(path)).created is None


def test_a_file_that_does_not_say_when_it_was_created_says_nothing(tmp_path: Path) -> None:
    assert probe(url_of(write_clip(tmp_path / "a.mp4", [0, 0.1]))).created is None


# Times

KINDS: dict[str, dict[str, Any]] = {
    "short.mp4": {},
    "long.mp4": {"gop": 300, "options": {"bf": "2"}},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "open.mp4": {"options": {"bf": "3", "x264-params": "open-gop=1:b-pyramid=2"}, "gop": 25},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "log-level=none"}, "gop": 30},
    "long.mkv": {"gop": 300, "options": {"bf": "2"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}, "gop": 60},
    "short.ts": {},
    "long.ts": {"gop": 300, "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "gop": 60, "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "h264.avi": {"gop": 50},
    "reordered.avi": {"gop": 50, "options": {"bf": "2"}},
    "xvid.avi": {"codec": "mpeg4", "gop": 50, "options": {"bf": "2"}},
    "mpeg1.mpg": {"codec": "mpeg1video"},
    "mpeg2.mpg": {"codec": "mpeg2video", "gop": 60, "options": {"bf": "2"}},
    "long.flv": {"gop": 300},
    "long.mov": {"codec": "mpeg4", "gop": 300},
    "raw.h264": {"container": "h264", "gop": 50},
}


COUNT, FPS = 200, 25


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Eight seconds in every kind of file, frames numbered from 0."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: write_clip(
            folder / name,
            paced(COUNT, FPS),
            fps=FPS,
            base=Fraction(1, FPS),
            # MPEG's packets hold several frames and one time, unless the frames are as large as real ones.
            **({"pictures": noisy(COUNT)} if name.endswith("mpg") else {}),
            **kind,
        )
        for name, kind in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_comes_once_in_order_at_its_time(kind: str, clips: dict[str, Path]) -> None:
    frames = read(clips[kind])
    assert [number_of(picture) for _, picture in frames] == list(range(COUNT))
    assert [s for s, _ in frames] == pytest.approx([k / FPS for k in range(COUNT)], abs=0.0011)


@pytest.mark.parametrize("kind", KINDS)
def test_reading_from_the_middle_gives_the_frames_that_reading_from_the_start_gives(
    kind: str, clips: dict[str, Path]
) -> None:
    whole = read(clips[kind])
    for from_s, to_s in ((0.5, 1.0), (2.0, 2.2), (3.07, 4.4), (5.52, 5.56), (7.5, math.inf), (7.96, 8.5), (9.0, 99.0)):
        part = read(clips[kind], from_s, to_s)
        wanted = [(s, p) for s, p in whole if from_s <= s < to_s]
        assert [s for s, _ in part] == [s for s, _ in wanted]
        assert all(np.array_equal(p, q) for (_, p), (_, q) in zip(part, wanted, strict=True))


@pytest.mark.parametrize("kind", ["mpeg2.ts", "mpeg2.mpg"])
def test_no_frame_is_lost_where_the_next_key_frame_after_a_seek_comes_too_late(
    kind: str, clips: dict[str, Path]
) -> None:
    # Key frames stand at 2.4 and 4.8 s: seeking some seconds before 4.5 s leads between them.
    assert [number_of(picture) for _, picture in read(clips[kind], 4.5, 4.95)] == list(range(113, 124))


@settings(max_examples=12)
@given(
    kind=st.sampled_from([k for k in KINDS if k != "hevc.mp4"]),
    bounds=st.tuples(st.integers(0, 8000), st.integers(0, 2000)),
)
def test_frames_of_any_stretch_are_those_that_the_whole_has_there(
    kind: str, bounds: tuple[int, int], clips: dict[str, Path]
) -> None:
    from_s, to_s = bounds[0] / 1000, sum(bounds) / 1000
    numbers = [number_of(p) for _, p in read(clips[kind], from_s, to_s)]
    expected = [k for k, s in enumerate(times_of(clips[kind])) if from_s <= s < to_s]
    assert numbers == expected


@pytest.mark.skipif(not CITY.exists(), reason="the shared footage is not here")
@pytest.mark.parametrize(("from_s", "to_s"), [(2.5, 2.8), (5.0, 5.3), (7.4, math.inf)])
def test_an_interlaced_mpeg_of_a_real_camera_can_be_read_from_the_middle(from_s: float, to_s: float) -> None:
    whole = [(s, f) for s, f in read_frames(url_of(CITY), 0, math.inf, [], NO_LIMIT) if from_s <= s < to_s]
    part = list(read_frames(url_of(CITY), from_s, to_s, [], NO_LIMIT))
    assert len(whole) > 3
    assert [s for s, _ in part] == [s for s, _ in whole]
    assert all(np.array_equal(pixels(f), pixels(g)) for (_, f), (_, g) in zip(part, whole, strict=True))


@pytest.mark.parametrize(("container", "codec"), [("h264", "libx264"), ("hevc", "libx265")])
@pytest.mark.parametrize("fps", [10, 12, 30])
def test_frames_of_a_raw_stream_follow_each_other_at_the_rate_that_they_state(
    container: str, codec: str, fps: int, tmp_path: Path
) -> None:
    path = write_clip(
        tmp_path / "a.raw", paced(9, fps), codec=codec, fps=fps, base=Fraction(1, fps), container=container
    )
    assert times_of(path) == pytest.approx([k / fps for k in range(9)])


UNEVEN = [0, 0.04, 0.08, 0.5, 0.52, 1.3, 3.7, 3.74, 4.0, 6.5, 6.52]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov", "a.flv"])
def test_frames_of_a_variable_rate_keep_their_own_times(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, UNEVEN)
    assert times_of(path) == pytest.approx(UNEVEN, abs=0.0011)
    assert times_of(path, from_s=3.72) == pytest.approx(UNEVEN[7:], abs=0.0011)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
@pytest.mark.parametrize("first", [0.7, 5000.0])
def test_times_count_from_the_streams_first_timestamp(name: str, first: float, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, [first + k / 10 for k in range(50)])
    assert times_of(path) == pytest.approx([k / 10 for k in range(50)], abs=0.0011)
    assert [number_of(p) for _, p in read(path, 3.95, 4.25)] == [40, 41, 42]


def test_a_rate_that_is_no_whole_number_does_not_drift(tmp_path: Path) -> None:
    base = Fraction(1001, 30000)
    path = write_clip(tmp_path / "a.mp4", [k * base for k in range(90)], base=base, fps=30)
    assert times_of(path) == [float(k * base) for k in range(90)]


def test_packets_of_which_no_frame_comes_are_signs_of_life(tmp_path: Path) -> None:
    # No key frame stands where seeking leads to: twice the file is read to its end before it is read from its start.
    path = write_clip(tmp_path / "a.ts", paced(150, 10), gop=300)
    signs: list[int] = []
    next(read_frames(url_of(path), 14.0, math.inf, [], NO_LIMIT, lambda: signs.append(1)))
    assert len(signs) > 200
