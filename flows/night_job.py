"""One night's work on its cameras: plan, lease, lay out, hand out, publish; with a deadline, pass by pass.

Whatever fails for one camera becomes its outcome and costs no other camera its night. Not covered: the flow around it
(`flows.enhance_night`), which passes there are (`tasks.passes`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from math import inf

from prefect.context import FlowRunContext
from prefect_dask.task_runners import DaskTaskRunner

from flows.feeding import Batch, ItemFeed
from flows.progress import Followed, NightProgress
from lednet import __version__
from tasks import lease, store
from tasks.decode_process import prober
from tasks.passes import Extent, extent, levels, next_pass, slots_left
from tasks.plan import NothingToDoError, coarser, plan_night
from tasks.publish import publish, refused, summary
from tasks.rates import Took
from tasks.settings import NightSettings
from tasks.shelf import PlanShelf
from tasks.types import Camera, CameraNight, NightPlan, WorkItem

log = logging.getLogger("lednet")

Publish = Callable[[NightPlan, str, NightSettings], CameraNight]


@dataclass
class CameraWork:
    """What is to be done for one camera, and how far it is. Its plan lies on the shelf."""

    camera: str
    place: tuple[int, int]
    """Of the plan with every slot, on the shelf."""
    passes: dict[int, Extent]
    """How much each pass is, for those that the footage reaches."""
    every: float = inf
    """The finest pass that is published, as one slot in so many; inf: none."""
    outcome: CameraNight | None = None
    before: CameraNight | None = None
    """The night as it is published of other footage, settings or weights."""


@dataclass
class AtWork:
    """A camera whose items of the pass are with the workers."""

    work: CameraWork
    followed: Followed
    batch: Batch


@dataclass
class NightJob:
    """The cameras of one night, and the pass that is at work."""

    night: str
    archive: str
    store_url: str
    settings: NightSettings
    until: datetime | None
    """The deadline, with its zone."""
    progress: NightProgress
    shelf: PlanShelf
    feed: ItemFeed
    publish: Publish = publish
    took: Took = field(default_factory=Took)
    """What work items took, as far as workers tell."""
    nights: list[CameraWork] = field(default_factory=list)
    nothing: list[CameraNight] = field(default_factory=list)
    """Outcomes of the cameras for which nothing is to be done."""
    rows: list[dict[str, str | int | float]] = field(default_factory=list)
    """The plans in a line each, for Prefect's page."""
    running: list[AtWork] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.passes = levels(self.settings.deadline_coarsest) if self.until else (1,)
        self.every = self.passes[0]
        self.until_s = self.until.timestamp() if self.until else inf
        self.started, self.handed = time.monotonic(), 0.0
        self._probe = prober(self.settings)

    def begin(self, cameras: Sequence[Camera], held: ExitStack) -> None:
        """Plan every camera's night, take its lease into `held`, and hand its first pass to the workers.

        Where another machine's lease may be a dead one's, the other cameras come first: all those waits are one.
        """
        put_off: list[tuple[CameraWork, lease.Seen]] = []
        for camera in cameras:
            with self._spared(camera.id):
                full = plan_night(camera, self.night, self.archive, self.store_url, self.settings, self._probe)
                work = CameraWork(camera.id, self.shelf.put(full), self._extents(full))
                try:
                    self._start(work, full, held)
                except lease.UnsureError as unsure:
                    put_off.append((work, unsure.seen))
        for work, seen in put_off:
            with self._spared(work.camera):
                self._start(work, self.shelf.get(work.place), held, seen)

    @contextmanager
    def _spared(self, camera: str) -> Iterator[None]:
        """What ends a camera's night before it is begun becomes its outcome, and costs the others nothing."""
        try:
            yield
        except NothingToDoError as nothing:
            self.nothing.append(CameraNight(camera, "no footage", str(nothing), quarantined=len(nothing.problems)))
        except lease.HeldError as other:
            log.warning("%s: %s", camera, other)
            self.nothing.append(CameraNight(camera, "under way", str(other)))
        except Exception as error:  # one camera's trouble, whatever it is, must not cost the others their night
            log.exception("%s: planning failed", camera)
            self.nothing.append(CameraNight(camera, "failed", f"planning: {error}"))

    def _start(self, work: CameraWork, full: NightPlan, held: ExitStack, seen: lease.Seen | None = None) -> None:
        """Take a camera's lease and hand its first pass to the workers, unless nothing is to be done."""
        settled = self._look_up(work)
        if not settled:
            place = lease.folder(self.store_url, work.camera, self.night)
            held.enter_context(lease.held(place, seen, wait=seen is not None))
            settled = self._look_up(work)  # perhaps published by the one who held it until now
        if settled:
            self.nothing.append(settled)
            return
        self._hand_out(work, full)
        self.nights.append(work)
        self.rows.append(planned_row(full))

    def finish(self) -> list[CameraNight]:
        """Wait for the passes, publish each camera's as it is whole; every camera's outcome."""
        while self.every:
            self._wait_for_pass()
            self.every = self._next() if self.until else 0
            if self.every:
                log.info("one slot in %d of every camera, from now on", self.every)
                self._start_pass()
        return [*self.nothing, *(self._told(work) for work in self.nights)]

    def _extents(self, full: NightPlan) -> dict[int, Extent]:
        """How much each pass of a camera's night is; none of those whose slots its footage does not reach."""
        found = {}
        for every in self.passes:
            try:
                found[every] = extent(coarser(full, every, self.archive, self.store_url, self.settings))
            except NothingToDoError:
                continue
        return found

    def _look_up(self, work: CameraWork) -> CameraNight | None:
        """See which of a camera's passes the store has published; its outcome, where nothing is to be done.

        Where it has the night of other footage, settings or weights, passes that are coarser are left out: they would
        take the place of a finer one. One that can't have as many frames would not take it, and is not begun.
        """
        manifest = store.read_manifest(self.store_url, work.camera, self.night)
        if manifest is None:
            return None
        for every, planned in work.passes.items():
            if manifest["run"] == planned.run:
                work.every, work.outcome = every, summary(manifest, "already published", self.store_url)
                return work.outcome if every == 1 else None
        work.passes = {every: p for every, p in work.passes.items() if every <= manifest.get("every", 1)}
        work.before = summary(manifest, "published", self.store_url)
        whole = work.passes[1]
        return refused(manifest, whole.run, whole.most_frames, whole.files, self.store_url)

    def _hand_out(self, work: CameraWork, full: NightPlan | None = None) -> None:
        """Lay out a camera's run of the pass and hand its work items to the workers."""
        planned = work.passes.get(self.every) if work.every > self.every else None
        if planned is None:
            return
        try:
            plan = full if full is not None and self.every == 1 else self.shelf.get(work.place, self.every)
            store.create_run(plan, self.settings, __version__)
            followed = Followed(planned, len(store.done_shards(planned.run_url)))
        except Exception as error:  # as in `begin`
            log.exception("%s: laying out its run failed", work.camera)
            self._settle(work, CameraNight(work.camera, "failed", f"laying out its run: {error}"), str(error))
            return
        batch = Batch(f"{work.camera} {self.night}", partial(self._items, work, self.every, followed), self.until_s)
        self.running.append(AtWork(work, followed, batch))
        self.progress.cameras.append(followed)
        self.handed += planned.planned_slots * (1 - followed.stored / max(1, planned.shards))
        self.feed.add(batch)

    def _items(self, work: CameraWork, every: int, followed: Followed) -> Iterator[WorkItem]:
        """The work items of a camera's pass that are not wholly stored, made in the thread that feeds the workers."""
        done = store.done_shards(followed.planned.run_url)
        followed.at_work = True
        for item in self.shelf.get(work.place, every).items:
            if any(shard.index not in done for shard in item.shards):
                yield item

    def _start_pass(self) -> None:
        self.progress.cameras.clear()
        self.started, self.handed = time.monotonic(), 0.0
        for work in self.nights:
            self._hand_out(work)

    def _wait_for_pass(self) -> None:
        """Publish each camera as its items are done; the others' go on meanwhile."""
        left = {id(one.batch): one for one in self.running}
        while left:
            one = left.pop(id(self.feed.next_done()))
            outcome = self._publish(one)
            one.followed.at_work = False
            self._settle(one.work, outcome, one.batch.failure)
            log.info("%s: %s, %d frames", one.work.camera, outcome.status, outcome.frames)

    def _publish(self, one: AtWork) -> CameraNight:
        """Publish a camera's night if it is whole, and say why if it is not."""
        camera, failure = one.work.camera, one.batch.failure
        try:
            plan = self.shelf.get(one.work.place, self.every)
            outcome = self.publish(plan, self.store_url, self.settings)
            one.followed.stored = len(store.done_shards(one.followed.planned.run_url))
        except Exception as error:  # as in `begin`
            log.exception("%s: publishing failed", camera)
            return CameraNight(camera, "failed", f"publishing: {error}")
        if outcome.status == "published":
            self.took.keep(plan, self.store_url)
        if outcome.status == "partial" and failure:
            return replace(outcome, reason=f"{outcome.reason} ({failure})")
        return outcome

    def _next(self) -> int:
        """The pass after this one by the rate that this one reached, 0 for none."""
        restored = self.handed - sum(slots_left(one.followed.planned) for one in self.running)
        self.running.clear()
        rate = restored / max(1e-9, time.monotonic() - self.started)
        finer = [every for every in self.passes if every < self.every]
        work = {every: sum(self._slots_left(w, every) for w in self.nights) for every in finer}
        return next_pass(self.every, work, rate, self.until_s - time.time())

    def _slots_left(self, work: CameraWork, every: int) -> float:
        planned = work.passes.get(every) if work.every > every else None
        return slots_left(planned) if planned else 0.0

    def _settle(self, work: CameraWork, outcome: CameraNight, failure: str) -> None:
        """Note how a camera's pass ended. A published pass stands, whatever becomes of a finer one."""
        if outcome.status == "published":
            work.every, work.outcome = self.every, outcome
        elif work.outcome is None or not work.outcome.manifest_url:
            late = outcome.status == "partial" and not failure and time.time() >= self.until_s
            reason = f"{outcome.reason} (the deadline, {self._deadline()}, came first)" if late else outcome.reason
            work.outcome = replace(outcome, reason=reason)
        elif failure or outcome.status == "failed":
            work.outcome = replace(work.outcome, status="partial", reason=outcome.reason)

    def _deadline(self) -> str:
        return f"{self.until:%H:%M}" if self.until else ""

    def _told(self, work: CameraWork) -> CameraNight:
        """A camera's outcome; of a night that is not done at every slot, it says so."""
        outcome = work.outcome or CameraNight(work.camera, "partial", "no pass of it was begun")
        if work.before and not outcome.manifest_url:
            reason = f"{outcome.reason}; what was published before stays"
            return replace(work.before, status=outcome.status, reason=reason)
        if outcome.status in ("published", "already published") and 1 < work.every < inf:
            words = f"one slot in {work.every:.0f}, by the deadline of {self._deadline()}; run the night again for all"
            return replace(outcome, reason=words)
        return outcome


def planned_row(plan: NightPlan) -> dict[str, str | int | float]:
    """A camera's plan in a line, for Prefect's page."""
    return {
        "camera": plan.camera.id,
        "run": plan.run,
        "segments": len(plan.segments),
        "unreadable": len(plan.problems),
        "gaps": len(plan.gaps),
        "slots": plan.grid.slots,
        "with footage": plan.planned_slots,
        "shards": plan.shards,
        "work items": len(plan.items),
        "GB in": round(sum(s.size for s in plan.segments) / 1e9, 3),
    }


def dask_client() -> object:
    """The Dask client of the flow run that this is called in."""
    context = FlowRunContext.get()
    assert context is not None
    assert isinstance(context.task_runner, DaskTaskRunner)
    return context.task_runner.client
