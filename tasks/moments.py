"""What a camera saw at a moment: restored frames of a published night, by the time on the camera's wall.

Covers telling the night and the slots from a time, reading their frames, and saving them as a picture or a video. Not
covered: the recording itself, which the archive keeps, and the night's own preview (`tasks.publish`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import zarr
from numpy.typing import NDArray

from tasks import listing, storage, store
from tasks.evidence import night_grid_of, run_url_of
from tasks.slots import slot_times
from tasks.types import NANOSECONDS, Grid
from tasks.verify import published
from tasks.video import NoContainerError, whole, write_frames

PICTURES = (".png", ".jpg", ".jpeg")
"""Endings of files that hold one frame; all others are videos."""
JPEG_QUALITY = 95
REACH_S = 60
"""A frame further from the moment that was asked for is not shown in its place."""
READ_SLOTS = 8
"""Frames that are read at once, and so held in memory."""
DAYS_AROUND = 2
"""A night is named by the day on which it starts, and zones lie up to a day apart: so far may its name be off."""


@dataclass(frozen=True)
class Stretch:
    """Restored frames of one camera's night."""

    camera: str
    night: str
    run_url: str
    model: str
    """Name of the weights that restored them."""
    zone: ZoneInfo
    rate: Fraction
    """Slots a second."""
    slots: tuple[int, ...]
    """At least one, ascending; each holds a frame."""
    times_ns: tuple[int, ...]
    """Of the slots."""

    def local_time(self, index: int) -> str:
        """When a frame was taken by the camera's clock, with its offset, to the millisecond."""
        return _local(self.times_ns[index], self.zone)


def find_frame(store_url: str, camera: str, when: str) -> Stretch:
    """The frame nearest to a moment, as a stretch of one slot.

    Args:
        when: ISO 8601, by the camera's clock where it has no offset; of an hour that clocks repeat, the first.

    Raises:
        ValueError: if `when` is no time.
        StoreError: if no published night of this camera holds it, or no frame within `REACH_S`; what there is is named.
    """
    manifest, moment_ns = _night_of(store_url, camera, when)
    grid, slots = night_grid_of(manifest), _filled(manifest)
    nearest = _nearest(grid, slots, moment_ns)
    if nearest is None or abs(grid.time_ns(nearest) - moment_ns) > REACH_S * NANOSECONDS:
        raise _nothing(manifest, grid, nearest, f"no frame within {REACH_S} s of {when}")
    return _stretch(manifest, grid, [nearest])


def find_stretch(store_url: str, camera: str, when: str, seconds: float) -> Stretch:
    """The frames from a moment on, for so many seconds. `when` and errors as for `find_frame`."""
    if not seconds > 0:
        raise ValueError(f"{seconds:g} seconds: a stretch is longer than that")
    manifest, moment_ns = _night_of(store_url, camera, when)
    grid, slots = night_grid_of(manifest), _filled(manifest)
    times = slot_times(grid)[slots]
    chosen = slots[(times >= moment_ns) & (times < moment_ns + seconds * NANOSECONDS)]
    if not len(chosen):
        missing = f"no frame in the {seconds:g} s from {when} on"
        raise _nothing(manifest, grid, _nearest(grid, slots, moment_ns), missing)
    return _stretch(manifest, grid, chosen.tolist())


