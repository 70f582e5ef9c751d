"""What is damaged or out of reach is stepped over and told, as the file's fault or the store's.

What can't be opened in the first place: `test_decode_opening`. Decoders that hang or crash: `test_decode_process`.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage import WIDTH, noisy, number_of, paced, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import storage
from tasks.decode import VideoError, pixels, probe, read_frames
from tasks.faults import UnreadableError
from tests.tasks.damaged import astray
from tests.tasks.night import without_pauses
from tests.tasks.reading import NO_LIMIT, read, times_of, url_of

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


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", {}), ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"})])
def test_the_last_frame_of_a_time_lapse_is_shown_up_to_the_end_and_nothing_is_cut_off(
    name: str, kind: dict[str, Any], tmp_path: Path
) -> None:
    path = write_clip(tmp_path / name, range(0, 60, 5), fps=Fraction(1, 5), base=Fraction(5), **kind)
    assert probe(url_of(path)).seconds == 60
    assert times_of(path) == list(range(0, 60, 5))
    assert times_of(path, from_s=53.0) == [55.0]


def with_sound(path: Path, begins_s: int, zero_s: int = 0) -> Path:
    """50 noisy frames in 5 s, which begin so long after 8.192 s of silence do, whose timestamps begin at `zero_s`."""
    with av.open(str(path), "w") as out:
        video, sound = out.add_stream("libx264", rate=10), out.add_stream("aac", rate=8000, layout="mono")
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        for k in range(64):  # of 128 ms each
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = 8000, 8000 * zero_s + 1024 * k, Fraction(1, 8000)
            out.mux(sound.encode(silence))
        for k, picture in enumerate(noisy(50)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 1000 * (zero_s + begins_s) + 100 * k, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux([*video.encode(None), *sound.encode(None)])
    return path


@pytest.mark.parametrize("name", ["a.mkv", "a.flv"])
@pytest.mark.parametrize("begins_s", [0, 3], ids=["that ends seconds before the sound", "that begins seconds after it"])
def test_a_picture_is_not_cut_off(name: str, begins_s: int, tmp_path: Path) -> None:
    assert len(read(with_sound(tmp_path / name, begins_s))) == 50


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_header_tells_how_long_the_picture_lasts_where_the_sound_lasts_longer(name: str, tmp_path: Path) -> None:
    # Else each file would seem to overlap the next, and the recorder's clock to be wrong.
    assert probe(url_of(with_sound(tmp_path / name, 0))).seconds == 5


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv"])
def test_a_header_tells_how_long_the_picture_lasts_where_the_sound_begins_earlier(name: str, tmp_path: Path) -> None:
    assert probe(url_of(with_sound(tmp_path / name, 3))).seconds == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv"])
def test_a_header_tells_how_long_the_picture_lasts_where_timestamps_go_on_from_another_file(
    name: str, tmp_path: Path
) -> None:
    assert probe(url_of(write_clip(tmp_path / name, paced(50, 10, 72_000)))).seconds == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("name", ["a.mkv", "a.flv"])
def test_a_file_that_is_cut_off_is_told_where_its_timestamps_go_on_from_another(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, paced(100, 10, 72_000), pictures=noisy(100))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    errors: list[str] = []
    assert len(read(path, errors=errors)) < 80
    assert "ends early (its header promises more)" in errors


@pytest.mark.parametrize("name", ["a.mkv", "a.flv"])
@pytest.mark.parametrize("zero_s", [0, 7200])
def test_a_cut_off_file_with_sound_is_told(name: str, zero_s: int, tmp_path: Path) -> None:
    path = with_sound(tmp_path / name, 0, zero_s)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    errors: list[str] = []
    assert len(read(path, errors=errors)) < 40
    assert "ends early (its header promises more)" in errors


def test_a_time_lapse_that_is_cut_off_is_told(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", range(0, 60, 5), fps=Fraction(1, 5), base=Fraction(5), pictures=noisy(12),
        container_options={"movflags": "faststart"},
    )  # fmt: skip
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    errors: list[str] = []
    assert times_of(path, errors=errors)[:3] == [0, 5, 10]
    assert "ends early (its header promises more)" in errors


def test_timestamps_that_begin_anew_within_a_file_are_told(tmp_path: Path) -> None:
    clips = [
        write_clip(
            tmp_path / f"{k}.mpg", paced(100, 25), fps=25, base=Fraction(1, 25), pictures=noisy(100), container="vob"
        ).read_bytes()
        for k in range(2)
    ]
    (tmp_path / "both.mpg").write_bytes(b"".join(clips))
    errors: list[str] = []
    read(tmp_path / "both.mpg", errors=errors)
    assert any("its timestamps jump back" in cause for cause in errors)


@pytest.mark.parametrize(("again_s", "told"), [(1.5, False), (0.5, True)], ids=["by a little", "by much"])
def test_timestamps_have_begun_anew_only_where_they_go_back_by_much(again_s: float, told: bool, tmp_path: Path) -> None:
    clips = [
        write_clip(tmp_path / f"{k}.ts", [at + Fraction(n, 10) for n in range(30)]).read_bytes()
        for k, at in enumerate((Fraction(0), Fraction(again_s)))
    ]
    (tmp_path / "both.ts").write_bytes(b"".join(clips))
    errors: list[str] = []
    assert len(read(tmp_path / "both.ts", errors=errors)) == 60
    assert any("jump back" in cause for cause in errors) == told


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("from_s", [0.0, 3.0, 6.0])
def test_one_timestamp_far_ahead_of_its_neighbours_costs_its_own_frame_and_is_told(
    name: str, from_s: float, tmp_path: Path
) -> None:
    path = astray(write_clip(tmp_path / f"whole_{name}", paced(100, 10)), tmp_path / name, 50)
    errors: list[str] = []
    numbers = [number_of(p) for _, p in read(path, from_s, errors=errors)]
    assert numbers == [k for k in range(100) if k != 50 and k >= 10 * from_s]
    assert any("far ahead" in cause for cause in errors) or from_s > 5


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("count", [2, 9, 30])
def test_a_row_of_timestamps_far_ahead_of_their_neighbours_costs_its_own_frames_and_is_told(
    name: str, count: int, tmp_path: Path
) -> None:
    path = astray(write_clip(tmp_path / f"whole_{name}", paced(100, 10)), tmp_path / name, 50, count=count)
    errors: list[str] = []
    numbers = [number_of(p) for _, p in read(path, to_s=20.0, errors=errors)]
    assert numbers == [k for k in range(100) if not 50 <= k < 50 + count]
    assert any("far ahead" in cause for cause in errors)


def test_a_row_far_ahead_that_few_frames_come_back_after_is_told(tmp_path: Path) -> None:
    path = astray(write_clip(tmp_path / "whole.mkv", paced(100, 10)), tmp_path / "a.mkv", 50, count=45)
    errors: list[str] = []
    assert [number_of(p) for _, p in read(path, to_s=20.0, errors=errors)] == list(range(50))
    assert any("jump back" in cause for cause in errors)


def test_one_timestamp_far_behind_after_a_pause_costs_no_other_frame(tmp_path: Path) -> None:
    parts = ([*paced(10, 10), *paced(40, 10, 600)], [24], paced(49, 10, 641))
    made = [write_clip(tmp_path / f"{k}.ts", parts[k], first=n).read_bytes() for k, n in enumerate((0, 50, 51))]
    (tmp_path / "a.ts").write_bytes(b"".join(made))
    errors: list[str] = []
    assert [number_of(p) for _, p in read(tmp_path / "a.ts", errors=errors)] == list(range(100))
    assert any("jump back" in cause for cause in errors)


def test_of_a_row_far_ahead_that_two_frames_come_back_after_none_is_kept(tmp_path: Path) -> None:
    path = astray(write_clip(tmp_path / "whole.mkv", paced(100, 10)), tmp_path / "a.mkv", 96, count=2)
    numbers = [number_of(p) for _, p in read(path, errors=[])]
    assert numbers == [k for k in range(100) if k not in (96, 97)]


def test_a_frame_without_a_timestamp_after_one_far_ahead_follows_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = astray(write_clip(tmp_path / "whole.mkv", paced(100, 10)), tmp_path / "a.mkv", 50)
    monkeypatch.setattr("tasks.decode.stamp_of", lambda frame, _: None if round(frame.time, 3) == 5.1 else frame.pts)
    assert [number_of(p) for _, p in read(path, to_s=20.0, errors=[])] == [k for k in range(100) if k != 50]


@pytest.mark.parametrize(("limit", "value"), [("LOOK_AHEAD_PACKETS", 20), ("LOOK_AHEAD_BYTES", 100)])
def test_a_file_is_read_ahead_no_further_than_the_limit(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mkv", [*paced(10, 10), *paced(90, 10, 600)])
    seen: list[int] = []
    monkeypatch.setattr(f"tasks.decode.{limit}", value)
    for frame in read_frames(url_of(path), 0.0, math.inf, [], NO_LIMIT, lambda: seen.append(1)):
        if frame[0] > 10:
            break
    assert len(seen) < 50


def test_a_pause_within_a_file_leaves_every_frame_in(tmp_path: Path) -> None:
    times = [*paced(10, 10), Fraction(30), *paced(10, 10, 600), Fraction(90)]
    path = write_clip(tmp_path / "a.mkv", times)
    assert times_of(path) == pytest.approx([float(t) for t in times], abs=0.0011)


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
    scandir = os.scandir

    def gone(path: object) -> object:
        if str(path) == str(tmp_path):
            raise OSError(5, "Input/output error")
        return scandir(path)  # type: ignore[call-overload]

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


def test_a_file_none_of_whose_frames_can_be_decoded_is_refused(sound: dict[str, bytes], tmp_path: Path) -> None:
    data = sound["a.avi"]
    (tmp_path / "a.avi").write_bytes(data.replace(b"\xff\xc0", b"\0\0").replace(b"\xff\xda", b"\0\0"))
    with pytest.raises(VideoError, match="no frame of it can be decoded"):
        probe(url_of(tmp_path / "a.avi"))
