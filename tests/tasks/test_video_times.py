"""Clips whose timestamps are none, or begin anew: every frame comes out once, in order and at its pace, with its sound.

Times that a container holds as they should be: `test_video`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tasks.video import _packets, _Sound
from tests.tasks import footage
from tests.tasks.damaged import astray
from tests.tasks.night import decode, pictures, write_clip
from tests.tasks.restoring import packets, restore, seconds, sound


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_reordered_frames_of_an_avi_keep_their_order_and_pace(tmp_path: Path, codec: str) -> None:
    source = footage.write_clip(
        tmp_path / "in.avi", footage.paced(20, 10), codec=codec, base=Fraction(1, 10), options={"bf": "2"}
    )
    assert restore(source, tmp_path / "out.mp4") == 20
    times, frames = decode(tmp_path / "out.mp4")
    assert [footage.number_of(f) for f in frames] == list(range(20))
    assert [float(t) for t in times] == pytest.approx([k / 10 for k in range(20)])


def test_a_raw_stream_begins_at_once_and_keeps_the_rate_that_it_states(tmp_path: Path) -> None:
    source = footage.write_clip(tmp_path / "in.h264", footage.paced(12, 12), fps=12, base=Fraction(1, 12))
    assert restore(source, tmp_path / "out.mp4") == 12
    assert [float(t) for t in decode(tmp_path / "out.mp4")[0]] == pytest.approx([k / 12 for k in range(12)], abs=1e-3)


@pytest.mark.parametrize(("suffix", "tone"), [("ts", "aac"), ("mpg", "mp2"), ("mkv", "pcm_s16le"), ("ts", None)])
def test_clips_that_were_put_together_go_on_with_their_sound(tmp_path: Path, suffix: str, tone: str | None) -> None:
    parts = [write_clip(tmp_path / f"{k}.{suffix}", pictures(30, seed=k), tone=tone).read_bytes() for k in range(2)]
    source = tmp_path / f"both.{suffix}"
    source.write_bytes(b"".join(parts))
    assert restore(source, tmp_path / "out.mp4") >= 59  # MPEG's last frame before the seam may be damaged
    assert seconds(tmp_path / "out.mp4") == pytest.approx(6.0, abs=0.11)
    times, _ = decode(tmp_path / "out.mp4")
    assert max(b - a for a, b in pairwise(times)) < Fraction(3, 10)
    if tone:
        _, rate, samples = sound(tmp_path / "out.mp4")
        assert len(samples) / rate == pytest.approx(6.0, abs=0.2)


def test_frames_that_are_left_out_since_their_times_go_back_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = [write_clip(tmp_path / f"{k}.ts", pictures(10, seed=k)).read_bytes() for k in range(2)]
    source = tmp_path / "both.ts"
    source.write_bytes(b"".join(parts))
    done = restore(source, tmp_path / "out.mp4")
    lost = len(decode(source)[1]) - done
    assert lost > 0  # too short for its times to have begun anew
    assert f"{lost} frames are left out, whose times are not after those before them" in caplog.text


def need_every_frame_at_its_time(clip: Path) -> None:
    """100 frames at 10 a second."""
    times, frames = decode(clip)
    assert [footage.number_of(f) for f in frames] == list(range(100))
    assert [float(t - times[0]) for t in times] == pytest.approx([k / 10 for k in range(100)], abs=2e-3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("number", [50, 98])
def test_one_timestamp_far_ahead_of_its_neighbours_moves_no_other(tmp_path: Path, name: str, number: int) -> None:
    whole = footage.write_clip(tmp_path / f"whole_{name}", footage.paced(100, 10))
    assert restore(astray(whole, tmp_path / name, number), tmp_path / "out.mkv") == 100
    need_every_frame_at_its_time(tmp_path / "out.mkv")


def test_one_timestamp_far_behind_its_neighbours_moves_no_other(tmp_path: Path) -> None:
    parts = footage.paced(50, 10), [Fraction(1)], footage.paced(49, 10, 51)
    made = [footage.write_clip(tmp_path / f"{k}.ts", parts[k], first=n) for k, n in enumerate((0, 50, 51))]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in made))
    assert restore(tmp_path / "in.ts", tmp_path / "out.mkv") == 100
    need_every_frame_at_its_time(tmp_path / "out.mkv")


def test_a_pause_in_a_clip_stays_as_long_as_it_was(tmp_path: Path) -> None:
    times = [*footage.paced(10, 10), *footage.paced(10, 10, 600)]
    assert restore(footage.write_clip(tmp_path / "in.mkv", times), tmp_path / "out.mkv") == 20
    assert decode(tmp_path / "out.mkv")[0] == pytest.approx(times)


@pytest.mark.parametrize(("suffix", "tone"), [("mkv", "aac"), ("mkv", "pcm_s16le")], ids=["copied", "encoded anew"])
def test_one_timestamp_of_the_sound_that_is_astray_moves_no_other(tmp_path: Path, suffix: str, tone: str) -> None:
    whole = write_clip(tmp_path / f"whole.{suffix}", pictures(30), tone=tone, sample_rate=8000)
    source = astray(whole, tmp_path / "in.mkv", 10, kind="audio")
    restore(source, tmp_path / "out.mp4")
    last = [time for _, time in packets(tmp_path / "out.mp4", "audio")][-1]
    assert float(last) == pytest.approx(3.0, abs=0.3)


def test_where_reading_fails_the_decoder_is_asked_for_what_it_still_holds() -> None:
    class Cut:
        def demux(self, *streams: object) -> Iterator[str]:
            yield "packet"
            raise OSError(5, "Input/output error")

    assert list(_packets(Cut(), [])) == ["packet", None]  # type: ignore[arg-type]


def test_sound_whose_times_begin_anew_can_be_encoded_anew(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mov", pictures(30), tone="pcm_alaw", sample_rate=8000)
    with av.open(str(clip)) as container, av.open(str(tmp_path / "out.mp4"), "w") as out:
        passing = _Sound(container.streams.audio[0], out)
        assert not passing.copied
        for _ in range(2):
            container.seek(0)
            for packet in container.demux(container.streams.audio[0]):
                if packet.dts is not None:  # the flush of the decoder, which would take no more
                    out.mux(passing.pass_on(packet))
        out.mux(passing.end())
    _, rate, samples = sound(tmp_path / "out.mp4")
    assert len(samples) / rate == pytest.approx(6.0, abs=0.2)