def read_stretch(stretch: Stretch) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(time in ns, uint8 sRGB [h, w, 3]) of each slot. Raises StoreError where the store has lost or damaged one."""
    url = store.frames_url(stretch.run_url)
    frames: Any = zarr.open_array(storage.zarr_store(url), path="frames", mode="r")
    times = iter(stretch.times_ns)
    for first, count in store.runs_of(stretch.slots):
        for start in range(first, first + count, READ_SLOTS):
            stop = min(start + READ_SLOTS, first + count)
            for shard in range(start // frames.shards[0], (stop - 1) // frames.shards[0] + 1):
                _need_shard(stretch.run_url, shard)
            try:
                block = np.asarray(frames[start:stop], np.uint8)
            except Exception as error:  # damage raises whatever the codec makes of it
                raise _damaged(f"{url}: slots {start} to {stop - 1}: {error}") from error
            for frame in block:
                yield next(times), frame


def save(stretch: Stretch, target: Path) -> int:
    """Write a stretch as the picture or video that the target's ending asks for; returns how many frames it holds.

    A video's frames are as far apart as the slots are: where the night has a gap, the frame before it stays.

    Raises:
        StoreError: as `read_stretch`.
        OSError, ValueError: as `tasks.video.write_frames`.
    """
    if target.suffix.lower() not in PICTURES:
        try:
            return write_frames(target, read_stretch(stretch), stretch.rate)
        except NoContainerError as error:
            raise NoContainerError(f"{error} for a stretch, .png or .jpg for one frame") from error
    _, frame = next(read_stretch(stretch))
    quality = [] if target.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, data = cv2.imencode(target.suffix, frame[:, :, ::-1], quality)
    assert done
    with whole(target) as temporary:
        temporary.write_bytes(data.tobytes())
    return 1


def _night_of(store_url: str, camera: str, when: str) -> tuple[dict[str, Any], int]:
    """The published night that a moment falls into, and the moment in ns since the epoch."""
    try:
        moment = datetime.fromisoformat(when)
    except ValueError:
        raise ValueError(
            f"time {when!r}: write YYYY-MM-DDTHH:MM:SS, by the camera's clock, or with an offset such as +08:00 or Z"
        ) from None
    nights = [night for _, night in published(store_url, None, [camera])]
    damaged: store.StoreError | None = None
    near: list[str] = []
    for night in nights:
        if not _is_near(night, moment):
            continue
        try:
            manifest = store.read_manifest(store_url, camera, night)
        except store.StoreError as error:  # told if no other night holds the moment
            damaged = error
            continue
        if manifest is not None:
            grid, moment_ns = night_grid_of(manifest), _in_ns(moment, ZoneInfo(manifest["camera"]["timezone"]))
            if grid.start_ns <= moment_ns < grid.time_ns(grid.slots):
                return manifest, moment_ns
            near.append(_hours(manifest, grid))
    if damaged is not None:
        raise damaged
    if near:
        raise store.StoreError(f"{camera}: no published night holds {when}; {'; '.join(near)}")
    if nights:
        told = f"of {nights[0]}" if len(nights) == 1 else f"{len(nights)}, from {nights[0]} to {nights[-1]}"
        raise store.StoreError(f"{camera}: no published night holds {when}; published: {told}")
    others = ", ".join(listing.names(storage.join(store_url, "enhanced"))) or "none"
    raise store.StoreError(f"{camera}: no night is published in {store_url}; cameras there: {others}")


def _hours(manifest: dict[str, Any], grid: Grid) -> str:
    """From when to when a night is: a date alone is its midnight, which the night of that name need not hold."""
    zone = ZoneInfo(manifest["camera"]["timezone"])
    begin, end = (_local(grid.time_ns(slot), zone) for slot in (0, grid.slots))
    return f"that of {manifest['night']} is from {begin} to {end}"


def _is_near(night: str, moment: datetime) -> bool:
    """Whether a night of this name may hold a moment; a folder that is named by no date holds none."""
    try:
        return abs((date.fromisoformat(night) - moment.date()).days) <= DAYS_AROUND
    except ValueError:
        return False


def _in_ns(moment: datetime, zone: ZoneInfo) -> int:
    placed = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    whole = int(placed.replace(microsecond=0).timestamp())  # exact: a float has not the digits for both
    return whole * NANOSECONDS + placed.microsecond * 1000


def _filled(manifest: dict[str, Any]) -> NDArray[np.intp]:
    """The slots of a night that hold a frame."""
    valid: Any = zarr.open_array(storage.zarr_store(manifest["frames_url"]), path="valid", mode="r")
    return np.flatnonzero(np.asarray(valid[:], bool))


def _nearest(grid: Grid, slots: NDArray[np.intp], moment_ns: int) -> int | None:
    """That one of some slots which is nearest to a moment; None where there are none."""
    return int(slots[np.abs(slot_times(grid)[slots] - moment_ns).argmin()]) if len(slots) else None


def _stretch(manifest: dict[str, Any], grid: Grid, slots: Sequence[int]) -> Stretch:
    return Stretch(
        camera=str(manifest["camera"]["id"]),
        night=str(manifest["night"]),
        run_url=run_url_of(manifest),
        model=str(manifest["model"]["name"]),
        zone=ZoneInfo(manifest["camera"]["timezone"]),
        rate=grid.rate,
        slots=tuple(slots),
        times_ns=tuple(grid.time_ns(slot) for slot in slots),
    )


def _nothing(manifest: dict[str, Any], grid: Grid, nearest: int | None, missing: str) -> store.StoreError:
    zone = ZoneInfo(manifest["camera"]["timezone"])
    found = "it has none" if nearest is None else f"the nearest is of {_local(grid.time_ns(nearest), zone)}"
    return store.StoreError(f"{manifest['camera']['id']}, night of {manifest['night']}: {missing}; {found}")


def _need_shard(run_url: str, shard: int) -> None:
    """Zarr reads a shard that is gone as black frames, which nobody should take for what the camera saw."""
    url = store.shard_object(run_url, shard)
    if not storage.exists(url):
        raise _damaged(f"{url}: is missing")


def _damaged(fault: str) -> store.StoreError:
    return store.StoreError(f"{fault}; `lednet verify --repair` does it anew")


def _local(time_ns: int, zone: ZoneInfo) -> str:
    whole, rest = divmod(time_ns, NANOSECONDS)
    moment = datetime.fromtimestamp(whole, zone).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="milliseconds")
