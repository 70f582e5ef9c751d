"""One clip in, one out: size, times, pace, sound and colours are kept, and a failure leaves nothing behind.

Most tests use a restorer that gives back what it gets, so that frames can be told apart.
"""

from __future__ import annotations

import io
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lednet import Restorer
from lednet.video import VideoRestorer
from tasks.decode import VideoError
from tasks.picture import jpeg
from tasks.video import encode_preview, pixel_format, read_jpeg, restore_clip
from tests.tasks.night import Frames, decode, pictures, save_checkpoint, write_clip
from tests.tasks.restoring import Same, packets, restore, seconds, sound


def only(folder: Path, *names: str) -> bool:
    return sorted(p.name for p in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (33, 35)])
def test_the_size_is_kept_even_and_odd(tmp_path: Path, size: tuple[int, int]) -> None:
    source = write_clip(tmp_path / "in.mkv", pictures(3, *size))
    restore(source, tmp_path / "out.mp4")
    assert decode(tmp_path / "out.mp4")[1].shape == (3, *size, 3)


@pytest.mark.parametrize(("size", "expected"), [((48, 64), "yuv420p"), ((47, 64), "yuv444p"), ((48, 63), "yuv444p")])
def test_it_is_h264_that_players_show(tmp_path: Path, size: tuple[int, int], expected: str) -> None:
    restore(write_clip(tmp_path / "in.mkv", pictures(3, *size)), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", expected)
    assert pixel_format(*size) == expected


@pytest.mark.parametrize("count", [1, 2, 31])
def test_every_frame_comes_out_in_order(tmp_path: Path, count: int) -> None:
    source = write_clip(tmp_path / "in.mp4", pictures(count))
    assert restore(source, tmp_path / "out.mp4") == count
    before, after = decode(source)[1], decode(tmp_path / "out.mp4")[1]
    likeness = [[np.abs(a.astype(int) - b).mean() for b in before] for a in after]
    assert np.argmin(likeness, axis=1).tolist() == list(range(count))


@pytest.mark.parametrize(("source", "target"), [("mp4", "mp4"), ("mkv", "mp4"), ("ts", "mp4"), ("mp4", "mkv"),
                                                ("mp4", "mov"), ("mp4", "ts")])  # fmt: skip
def test_times_survive_from_container_to_container(tmp_path: Path, source: str, target: str) -> None:
    clip = write_clip(tmp_path / f"in.{source}", pictures(12))
    restore(clip, tmp_path / f"out.{target}")
    before, after = decode(clip)[0], decode(tmp_path / f"out.{target}")[0]
    if target == "ts":  # where FFmpeg starts every stream later, so that no decoding time is below zero
        after = [t - after[0] + before[0] for t in after]
    assert [float(t) for t in after] == pytest.approx([float(t) for t in before], abs=0.0011)


@pytest.mark.parametrize("target", ["mp4", "mkv", "mov"])
def test_the_shape_of_its_pixels_is_kept(tmp_path: Path, target: str) -> None:
    source, shape = tmp_path / "in.mp4", Fraction(4, 3)
    with av.open(str(source), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = shape
        for picture in pictures(2):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
    restore(source, tmp_path / f"out.{target}")
    with av.open(str(tmp_path / f"out.{target}")) as found:
        assert found.streams.video[0].sample_aspect_ratio == shape


def test_the_shape_of_its_pixels_is_turned_with_the_picture(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        out.mux(video.encode(av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24")))
        out.mux(video.encode(None))
    data = bytearray(source.read_bytes())
    matrix = data.index(b"tkhd") + 44  # that the picture is shown by, here turned by a quarter
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    source.write_bytes(data)
    restore(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as found:
        assert found.streams.video[0].sample_aspect_ratio == Fraction(3, 4)


@pytest.mark.parametrize("fps", [10, 25, Fraction(30_000, 1001), 60])
def test_the_frame_rate_and_the_duration_are_kept(tmp_path: Path, fps: Any) -> None:
    source = write_clip(tmp_path / "in.mp4", pictures(20), fps)
    restore(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == fps
    assert seconds(tmp_path / "out.mp4") == pytest.approx(seconds(source), abs=1 / float(fps))


@pytest.mark.parametrize("target", ["mp4", "mkv"])
@pytest.mark.parametrize(
    "times", [[0, 40, 80, 500, 520, 1700], [2500, 2600, 2700, 2800], [0, 1, 2, 3, 1000], [1500, 1540, 4000]]
)
def test_variable_pace_and_a_late_start_are_kept(tmp_path: Path, times: list[int], target: str) -> None:
    source = write_clip(tmp_path / "in.mkv", pictures(len(times)), times=times)
    restore(source, tmp_path / f"out.{target}")
    assert [round(1000 * t) for t in decode(source)[0]] == times
    assert [round(1000 * t) for t in decode(tmp_path / f"out.{target}")[0]] == times


@pytest.mark.parametrize(
    ("source", "target", "codec"),
    [("mp4", "mp4", "aac"), ("mkv", "mp4", "aac"), ("mp4", "mkv", "aac"), ("mkv", "mkv", "pcm_s16le"),
     ("mp4", "mp4", "libmp3lame"), ("mkv", "mp4", "flac"), ("mkv", "mp4", "libopus"), ("mp4", "ts", "aac")],
)  # fmt: skip
def test_the_sound_is_copied_untouched(tmp_path: Path, source: str, target: str, codec: str) -> None:
    clip = write_clip(tmp_path / f"in.{source}", pictures(12), tone=codec)
    restore(clip, tmp_path / f"out.{target}")
    before, after = packets(clip, "audio"), packets(tmp_path / f"out.{target}", "audio")
    if target == "ts":  # packets gain headers and lose their bounds
        assert sound(tmp_path / "out.ts")[0] == "aac"
        return
    assert [data for data, _ in after] == [data for data, _ in before]
    # Relative to the pictures: a container that knows no time below zero starts all its streams later.
    starts = [decode(path)[0][0] for path in (clip, tmp_path / f"out.{target}")]
    old, new = ([float(t - start) for _, t in found] for found, start in zip((before, after), starts, strict=True))
    assert new == pytest.approx(old, abs=0.0011)


def test_sound_of_a_transport_stream_is_copied_into_an_mp4(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.ts", pictures(12), tone="aac")
    restore(clip, tmp_path / "out.mp4")
    (_, _, before), (name, rate, after) = sound(clip), sound(tmp_path / "out.mp4")
    assert (name, rate) == ("aac", 48_000)
    assert np.array_equal(before, after)


def test_sound_of_a_late_start_stays_beside_its_pictures(tmp_path: Path) -> None:
    times = [2500 + 100 * k for k in range(12)]
    clip = write_clip(tmp_path / "in.mkv", pictures(12), times=times, tone="aac")
    restore(clip, tmp_path / "out.mp4")
    before, after = (packets(p, "audio")[5][1] - decode(p)[0][0] for p in (clip, tmp_path / "out.mp4"))
    assert float(after) == pytest.approx(float(before), abs=0.0011)


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [("mov", "pcm_mulaw", 8000), ("mov", "pcm_alaw", 8000), ("avi", "adpcm_ima_wav", 22_050),
     ("avi", "adpcm_ima_wav", 37_800)],
)  # fmt: skip
def test_sound_that_the_target_cannot_hold_becomes_aac(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    clip = write_clip(tmp_path / f"in.{suffix}", pictures(20), tone=codec, sample_rate=rate)
    restore(clip, tmp_path / "out.mp4")
    name, out_rate, samples = sound(tmp_path / "out.mp4")
    assert name == "aac"
    assert len(samples) / out_rate == pytest.approx(2.0, abs=0.15)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * out_rate / len(samples) == pytest.approx(440, abs=3)


def test_a_silent_clip_stays_silent(tmp_path: Path) -> None:
    restore(write_clip(tmp_path / "in.mp4", pictures(3)), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 0


def test_the_model_sees_every_frame_and_its_answer_is_stored(tmp_path: Path) -> None:
    restorer = Restorer(save_checkpoint(tmp_path))
    source = write_clip(tmp_path / "in.mp4", pictures(4))
    restore(source, tmp_path / "out.mp4", restorer)
    expected = np.concatenate([restorer.restore(f[None]) for f in decode(source)[1]])
    assert np.abs(decode(tmp_path / "out.mp4")[1].astype(int) - expected).mean() < 4


def test_a_clip_is_restored_with_a_memory_of_its_own_times(tmp_path: Path) -> None:
    restorer = Restorer(save_checkpoint(tmp_path))
    source = write_clip(tmp_path / "in.mp4", np.repeat(pictures(1), 6, 0))
    restore_clip(source, tmp_path / "out.mp4", restorer, lambda done, expected: None)
    times, dark = decode(source)
    expected = VideoRestorer(restorer).restore(dark, [float(t) for t in times])
    assert np.abs(decode(tmp_path / "out.mp4")[1].astype(int) - expected).mean() < 4


@pytest.mark.parametrize("matrix", [None, 1, 6])
def test_colours_survive_and_players_are_told_their_matrix(tmp_path: Path, matrix: int | None) -> None:
    frame = np.zeros((96, 128, 3), np.uint8)
    for k, colour in enumerate(((200, 40, 30), (40, 160, 60), (30, 60, 190), (128, 128, 128))):
        frame[:, 32 * k : 32 * (k + 1)] = colour
    with av.open(str(tmp_path / "in.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "8"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        if matrix:
            stream.codec_context.colorspace = matrix
        shown = av.VideoFrame.from_ndarray(frame, format="rgb24")
        out.mux(stream.encode(shown.reformat(format="yuv420p", dst_colorspace=matrix or 6)))
        out.mux(stream.encode(None))
    restore(tmp_path / "in.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        result = next(container.decode(video=0))
    assert (result.colorspace, result.color_range, result.color_primaries, result.color_trc) == (1, 1, 1, 1)
    seen = result.reformat(format="rgb24", src_colorspace=1).to_ndarray()
    assert np.abs(seen[:, 16::32].astype(int) - frame[:, 16::32]).max() <= 6


def test_progress_is_told_frame_by_frame(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    restore_clip(write_clip(tmp_path / "in.mp4", pictures(5)), tmp_path / "out.mp4", Same(),  # type: ignore[arg-type]
                 lambda *now: told.append(now), frame_wise=True)  # fmt: skip
    assert told == [(k, 5) for k in range(1, 6)]


def test_a_target_without_an_extension_is_an_mp4(tmp_path: Path) -> None:
    assert restore(write_clip(tmp_path / "in.mp4", pictures(3)), tmp_path / "out") == 3
    assert (tmp_path / "out").read_bytes()[4:8] == b"ftyp"


def test_names_with_odd_characters_are_taken_as_they_stand(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "夜 #1 %41?::b.mp4", pictures(3))
    assert restore(source, tmp_path / "out #?%.mp4") == 3
    assert only(tmp_path, source.name, "out #?%.mp4")


def test_a_relative_target_lies_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(Path("in.mp4"), pictures(3))
    for target in ("out.mp4", "22:00:03.mp4"):  # what stands before a colon is no protocol
        restore(Path("in.mp4"), Path(target))
    assert only(tmp_path, "in.mp4", "out.mp4", "22:00:03.mp4")


def test_a_clip_can_take_its_own_place(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", pictures(3))
    assert restore(source, source) == 3
    assert len(decode(source)[1]) == 3


def test_an_old_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"old")
    restore(write_clip(tmp_path / "in.mp4", pictures(3)), tmp_path / "out.mp4")
    assert only(tmp_path, "in.mp4", "out.mp4")
    assert len(decode(tmp_path / "out.mp4")[1]) == 3


class Failing(Same):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def restore(self, frames: Frames) -> Frames:
        if len(self.seen) == 2:
            raise self.error
        return super().restore(frames)


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), RuntimeError("CUDA")])
def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    source = write_clip(tmp_path / "in.mp4", pictures(6), tone="aac")
    with pytest.raises(type(error)):
        restore(source, tmp_path / "out.mp4", Failing(error))
    assert only(tmp_path, "in.mp4")


def test_a_failure_on_the_way_keeps_the_old_target(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"old")
    source = write_clip(tmp_path / "in.mp4", pictures(6))
    with pytest.raises(MemoryError):
        restore(source, tmp_path / "out.mp4", Failing(MemoryError()))
    assert (tmp_path / "out.mp4").read_bytes() == b"old"


@pytest.mark.parametrize("data", [b"", b"this is no video at all", bytes(5000)])
def test_what_is_no_video_is_told_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"in\.mp4: .*; look at the file"):
        restore(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert only(tmp_path, "in.mp4")


def test_a_clip_none_of_whose_frames_can_be_decoded_is_told(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", pictures(4))
    data = source.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov")
    source.write_bytes(data[:begin] + bytes(end - begin) + data[end:])
    with pytest.raises(VideoError, match="no frame of it can be decoded"):
        restore(source, tmp_path / "out.mp4")
    assert only(tmp_path, "in.mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.m4a"), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48_000
        out.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(VideoError, match="holds no video stream"):
        restore(tmp_path / "in.m4a", tmp_path / "out.mp4")


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        restore(tmp_path / "gone.mp4", tmp_path / "out.mp4")
    assert only(tmp_path)


def test_a_target_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", pictures(3))
    with pytest.raises(FileNotFoundError, match=r"out\.mp4: its folder .*/no/such is not there; make it first"):
        restore(source, tmp_path / "no" / "such" / "out.mp4")


def test_a_target_that_is_a_folder_or_a_device_is_refused_before_anything_is_restored(tmp_path: Path) -> None:
    source, restorer = write_clip(tmp_path / "in.mp4", pictures(3)), Same()
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("out", "pipe"):
        with pytest.raises(ValueError, match=f"{name}: is there and is no file; name the file to write"):
            restore(source, tmp_path / name, restorer)
    assert not restorer.seen
    assert only(tmp_path, "in.mp4", "out", "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody may write to")
def test_a_target_that_cannot_be_written_is_named_before_anything_is_restored(tmp_path: Path) -> None:
    restorer = Same()
    with pytest.raises(OSError, match=r"'/proc/out\.mp4'"):
        restore(write_clip(tmp_path / "in.mp4", pictures(3)), Path("/proc/out.mp4"), restorer)
    assert not restorer.seen


@pytest.mark.parametrize("name", ["out.txt", "out.webm", "out.jpg", "out.xyz", "out.m3u8", "out.mpd"])
def test_a_target_that_holds_no_h264_is_refused_with_the_next_step(tmp_path: Path, name: str) -> None:
    source = write_clip(tmp_path / "in.mp4", pictures(3))
    with pytest.raises(ValueError, match=rf"{name}: no container for H.264; name it .mp4"):
        restore(source, tmp_path / name)
    assert only(tmp_path, "in.mp4")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_damage_in_the_middle_does_not_stop_it(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / f"in.{suffix}", pictures(60), tone="aac")
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(1).integers(0, 256, 400, np.uint8).tobytes()
    source.write_bytes(data)
    assert 45 <= restore(source, tmp_path / "out.mp4") <= 60
    assert 45 <= len(decode(tmp_path / "out.mp4")[1]) <= 60
    assert decode(tmp_path / "out.mp4")[0][-1] >= Fraction(57, 10)


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_clip_that_is_cut_off_is_restored_up_to_there(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / f"in.{suffix}", pictures(40))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert 12 <= restore(source, tmp_path / "out.mp4") <= 28
    assert only(tmp_path, source.name, "out.mp4")


def jpegs(count: int, size: tuple[int, int] = (36, 48)) -> list[tuple[bytes, bytes]]:
    return [(jpeg(a, 640), jpeg(255 - a, 640)) for a in pictures(count, *size)]


@pytest.mark.parametrize("count", [1, 7])
def test_a_preview_holds_every_pair(count: int) -> None:
    data = encode_preview(jpegs(count), 8)
    assert data is not None
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 8)
        assert len(list(container.decode(stream))) == count


@pytest.mark.parametrize("size", [(35, 47), (36, 47), (35, 48)])
def test_a_preview_of_odd_pictures_is_cut_to_even(size: tuple[int, int]) -> None:
    data = encode_preview(jpegs(2, size), 8)
    assert data is not None
    with av.open(io.BytesIO(data)) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width) == (size[0] // 2 * 2, size[1] * 2)


def test_without_pairs_there_is_no_preview() -> None:
    assert encode_preview([], 8) is None


def test_the_same_pairs_give_the_same_bytes() -> None:
    assert encode_preview(jpegs(5), 8) == encode_preview(jpegs(5), 8)


def test_jpegs_are_read_in_rgb() -> None:
    red = np.full((16, 16, 3), (200, 40, 30), np.uint8)
    assert np.abs(read_jpeg(jpeg(red, 16)).astype(int) - red).max() < 6
