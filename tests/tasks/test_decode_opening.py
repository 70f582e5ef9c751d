"""Which files are opened, and which are refused with their cause and the next step; and that they are closed again.

What is found damaged while it is read: `test_decode_damage`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage import HEIGHT, WIDTH, numbered, paced, write_clip

from tasks import decode, listing, storage
from tasks.decode import VideoError, probe, read_frames
from tests.tasks.night import without_pauses
from tests.tasks.reading import NO_LIMIT, read, url_of


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


def test_frames_that_a_header_states_above_the_limit_are_never_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(write_clip(tmp_path / "a.mp4", [0, 0.1]))
    monkeypatch.setattr(decode, "_decode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(VideoError, match="above the limit"):
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
