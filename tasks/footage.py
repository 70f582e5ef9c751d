"""Sharp footage to learn from: GoPro clips in a folder or on object storage, listed, split and decoded.

    <footage>/<camera>/.../GX010119.MP4, GX020119.MP4     chapters of one clip, whose number stands last
    <footage>/GOPR0119.MP4, GP010119.MP4                  the same, as older cameras name them
    <footage>/train/GOPR0372_07_00/000047.png             the GoPro data set: 240 frames/s, or with sharp/ and blur/

A clip's camera is the first folder below the footage, or the footage's own name. `train` and `test` are the data set's
parts where scenes of such names lie in them, and cameras like any other elsewhere. Not covered: night archives
(`tasks.archive`), what is made of the clips (`tasks.pairs`, `tasks.finetune`).
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from lednet.clips import (
    HIGH_SPEED_FPS,
    NO_FPS,
    VIDEO_SUFFIXES,
    Clip,
    ClipError,
    clip_and_chapter,
    sharpness,
    split_clips,
)
from tasks import listing, storage
from tasks.decode import VideoError, pixels, probe, read_frames
from tasks.landed import NO_FOOTAGE
from tasks.listing import Entry
from tasks.picture import read_picture
from tasks.settings import LearnSettings

log = logging.getLogger(__name__)

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
HIGH_SPEED_NAME = re.compile(r"(120|240|480)fps", re.IGNORECASE)
"""High-speed footage is often re-timed to 30 fps for playing, so a name that states the rate wins."""
DATA_SET_CLIP = re.compile(r"GOPR\d{4}_\d\d_\d\d")
"""A folder of the GoPro data set (Nah et al., CVPR 2017): consecutive frames at 240 a second."""
TEST = "test"
DATA_SET_SPLITS = ("train", TEST)
BLURRED = ("blur", "blur_gamma")
SHARP = "sharp"
UNSAFE = re.compile(r"[^\w.]+")
"""What no name of a clip holds. Letters of all scripts stay, or folders with Chinese names would all be one camera."""


@dataclass(frozen=True)
class FootageClip:
    """One clip: its chapters, or its pictures, in the order in which they were filmed."""

    name: str
    """Unique in its footage, and the same at every listing: folders and clip number."""
    camera: str
    sources: tuple[Entry, ...]
    pictures: bool = False
    """Whether the sources are pictures, one a frame."""
    data_set_split: str = ""
    """`train` or `test`, where the footage comes with a split of its own."""

    @property
    def names(self) -> frozenset[str]:
        """What cards may call it: its name, and as `lednet train` has it, each video file's without the suffix."""
        files = () if self.pictures else (PurePosixPath(s.url).stem for s in self.sources)
        return frozenset((self.name, *files))

    @property
    def key(self) -> str:
        """Changes when the content does."""
        told = [self.name, *(s.etag for s in self.sources)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def list_footage(locations: Sequence[str]) -> list[FootageClip]:
    """Every clip of some folders, files or URLs, by name; what two of them hold is listed once. A file that is named by
    itself and has gone is told in the log.

    Raises:
        ClipError: if there is none, if a folder is not there or holds nothing, or if two clips would bear one name.
    """
    clips: dict[str, FootageClip] = {}
    seen: set[str] = set()
    gone: list[str] = []
    # Folders first: a file that is named by itself too keeps the camera that its folder gives it.
    for root in sorted(map(storage.normalise, filter(None, locations)), key=_is_file):
        base, entries = _list(root)
        if not entries:
            gone.append(root)
        entries = [e for e in entries if e.url not in seen]
        seen.update(e.url for e in entries)
        for clip in group_clips(base, entries):
            if clip.name in clips:
                both = f"{clips[clip.name].sources[0].url} and {clip.sources[0].url}"
                raise ClipError(
                    f"{both}: two clips of one name, {clip.name}; give each camera a folder of its own name"
                )
            clips[clip.name] = clip
    if not clips:
        raise _no_clips(locations)
    _refuse_gone(gone)
    return [clips[name] for name in sorted(clips)]


def need_footage(locations: Sequence[str]) -> None:
    """Raise ClipError where no location is named or there, or a folder is not. What lies in them is not listed, which
    can take minutes."""
    urls = [storage.normalise(location) for location in filter(None, locations)]
    gone = [url for url in urls if not storage.exists(url)]
    if len(gone) == len(urls):
        raise _no_clips(locations)
    _refuse_gone(gone)


def _refuse_gone(urls: Sequence[str]) -> None:
    """A disk that is not mounted, or a mistyped option, would look like footage without some cameras, which a model
    would then forget. A file may be gone since an event told of it."""
    folders = [url for url in urls if not _is_file(url)]
    if folders:
        raise ClipError(f"{', '.join(folders)}: not there, or nothing in it; mount it, or leave it out")
    for url in urls:
        log.warning("%s: not there any more; it is left out", url)


def _no_clips(locations: Sequence[str]) -> ClipError:
    looked = ", ".join(filter(None, locations))
    if not looked:
        return ClipError("no footage named: pass its folder or URL, or write it as footage in [learn] of cameras.toml")
    kinds = f"{', '.join(VIDEO_SUFFIXES)}, or folders of pictures"
    return ClipError(f"{looked}: no clips in it ({kinds}); pass a folder or URL of GoPro footage")


def _is_file(url: str) -> bool:
    return PurePosixPath(url).suffix.lower() in (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES)


def _list(root: str) -> tuple[str, list[Entry]]:
    if not _is_file(root):
        return root, list(listing.find(root))
    folder = root.rpartition("/")[0]
    return folder, [e for e in listing.find(folder) if e.url == root]


def group_clips(root: str, entries: Iterable[Entry]) -> list[FootageClip]:
    """Files below a root -> clips, by name, each with its chapters or pictures in order."""
    groups: dict[tuple[tuple[str, ...], str], list[tuple[int, str, Entry]]] = {}
    for entry in entries:
        path = PurePosixPath(storage.relative(entry.url, root))
        folder, suffix = path.parent.parts, path.suffix.lower()
        if any(part.startswith(NO_FOOTAGE) for part in folder):
            continue
        if suffix in VIDEO_SUFFIXES:
            clip, chapter = clip_and_chapter(path.stem)
            groups.setdefault((folder, clip), []).append((chapter, path.name, entry))
        elif suffix in PICTURE_SUFFIXES and not set(BLURRED) & set(folder):
            groups.setdefault((folder, ""), []).append((0, path.name, entry))
    found = [_clip(root, folder, clip, sorted(files)) for (folder, clip), files in groups.items()]
    return sorted(found, key=lambda c: c.name)


def _clip(root: str, folder: tuple[str, ...], clip: str, files: list[tuple[int, str, Entry]]) -> FootageClip:
    above, own = [part for part in folder if part != SHARP], ""
    root_name, last = root.rpartition("/")[2], clip
    if not clip and above and DATA_SET_CLIP.fullmatch(above[-1]):
        last = above.pop()
        if above and above[-1] in DATA_SET_SPLITS:
            own = above.pop()
        elif root_name == TEST:  # named as the footage by itself
            own = TEST
    camera = _safe(above[0] if above else root_name)
    name = "-".join(_safe(part) for part in (camera, *above[1:], last) if part)
    return FootageClip(name, camera, tuple(entry for _, _, entry in files), not clip, own)


def _safe(part: str) -> str:
    # Some systems store an accent apart from its letter: the same name must not depend on where it was copied from.
    return UNSAFE.sub("_", unicodedata.normalize("NFC", part))


def split_footage(clips: Sequence[FootageClip], held_out_share: float) -> tuple[list[FootageClip], list[FootageClip]]:
    """(training, held out), by clip and within each camera, so that each camera of two clips or more is judged.

    A split that the footage itself comes with is kept: nothing of a data set's `test` is ever trained on.
    """
    held = {c.name for c in clips if c.data_set_split == TEST}
    for camera in {c.camera for c in clips}:
        own = {f"{c.name}.clip": c.name for c in clips if c.camera == camera and not c.data_set_split}
        _, out = split_clips([Path(name) for name in own], held_out_share)
        held |= {own[p.name] for p in out}
    return [c for c in clips if c.name not in held], [c for c in clips if c.name in held]


def read_clip(clip: FootageClip, settings: LearnSettings) -> Clip:
    """Decode some frames: consecutive ones of high-speed footage, evenly spread ones of any other.

    Fewer are kept where `clip_mb` would not hold them.

    Raises:
        VideoError: if it can't be read or decoded.
        StorageError: if its store can't be reached, which is no reason to do without it.
    """
    try:
        return _read_clip(clip, settings)
    except storage.StorageError:
        raise
    except OSError as error:
        raise VideoError(clip.sources[0].url, f"cannot be read: {error}") from error


def _read_clip(clip: FootageClip, settings: LearnSettings) -> Clip:
    fast = is_high_speed(clip)
    most = settings.high_speed_frames if fast else settings.frames_per_clip
    read = _pictures if clip.pictures else _frames
    first = next(read(clip, most, fast, settings.most_pixels), None)
    if first is None:
        raise VideoError(clip.sources[0].url, "no frame of it can be decoded")
    # Known before the others are chosen, so that fewer are spread over the whole clip too.
    most = max(1, min(most, settings.clip_mb * 2**20 // first.nbytes))
    shown = read(clip, most, fast, settings.most_pixels)
    frames = [frame for frame in shown if frame.shape == first.shape] or [first]
    # Of high-speed footage alone: a still is moved as it is.
    sharp = tuple(map(sharpness, frames)) if fast else ()
    return Clip(clip.name, torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous(), fast, sharpness=sharp)


def is_high_speed(clip: FootageClip) -> bool:
    """Whether consecutive frames are close enough for bursts: by the name, or by the file's header."""
    url = clip.sources[0].url
    if HIGH_SPEED_NAME.search(url.rpartition("/")[2]):
        return True
    if clip.pictures:
        return bool(DATA_SET_CLIP.fullmatch(url.split("/")[-2]))
    return HIGH_SPEED_FPS <= probe(url).fps < NO_FPS


def _frames(clip: FootageClip, most: int, fast: bool, most_pixels: int) -> Iterator[NDArray[np.uint8]]:
    urls = [s.url for s in clip.sources]
    lengths = [0.0] if fast else [probe(url).seconds or 0.0 for url in urls]
    if fast or not all(lengths):
        read = chain.from_iterable(read_frames(url, 0.0, float("inf"), [], most_pixels) for url in urls)
        yield from (pixels(frame) for _, frame in islice(read, most))
        return
    ends, found = np.cumsum(lengths), False
    for k in range(most):
        at = (k + 0.5) / most * float(ends[-1])
        chapter = int(np.searchsorted(ends, at, side="right"))
        begin = at - float(ends[chapter]) + lengths[chapter]
        for _, frame in islice(read_frames(urls[chapter], begin, float("inf"), [], most_pixels), 1):
            yield pixels(frame)
            found = True
    if not found:  # all that there is is shown before any of these times, as the one frame of a clip is
        yield from (pixels(frame) for _, frame in islice(read_frames(urls[0], 0.0, float("inf"), [], most_pixels), 1))


def _pictures(clip: FootageClip, most: int, fast: bool, most_pixels: int) -> Iterator[NDArray[np.uint8]]:
    count = len(clip.sources)
    kept = (
        range(min(most, count)) if fast else np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    )
    for i in kept:
        yield read_picture(clip.sources[int(i)].url, most_pixels)
