"""GoPro footage that has landed: which clips below an upload URL are there whole, and which of them are new.

A clip is one recording, split by the camera into chapters: GX010119.MP4 and GX020119.MP4 are chapters 1 and 2 of clip
0119. Any other .mp4 or .mov is a clip by itself. Nobody says when an upload is over, so it is taken as over when two
looks, some minutes apart, found the same files with the same sizes and etags, no chapter is missing, and every header
can be read. A chapter that comes later all the same makes the clip new again.

What was seen and told stands in one object of the store, so that restarts and other machines go on from it.
Not covered: telling anyone (`flows.watch_gopro`), judging or using the footage.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

from tasks import listing, storage
from tasks.decode import Header, VideoError, probe

VIDEO = re.compile(r"\.(mp4|mov)$", re.IGNORECASE)
NO_FOOTAGE = (".", "$", "@")
"""How the names of folders begin that hold what was deleted, or small pictures of what stands beside them: a card's
.Trash-1000, a disk's $RECYCLE.BIN, a NAS's @eaDir."""
CHAPTER = re.compile(r"G[A-Z](?P<chapter>\d{2})(?P<clip>\d{4})\.MP4", re.IGNORECASE)

FORMAT = 1


class LandedError(RuntimeError):
    """The object that says what was seen is damaged; the message names it and the next step."""


@dataclass(frozen=True)
class Clip:
    """One recording, as it lies below the upload URL at one look."""

    name: str
    """Its folder and number, or its path where it has no number."""
    files: tuple[str, ...]
    """URLs, in order of the chapters."""
    missing: tuple[int, ...]
    """Chapters before the last one that are not there."""
    key: str
    """Hash of its files' paths, sizes and etags."""
    empty: bool
    """Whether a file of it has 0 bytes."""


@dataclass(frozen=True)
class Seen:
    """What is remembered of a clip."""

    key: str
    files: tuple[str, ...]
    told: str = ""
    """Key under which it was told as landed."""
    waiting: str = ""
    """Why it is not told yet."""


def find_clips(upload: str) -> dict[str, Clip]:
    """Every clip below a URL, by name."""
    parts: dict[str, list[tuple[int, listing.Entry]]] = {}
    for entry in listing.find(upload):
        path = storage.relative(entry.url, upload)
        folder, _, name = path.rpartition("/")
        if any(part.startswith(NO_FOOTAGE) for part in folder.split("/")):
            continue
        numbered = CHAPTER.fullmatch(name)
        if numbered:
            clip = f"{folder}/{numbered['clip']}".lstrip("/")
            parts.setdefault(clip, []).append((int(numbered["chapter"]), entry))
        elif VIDEO.search(name):
            parts.setdefault(path, []).append((1, entry))
    return {name: _clip(name, found, upload) for name, found in parts.items()}


def _clip(name: str, found: list[tuple[int, listing.Entry]], upload: str) -> Clip:
    found.sort(key=lambda part: (part[0], part[1].url))
    chapters = [chapter for chapter, _ in found]
    inputs = [(storage.relative(e.url, upload), e.size, e.etag) for _, e in found]
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]
    missing = tuple(sorted(set(range(1, chapters[-1])) - set(chapters)))
    return Clip(name, tuple(e.url for _, e in found), missing, key, any(e.size == 0 for _, e in found))


def look(
    upload: str, before: dict[str, Seen], probe: Callable[[str], Header] = probe
) -> tuple[list[Clip], dict[str, Seen]]:
    """The clips that are whole and were not told yet, and what to remember of this look.

    A clip that was told stays remembered when its files are gone; any other is forgotten.
    """
    landed: list[Clip] = []
    seen = {name: clip for name, clip in before.items() if clip.told}
    for name, clip in find_clips(upload).items():
        known = before.get(name)
        told = known.told if known else ""
        waiting = "" if told == clip.key else _waits_for(clip, known, probe)
        seen[name] = Seen(clip.key, clip.files, told, waiting)
        if told != clip.key and not waiting:
            landed.append(clip)
    return sorted(landed, key=lambda c: c.name), seen


def _waits_for(clip: Clip, known: Seen | None, probe: Callable[[str], Header]) -> str:
    if known is None or known.key != clip.key:
        return "it may still be uploading: its files changed since the last look"
    if clip.missing:
        return f"chapter {', '.join(map(str, clip.missing))} of it is not there"
    if clip.empty:
        return "a file of it is empty"
    try:
        "".join(clip.files).encode()
    except UnicodeEncodeError:  # telling it would fail, and those after it would never be told
        return "a name of its files is not UTF-8, which no event can hold: rename it"
    for url in clip.files:
        try:
            probe(url)
        except VideoError as error:
            return f"{url}: {error.cause}"
        except OSError as error:
            return f"{url}: cannot be read: {error}"
    return ""


def state_url(store: str, upload: str) -> str:
    """Where it is remembered what was seen below an upload URL."""
    name = hashlib.sha256(storage.normalise(upload).encode()).hexdigest()[:16]
    return storage.join(storage.normalise(store), "landed", f"{name}.json")


def read_seen(url: str) -> dict[str, Seen]:
    """What was seen so far, nothing at first. Raises LandedError if that object is damaged."""
    try:
        state = json.loads(storage.read(url))
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']!r}, not {FORMAT}")
        return {
            str(name): Seen(str(c["key"]), tuple(map(str, c["files"])), str(c["told"]), str(c["waiting"]))
            for name, c in state["clips"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LandedError(
            f"{url}: does not say what footage was seen ({error}); remove it, and all footage is told again"
        ) from error


def write_seen(url: str, upload: str, clips: dict[str, Seen]) -> None:
    """Remember what was seen, in one object that is replaced whole."""
    state = {"format": FORMAT, "upload": upload, "clips": {name: asdict(seen) for name, seen in sorted(clips.items())}}
    storage.write(url, (json.dumps(state, indent=1) + "\n").encode())


def landed_footage(store: str, upload: str) -> list[str]:
    """URLs of all footage below an upload URL that was told as landed, whatever the events said that reached anyone."""
    seen = read_seen(state_url(store, upload)).values()
    return sorted(url for clip in seen if clip.told == clip.key for url in clip.files)
