"""GoPro footage: a clip is told once, whole, whatever happens between two looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import storage
from tasks.decode import Header, VideoError
from tasks.landed import (
    LandedError,
    Seen,
    find_clips,
    landed_footage,
    look,
    read_seen,
    state_url,
    write_seen,
)


def readable(url: str) -> Header:
    if b"broken" in storage.read(url):
        raise VideoError(url, "not a readable video")
    return Header(1.0, None, 64, 48, 25.0)


class Uploads:
    """A folder that footage is put into, and a watcher that remembers what it told."""

    def __init__(self, root: Path) -> None:
        self.folder, self.url = root / "gopro", storage.normalise(str(root / "gopro"))
        self.memory = state_url(str(root / "store"), self.url)

    def put(self, name: str, content: bytes = b"footage") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def look(self) -> list[str]:
        """One look, as the flow does it; names of the clips that are told."""
        clips, seen = look(self.url, read_seen(self.memory), readable)
        for clip in clips:
            seen[clip.name] = Seen(clip.key, clip.files, clip.key)
        write_seen(self.memory, self.url, seen)
        return [clip.name for clip in clips]


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path)


def test_a_clip_is_told_at_the_second_look_and_never_again(uploads: Uploads) -> None:
    uploads.put("GX010119.MP4")
    assert [uploads.look() for _ in range(4)] == [[], ["0119"], [], []]


def test_a_clip_that_still_grows_waits(uploads: Uploads) -> None:
    for size in range(1, 4):
        uploads.put("GX010119.MP4", b"x" * size)
        assert uploads.look() == []
    assert uploads.look() == ["0119"]


def test_chapters_are_one_clip_in_their_order_and_clips_do_not_mix(uploads: Uploads) -> None:
    for name in ("GX010119.MP4", "GX020119.MP4", "GX010120.MP4", "day2/GX010119.MP4", "GX100119.MP4"):
        uploads.put(name)
    clips = find_clips(uploads.url)
    assert set(clips) == {"0119", "0120", "day2/0119"}
    assert [url.rpartition("/")[2] for url in clips["0119"].files] == ["GX010119.MP4", "GX020119.MP4", "GX100119.MP4"]
    assert clips["0119"].missing == tuple(range(3, 10))


def test_a_clip_waits_for_its_missing_chapter(uploads: Uploads) -> None:
    uploads.put("GX020119.MP4")
    assert [uploads.look() for _ in range(3)] == [[], [], []]
    assert "chapter 1" in read_seen(uploads.memory)["0119"].waiting
    uploads.put("GX010119.MP4")
    assert [uploads.look(), uploads.look()] == [[], ["0119"]]


def test_a_chapter_that_comes_late_makes_the_clip_new(uploads: Uploads) -> None:
    uploads.put("GX010119.MP4")
    uploads.look(), uploads.look()
    uploads.put("GX020119.MP4")
    assert [uploads.look(), uploads.look(), uploads.look()] == [[], ["0119"], []]


@pytest.mark.parametrize(("content", "cause"), [(b"", "empty"), (b"broken", "not a readable video")])
def test_an_upload_that_stopped_half_way_waits_with_its_reason(uploads: Uploads, content: bytes, cause: str) -> None:
    uploads.put("GX010119.MP4", content)
    assert [uploads.look() for _ in range(3)] == [[], [], []]
    assert cause in read_seen(uploads.memory)["0119"].waiting


def test_a_clip_whose_name_no_event_can_hold_waits_with_its_reason_and_holds_up_no_other(uploads: Uploads) -> None:
    uploads.put(os.fsdecode(b"m\xe4ll.mp4"))
    uploads.put("pit.mp4")
    assert [uploads.look() for _ in range(3)] == [[], ["pit.mp4"], []]
    assert "not UTF-8" in read_seen(uploads.memory)[os.fsdecode(b"m\xe4ll.mp4")].waiting


def test_pictures_and_proxies_of_the_camera_are_no_footage(uploads: Uploads) -> None:
    for name in ("GX010119.THM", "GX010119.LRV", "notes.txt"):
        uploads.put(name)
    assert find_clips(uploads.url) == {}


@pytest.mark.parametrize("folder", [".Trash-1000/files", "$RECYCLE.BIN", "pit/@eaDir/GX010119.MP4"])
def test_what_was_deleted_is_no_footage(folder: str, uploads: Uploads) -> None:
    uploads.put(f"{folder}/GX010119.MP4")
    assert find_clips(uploads.url) == {}


def test_footage_under_another_name_is_a_clip_by_itself(uploads: Uploads) -> None:
    uploads.put("pit/walk.mov")
    assert [uploads.look(), uploads.look()] == [[], ["pit/walk.mov"]]


def test_a_told_clip_that_is_removed_and_put_back_is_not_told_again(uploads: Uploads) -> None:
    uploads.put("GX010119.MP4")
    uploads.look(), uploads.look()
    aside = uploads.folder / "GX010119.MP4"
    aside.rename(uploads.folder.parent / "aside")
    assert uploads.look() == []
    (uploads.folder.parent / "aside").rename(aside)
    assert [uploads.look(), uploads.look()] == [[], []]


def test_what_has_landed_can_be_listed_again(uploads: Uploads, tmp_path: Path) -> None:
    uploads.put("GX010119.MP4")
    uploads.look(), uploads.look()
    uploads.put("GX010120.MP4")
    uploads.look()
    assert landed_footage(str(tmp_path / "store"), uploads.url) == [f"{uploads.url}/GX010119.MP4"]


def test_a_damaged_memory_is_named_and_not_taken_for_an_empty_one(uploads: Uploads) -> None:
    storage.write(uploads.memory, b"{}")
    with pytest.raises(LandedError, match="remove it"):
        read_seen(uploads.memory)


NAMES = st.sampled_from(["GX010001.MP4", "GX020001.MP4", "GX010002.MP4", "other.mp4"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(min_size=1, max_size=3)), max_size=12))
def test_whatever_is_uploaded_is_told_once_in_the_state_that_it_stays_in(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes]]
) -> None:
    uploads = Uploads(tmp_path_factory.mktemp("uploads"))
    for name, content in steps:
        uploads.put(name, content)
        uploads.look()
    uploads.look(), uploads.look()
    clips = find_clips(uploads.url)
    seen = read_seen(uploads.memory)
    assert {n for n, c in seen.items() if c.told == c.key} == {n for n, c in clips.items() if not c.missing}
    assert uploads.look() == []
