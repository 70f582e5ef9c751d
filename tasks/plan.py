"""From a camera's night to work items: the grid, the shards that footage falls into, the run key.

A plan is the same for the same footage, settings and weights, so that a re-run finds its work done. Nothing is decoded
here but headers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from lednet import checkpoint
from tasks import codecs, models, storage
from tasks.archive import Found, find_segments
from tasks.decode import Header, VideoError, probe
from tasks.items import WorkItems
from tasks.settings import NightSettings
from tasks.slots import night_grid
from tasks.steady import WARM_UP
from tasks.types import NANOSECONDS, Camera, Grid, NightPlan, Problem, Segment, WorkItem


class NothingToDoError(Exception):
    """A camera has no footage that can be used tonight; `problems` names the files that could not."""

    def __init__(self, reason: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(reason)
        self.problems = problems


def plan_night(
    camera: Camera,
    night: str,
    archive: str,
    store: str,
    settings: NightSettings,
    probe: Callable[[str], Header] = probe,
) -> NightPlan:
    """Plan one camera's night.

    Args:
        night: local date on which it starts, YYYY-MM-DD.
        archive, store: URLs.

    Raises:
        NothingToDoError: if no file of it can be used.
        CheckpointError, ModelError: if the weights can't be.
        CodecError: if its frames can't be stored as the settings say.
        StorageError: if the archive can't be read.
    """
    grid = night_grid(camera, night)
    found = find_segments(camera, archive, grid.start_ns, grid.time_ns(grid.slots), probe)
    height, width, found = _frame_size(found, probe, f"{camera.pattern} below {archive}")
    codecs.check(settings, height, width)
    weights = models.resolve(settings.checkpoint, store)
    card, _ = checkpoint.identify(models.fetch(weights))
    model = {"name": card.name, "sha256": card.sha256}
    return _lay_out(camera, night, grid, found, (height, width), weights, model, archive, store, settings)


def coarser(plan: NightPlan, every: int, archive: str, store: str, settings: NightSettings) -> NightPlan:
    """A planned night at one slot in `every`: what `plan_night` says of the camera at that fraction of its rate.

    It is a night of its own, with its own run key. Nothing is read: the footage is that of `plan`.

    Raises:
        NothingToDoError: if its footage reaches none of the fewer slots.
    """
    if every == 1:
        return plan
    camera = replace(plan.camera, rate=plan.camera.rate / every)
    found = Found(plan.segments, plan.problems)
    size, weights = (plan.height, plan.width), plan.items[0].checkpoint
    grid = night_grid(camera, plan.night)
    laid = _lay_out(camera, plan.night, grid, found, size, weights, plan.model, archive, store, settings)
    return replace(laid, every=plan.every * every)


def _lay_out(
    camera: Camera,
    night: str,
    grid: Grid,
    found: Found,
    size: tuple[int, int],
    weights: str,
    model: dict[str, str],
    archive: str,
    store: str,
    settings: NightSettings,
) -> NightPlan:
    """The plan of a night whose footage is known."""
    height, width = size
    per_shard = shard_length(height, width, settings)
    run = run_key(model["sha256"], settings, grid, size, found.segments, archive)
    run_url = storage.join(store, "enhanced", camera.id, night, run)
    runs = shards_with_footage(grid, per_shard, found.segments)
    if not runs:
        raise NothingToDoError("its footage reaches no slot of the night", found.problems)
    gaps = find_gaps(grid, found.segments)
    footage = grid.slots - sum(grid.slot_at(b) - grid.slot_at(a) for a, b in gaps)
    stride = max(1, footage // settings.preview_pictures)
    common = WorkItem(camera.id, night, run_url, grid, height, width, per_shard, (), (), weights, stride)
    items = WorkItems(common, runs, max(1, settings.item_slots // per_shard), found.segments, 1 + WARM_UP)
    return NightPlan(
        camera,
        night,
        run,
        run_url,
        grid,
        height,
        width,
        per_shard,
        found.segments,
        found.problems,
        gaps,
        items,
        items.shards,
        model,
    )


def _frame_size(found: Found, probe: Callable[[str], Header], where: str) -> tuple[int, int, Found]:
    """Height and width of the night's frames: those of its first readable file. Unreadable ones become problems.

    `where` says what was looked for.
    """
    problems = list(found.problems)
    for segment in found.segments:
        try:
            header = probe(segment.url)
        except VideoError as error:
            problems.append(Problem(segment.url, error.cause))
            continue
        except storage.StorageError:
            raise
        except OSError as error:
            problems.append(Problem(segment.url, f"cannot be read: {error}"))
            continue
        bad = {p.url for p in problems}
        rest = tuple(s for s in found.segments if s.url not in bad)
        return header.height, header.width, Found(rest, tuple(problems))
    nothing = f"no file of it in the archive: none of this night's hours fits {where}"
    reason = f"none of its {len(problems)} files can be read" if problems else nothing
    raise NothingToDoError(reason, tuple(problems))


def shard_length(height: int, width: int, settings: NightSettings) -> int:
    """Slots in a shard: as many frames as `shard_mb` holds, within bounds."""
    aimed = settings.shard_mb * 2**20 // (height * width * 3)
    return max(settings.shard_least, min(settings.shard_most, aimed))


def run_key(
    weights: str, settings: NightSettings, grid: Grid, size: tuple[int, int], segments: Sequence[Segment], archive: str
) -> str:
    """Hash of all that decides the result: weights, settings, grid, frame size, and the segments' etags and places."""
    inputs = {
        "weights": weights,
        "settings": settings.stored(),
        "grid": asdict(grid),
        "size": size,
        "segments": [(storage.relative(s.url, archive), s.etag, s.start_ns, s.end_ns) for s in segments],
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]


def shards_with_footage(grid: Grid, per_shard: int, segments: Sequence[Segment]) -> tuple[range, ...]:
    """Indices of the shards that some segment reaches into, in rising runs; the rest of the night is never written."""
    runs: list[range] = []
    for begin, end in sorted((grid.slot_at(s.start_ns), grid.slot_at(s.end_ns)) for s in segments):
        first, last = max(0, begin), min(grid.slots - 1, end)
        if first > last:
            continue
        reached = range(first // per_shard, last // per_shard + 1)
        if runs and reached.start <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, max(runs[-1].stop, reached.stop))
        else:
            runs.append(reached)
    return tuple(runs)


def find_gaps(grid: Grid, segments: Sequence[Segment]) -> tuple[tuple[int, int], ...]:
    """Stretches of the night, longer than a slot, that no segment covers: (from, to) in nanoseconds."""
    least = round(NANOSECONDS / grid.rate)
    gaps: list[tuple[int, int]] = []
    covered, end = grid.start_ns, grid.time_ns(grid.slots)
    for segment in segments:
        if segment.start_ns - covered > least:
            gaps.append((covered, min(segment.start_ns, end)))
        covered = max(covered, segment.end_ns)
    if end - covered > least:
        gaps.append((covered, end))
    return tuple(gaps)
