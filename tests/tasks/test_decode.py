"""Frames come with their real times, from wherever reading begins, and what is damaged is stepped over and told."""

from __future__ import annotations

import math
import os
import struct
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage import HEIGHT, WIDTH, Picture, number_of, numbered, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import decode, listing, storage
from tasks.decode import VideoError, pixels, probe, read_frames
from tasks.faults import UnreadableError
from tests.tasks.night import without_pauses

CITY = Path(__file__).resolve().parents[3] / "shared" / "data" / "night" / "city_towers.mpg"
NO_LIMIT = 10**9


def url_of(path: Path) -> str:
    return f"file://{path}"


def read(
    path: Path, from_s: float = 0.0, to_s: float = math.inf, errors: list[str] | None = None
) -> list[tuple[float, Picture]]:
    found: list[str] = []
    frames = [(s, pixels(f)) for s, f in read_frames(url_of(path), from_s, to_s, found, NO_LIMIT)]
    if errors is None:
        assert found == []
    else:
        errors += found
    return frames


def times_of(path: Path, **options: Any) -> list[float]:
    return [s for s, _ in read(path, **options)]


def paced(count: int, fps: int) -> list[Fraction]:
    return [Fraction(k, fps) for k in range(count)]


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


def test_a_file_that_does_not_say_when_it_was_created_says_nothing(tmp_path: Path) -> None:
    assert probe(url_of(write_clip(tmp_path / "a.mp4", [0, 0.1]))).created is None


def turned(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write a display matrix into an MP4's track header: (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0
    one = 1 << 16
    assert struct.unpack_from(">9i", data, at) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "quarter_turns"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)]
)
def test_a_picture_is_turned_as_its_display_matrix_says(
    matrix: tuple[int, int, int, int], quarter_turns: int, tmp_path: Path
) -> None:
    upright = read(write_clip(tmp_path / "a.mp4", [0, 0.1], first=77))[0][1]
    path = turned(write_clip(tmp_path / "b.mp4", [0, 0.1], first=77), *matrix)
    picture = read(path)[0][1]
    assert np.array_equal(picture, np.rot90(upright, quarter_turns))
    assert (probe(url_of(path)).height, probe(url_of(path)).width) == picture.shape[:2]


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


def noisy(count: int) -> list[Picture]:
    """Pictures that take so many bytes that a file is mostly pictures."""
    rng = np.random.default_rng(1)
    return [numbered(k, 96, 128) // 2 + rng.integers(0, 100, (96, 128, 3), np.uint8) for k in range(count)]


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


@settings(max_examples=25)
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


# Pictures


def patches() -> Picture:
    picture = np.zeros((64, 96, 3), np.uint8)
    for k, colour in enumerate(((200, 40, 30), (40, 160, 60), (30, 60, 190))):
        picture[:, 32 * k : 32 * (k + 1)] = colour
    return picture


COLOURS: dict[str, dict[str, Any]] = {
    "420": {},
    "422": {"pix_fmt": "yuv422p"},
    "444": {"pix_fmt": "yuv444p"},
    "10-bit": {"pix_fmt": "yuv420p10le"},
    "full range": {"codec": "mjpeg", "pix_fmt": "yuvj422p", "name": "a.avi"},
    "mpeg2": {"codec": "mpeg2video", "name": "a.mpg", "fps": 25, "base": Fraction(1, 25)},
    "rgb": {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"crf": "0"}},
    "lossless": {"codec": "ffv1", "pix_fmt": "bgr0", "name": "a.mkv"},
}


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_come_out_as_they_went_in(kind: str, tmp_path: Path) -> None:
    options = {"name": "a.mp4", **COLOURS[kind]}
    path = write_clip(tmp_path / options.pop("name"), paced(3, 25), pictures=[patches()] * 3, **options)
    for _, picture in read(path):
        assert picture.dtype == np.uint8
        assert picture.flags["C_CONTIGUOUS"]
        assert np.abs(picture[8:-8, 8::32].astype(int) - patches()[8:-8, 8::32]).max() <= 6


def test_a_stream_that_states_another_colour_matrix_is_converted_by_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "5", "x264-params": "colormatrix=bt709"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame.from_ndarray(patches(), format="rgb24")
        out.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        out.mux(stream.encode(None))
    picture = read(path)[0][1]
    assert np.abs(picture[8:-8, 8::32].astype(int) - patches()[8:-8, 8::32]).max() <= 6


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_grey_footage_comes_out_as_grey_rgb(pix_fmt: str, tmp_path: Path) -> None:
    levels = [np.full((48, 64, 3), level, np.uint8) for level in (30, 120, 220)]
    path = write_clip(tmp_path / "a.mkv", paced(3, 10), pictures=levels, codec="ffv1", pix_fmt=pix_fmt)
    for (_, picture), level in zip(read(path), levels, strict=True):
        assert picture.shape == (48, 64, 3)
        assert np.abs(picture.astype(int) - level).max() <= 2


@pytest.mark.parametrize(("height", "width"), [(51, 67), (48, 65), (49, 64), (2, 2)])
def test_odd_sizes_keep_every_pixel(height: int, width: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    path = write_clip(tmp_path / "a.mkv", [0], pictures=[picture], codec="ffv1", pix_fmt="bgr0")
    assert np.array_equal(read(path)[0][1], picture)
    assert (probe(url_of(path)).height, probe(url_of(path)).width) == (height, width)


# Damage


DAMAGED: dict[str, dict[str, Any]] = {
    "a.mp4": {"gop": 10},
    "a.mkv": {"gop": 10},
    "a.ts": {"gop": 10},
    "a.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "a.mpg": {"codec": "mpeg2video", "gop": 10},
    "a.flv": {"gop": 10},
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of four seconds, 100 noisy frames."""
    folder = tmp_path_factory.mktemp("sound")
    return {
        name: write_clip(
            folder / name, paced(100, 25), fps=25, base=Fraction(1, 25), pictures=noisy(100), **kind
        ).read_bytes()
        for name, kind in DAMAGED.items()
    }


def scramble(data: bytes, places: Iterable[float], length: int = 300) -> bytes:
    """Overwrite some stretches, given as shares of the file."""
    rng = np.random.default_rng(2)
    damaged = bytearray(data)
    for place in places:
        at = int(len(data) * place)
        damaged[at : at + length] = rng.bytes(length)
    return bytes(damaged)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_damaged_in_the_middle_gives_the_rest_and_the_damage_is_told(
    name: str, sound: dict[str, bytes], tmp_path: Path
) -> None:
    # Matroska's demuxer leaves out what it can't make sense of and says nothing; damage within a frame shows.
    (tmp_path / name).write_bytes(scramble(sound[name], (0.4, 0.5), 300 if name == "a.mkv" else 2000))
    errors: list[str] = []
    times = times_of(tmp_path / name, errors=errors)
    assert times[0] == 0
    assert times[-1] >= 3.9
    assert len(times) >= 65
    assert any(e.startswith("damaged (") for e in errors)
    assert len(errors) == len(set(errors))


@pytest.mark.parametrize("name", DAMAGED)
def test_the_sound_part_of_a_damaged_file_can_be_read_from_the_middle(
    name: str, sound: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(scramble(sound[name], (0.3,)))
    whole = times_of(tmp_path / name, errors=[])
    assert times_of(tmp_path / name, from_s=3.0, errors=[]) == [s for s in whole if s >= 3.0]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.avi", "a.mpg", "a.flv"])
def test_a_truncated_file_gives_what_it_holds_and_is_told(name: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(sound[name][: len(sound[name]) // 2 + 77])
    errors: list[str] = []
    times = times_of(tmp_path / name, errors=errors)
    assert 1.4 < times[-1] < 2.4
    assert errors


def test_a_cut_off_mp4_whose_index_stands_first_gives_what_it_holds_and_is_told(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", paced(100, 25), fps=25, pictures=noisy(100), container_options={"movflags": "faststart"}
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    errors: list[str] = []
    assert 0.5 < times_of(path, errors=errors)[-1] < 1.5
    assert "ends early (its header promises more)" in errors


def test_a_stretch_beyond_where_a_file_was_cut_off_is_empty_and_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", paced(100, 10), pictures=noisy(100))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    errors: list[str] = []
    assert read(path, 8.0, 9.0, errors) == []
    assert errors == ["ends early (its header promises more)"]


def test_a_stretch_that_ends_before_the_damage_tells_none(sound: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(scramble(sound["a.mp4"], (0.7,)))
    assert len(read(tmp_path / "a.mp4", 0.0, 1.0)) == 25


def failing_from(path: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tenth of a file be out of reach for good."""
    without_pauses(monkeypatch)
    monkeypatch.setattr("tasks.ranged.READ_AHEAD", 4096)
    pread, size = os.pread, path.stat().st_size

    def fail(descriptor: int, count: int, start: int) -> bytes:
        if os.path.samestat(os.fstat(descriptor), path.stat()) and share < start / size < share + 0.1:
            raise OSError(5, "Input/output error")
        return pread(descriptor, count, start)

    monkeypatch.setattr("tasks.storage.os.pread", fail)


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_frames_before_a_bad_place_of_the_disk_are_used_and_the_file_is_told_by_its_fault(
    name: str, sound: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(sound[name])
    (tmp_path / "neighbour").write_bytes(b"can be read")
    failing_from(tmp_path / name, 0.6, monkeypatch)
    frames = read_frames(url_of(tmp_path / name), 0.0, math.inf, [], NO_LIMIT)
    if name in ("a.ts", "a.mkv"):  # of the others so small a file is searched whole when it is opened
        assert [round(next(frames)[0] * 25) for _ in range(40)] == list(range(40))
    with pytest.raises(UnreadableError, match="Input/output error"):
        deque(frames, maxlen=0)


def test_a_disk_that_has_gone_is_the_stores_fault(
    sound: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.ts").write_bytes(sound["a.ts"])
    failing_from(tmp_path / "a.ts", 0.6, monkeypatch)
    listing = os.scandir

    def gone(path: object) -> object:
        if str(path) == str(tmp_path):
            raise OSError(5, "Input/output error")
        return listing(path)  # type: ignore[call-overload]

    monkeypatch.setattr("os.scandir", gone)
    with pytest.raises(storage.StorageError, match="neither it nor its neighbours"):
        list(read_frames(url_of(tmp_path / "a.ts"), 0.0, math.inf, [], NO_LIMIT))


def test_a_file_that_only_its_owner_may_read_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pauses(monkeypatch)
    path = write_clip(tmp_path / "a.mp4", [0, 0.1])
    (tmp_path / "neighbour").write_bytes(b"can be read")
    opened = open

    def refuse(name: object, *args: object, **options: object) -> object:
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied")
        return opened(name, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError):
        probe(url_of(path))
    (tmp_path / "neighbour").unlink()
    write_clip(tmp_path / "b.mp4", [0, 0.1])
    assert probe(url_of(tmp_path / "b.mp4")).width == WIDTH


def test_a_folder_that_has_gone_is_the_stores_fault(tmp_path: Path) -> None:
    with pytest.raises(storage.StorageError, match="check the archive"):
        probe(url_of(tmp_path / "unmounted" / "a.mp4"))


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(DAMAGED)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20),
    keep=st.floats(0.01, 1),
    head=st.booleans(),
    from_s=st.sampled_from([0.0, 3.0]),
)
def test_no_damage_whatever_stops_more_than_its_own_file(
    name: str,
    flips: list[tuple[float, int]],
    keep: float,
    head: bool,
    from_s: float,
    sound: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = bytearray(sound[name][: max(1, int(len(sound[name]) * keep))])
    for place, mask in flips:
        data[int(place * min(len(data), 2000 if head else len(data)))] ^= mask
    path = tmp_path_factory.mktemp("hostile") / name
    path.write_bytes(data)
    for call in (lambda: probe(url_of(path)), lambda: read_some(path, from_s)):
        try:
            call()
        except VideoError as error:
            refusal = str(error)
        else:
            continue
        assert refusal.startswith(url_of(path))


def read_some(path: Path, from_s: float) -> None:
    for count, (_, frame) in enumerate(read_frames(url_of(path), from_s, from_s + 1, [], 512 * 512)):
        assert pixels(frame).shape[2] == 3
        assert count < 1000


# Refusals


@pytest.mark.parametrize(
    "content", [b"", b"no video " * 500, bytes(5000), b"\x47" * 1880], ids=["none", "text", "0", "ts"]
)
def test_a_file_that_is_no_video_is_refused_with_url_cause_and_next_step(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    for call in (probe, lambda url: list(read_frames(url, 0, 1, [], NO_LIMIT))):
        with pytest.raises(VideoError) as caught:
            call(url_of(tmp_path / "a.mp4"))
        assert str(caught.value).startswith(f"file://{tmp_path}/a.mp4: {caught.value.cause}; look at the file")
        assert (caught.value.url, str(tmp_path) in caught.value.cause) == (url_of(tmp_path / "a.mp4"), False)


def test_a_file_with_sound_alone_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(VideoError, match="holds no video stream") as caught:
        probe(url_of(tmp_path / "a.mp4"))
    assert caught.value.cause == "holds no video stream"


def test_a_file_none_of_whose_frames_can_be_decoded_is_refused(sound: dict[str, bytes], tmp_path: Path) -> None:
    data = sound["a.avi"]
    (tmp_path / "a.avi").write_bytes(data.replace(b"\xff\xc0", b"\0\0").replace(b"\xff\xda", b"\0\0"))
    with pytest.raises(VideoError, match="no frame of it can be decoded"):
        probe(url_of(tmp_path / "a.avi"))


def test_a_file_of_a_codec_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", [0, 0.1])  # found by fuzzing
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_XPEG4/ISO/AVC"))
    with pytest.raises(VideoError, match="no decoder knows its codec"):
        probe(url_of(path))


def test_frames_above_the_limit_are_refused_and_at_the_limit_read(tmp_path: Path) -> None:
    url = url_of(write_clip(tmp_path / "a.mp4", [0, 0.1]))
    assert len(list(read_frames(url, 0, 1, [], WIDTH * HEIGHT))) == 2
    with pytest.raises(
        VideoError, match=f"frames of {WIDTH}x{HEIGHT} are above the limit of {WIDTH * HEIGHT - 1} pixels"
    ):
        next(read_frames(url, 0, 1, [], WIDTH * HEIGHT - 1))


def test_frames_that_grow_above_the_limit_on_the_way_are_refused(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.ts", paced(10, 10))
    large = write_clip(tmp_path / "b.ts", paced(10, 10), pictures=[numbered(k, 96, 128) for k in range(10)])
    (tmp_path / "c.ts").write_bytes(small.read_bytes() + large.read_bytes())
    seen = []
    with pytest.raises(VideoError, match="frames of 128x96 are above the limit"):
        seen += [f.width for _, f in read_frames(url_of(tmp_path / "c.ts"), 0, 99, [], WIDTH * HEIGHT)]
    assert {p.shape for _, p in read(tmp_path / "c.ts", errors=[])} == {(HEIGHT, WIDTH, 3), (96, 128, 3)}


def test_a_file_that_is_not_there_is_an_error_of_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    with pytest.raises(FileNotFoundError):
        probe(url_of(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    "name",
    [
        "a b.mp4",
        "c#1.mp4",
        "100%.mp4",
        "p%20q.mp4",
        "q?x=1.mp4",
        "北坡 露天矿/夜.mp4",
        "[1]*{x}.mp4",
        "a::b.mp4",
        "&;$'\".mp4",
    ],
)
def test_a_file_of_any_name_opens(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "plain.mp4", [0, 0.1])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    path.rename(tmp_path / name)
    (entry,) = listing.find(url_of(tmp_path))
    assert entry.url == url_of(tmp_path / name)
    assert probe(entry.url).width == WIDTH
    assert len(list(read_frames(entry.url, 0, 1, [], NO_LIMIT))) == 2


def test_a_playlist_cannot_make_the_reader_open_other_files(tmp_path: Path) -> None:
    secret = write_clip(tmp_path / "secret.mp4", [0, 0.1])
    for text in (
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"#EXTM3U\n#EXTINF:10,\n{url_of(secret)}\n#EXT-X-ENDLIST\n",
    ):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(VideoError):
            probe(url_of(tmp_path / "list.mp4"))


def test_reading_closes_its_file_when_the_reader_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []
    real = storage.open_seekable
    monkeypatch.setattr(decode.storage, "open_seekable", lambda url: files.append(real(url)) or files[-1])
    frames = read_frames(url_of(write_clip(tmp_path / "a.mp4", paced(50, 10))), 3.0, 9.0, [], NO_LIMIT)
    next(frames)
    frames.close()
    assert files
    assert all(f.closed for f in files)
