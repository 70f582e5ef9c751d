"""One night's work on its cameras: plan, lease, lay out, hand out, wait, publish; with a deadline, pass by pass.

Whatever fails for one camera becomes its outcome and costs no other camera its night. Not covered: the flow around it
(`flows.enhance_night`), which passes there are (`tasks.passes`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf

import dask
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect_dask.task_runners import DaskTaskRunner

from flows import clusters
from flows.progress import NightProgress
from lednet import __version__
from tasks import lease, store
from tasks.decode_process import prober
from tasks.passes import levels, next_pass, slots_left
from tasks.plan import NothingToDoError, coarser, plan_night
from tasks.publish import publish, summary
from tasks.settings import NightSettings
from tasks.types import Camera, CameraNight, ItemResult, NightPlan
from tasks.units import enhance

log = logging.getLogger("lednet")

Futures = list[PrefectFuture[ItemResult]]

FAULT_S = 10
"""Longest wait for Dask to say why a work item did not end."""


@dataclass
class CameraWork:
    """What is to be done for one camera, and how far it is."""

    full: NightPlan
    """With every slot."""
    every: float = inf
    """The finest pass that is published, as one slot in so many; inf: none."""
    outcome: CameraNight | None = None


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
    nights: list[CameraWork] = field(default_factory=list)
    nothing: list[CameraNight] = field(default_factory=list)
    """Outcomes of the cameras for which nothing is to be done."""
    running: list[tuple[CameraWork, NightPlan, Futures]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.passes = levels(self.settings.deadline_coarsest) if self.until else (1,)
        self.every = self.passes[0]
        self.until_s = self.until.timestamp() if self.until else inf
        self.started, self.handed = time.monotonic(), 0.0

    def begin(self, camera: Camera, held: ExitStack) -> None:
        """Plan a camera's night, take its lease into `held`, and hand its first pass to the workers."""
        try:
            places = (self.archive, self.store_url, self.settings)
            full = plan_night(camera, self.night, *places, prober(self.settings))
            work = self._published(full)
            if work.every > 1:
                held.enter_context(lease.held(lease.folder(self.store_url, camera.id, self.night)))
                work = self._published(full)  # perhaps by the one who held it until now
        except NothingToDoError as nothing:
            self.nothing.append(CameraNight(camera.id, "no footage", str(nothing), quarantined=len(nothing.problems)))
        except lease.HeldError as other:
            log.warning("%s: %s", camera.id, other)
            self.nothing.append(CameraNight(camera.id, "under way", str(other)))
        except Exception as error:  # one camera's trouble, whatever it is, must not cost the others their night
            log.exception("%s: planning failed", camera.id)
            self.nothing.append(CameraNight(camera.id, "failed", f"planning: {error}"))
        else:
            if work.every == 1 and work.outcome:
                self.nothing.append(work.outcome)
                return
            self.nights.append(work)
            self._hand_out(work)

    def finish(self) -> list[CameraNight]:
        """Wait for the passes, publish each camera's as it is whole; every camera's outcome."""
        while self.every:
            self._wait_for_pass()
            self.every = self._next() if self.until else 0
            if self.every:
                log.info("one slot in %d of every camera, from now on", self.every)
                self._start_pass()
        return [*self.nothing, *(self._told(work) for work in self.nights)]

    def _published(self, full: NightPlan) -> CameraWork:
        """A camera's work as the store has it: which of its passes is published."""
        manifest = store.read_manifest(self.store_url, full.camera.id, full.night)
        for every in self.passes if manifest is not None else ():
            plan = self._at(full, every)
            if plan is not None and manifest is not None and manifest["run"] == plan.run:
                return CameraWork(full, every, summary(manifest, "already published", self.store_url))
        return CameraWork(full)

    def _at(self, full: NightPlan, every: int) -> NightPlan | None:
        """A camera's night at one slot in `every`; None where its footage reaches no such slot."""
        try:
            return coarser(full, every, self.archive, self.store_url, self.settings)
        except NothingToDoError:
            return None

    def _hand_out(self, work: CameraWork) -> None:
        """Lay out a camera's run of the pass and hand its work items to the workers."""
        plan = self._at(work.full, self.every) if work.every > self.every else None
        if plan is None:
            return
        try:
            store.create_run(plan, self.settings, __version__)
            self.running.append((work, plan, submit(plan, self.settings, self.until_s)))
            self.progress.plans.append(plan)
            self.handed += slots_left(plan) if self.until else 0.0
        except Exception as error:  # as in `begin`
            log.exception("%s: laying out its run failed", plan.camera.id)
            self._settle(work, CameraNight(plan.camera.id, "failed", f"laying out its run: {error}"), str(error))

    def _start_pass(self) -> None:
        self.running.clear()
        self.progress.plans.clear()
        self.started, self.handed = time.monotonic(), 0.0
        for work in self.nights:
            self._hand_out(work)

    def _wait_for_pass(self) -> None:
        for work, plan, futures in self.running:
            failure = wait(futures)
            outcome = finish(plan, self.store_url, self.settings, failure)
            self._settle(work, outcome, failure)
            log.info("%s: %s, %d frames", plan.camera.id, outcome.status, outcome.frames)

    def _next(self) -> int:
        """The pass after this one by the rate that this one reached, 0 for none."""
        restored = self.handed - sum(slots_left(plan) for _, plan, _ in self.running)
        rate = restored / max(1e-9, time.monotonic() - self.started)
        finer = [every for every in self.passes if every < self.every]
        work = {every: sum(self._slots_left(w, every) for w in self.nights) for every in finer}
        return next_pass(self.every, work, rate, self.until_s - time.time())

    def _slots_left(self, work: CameraWork, every: int) -> float:
        plan = self._at(work.full, every) if work.every > every else None
        return slots_left(plan) if plan else 0.0

    def _settle(self, work: CameraWork, outcome: CameraNight, failure: str) -> None:
        """Note how a camera's pass ended. A published pass stands, whatever becomes of a finer one."""
        if outcome.manifest_url:
            work.every, work.outcome = self.every, outcome
        elif work.outcome is None or not work.outcome.manifest_url:
            late = not failure and time.time() >= self.until_s
            reason = f"{outcome.reason} (the deadline, {self._deadline()}, came first)" if late else outcome.reason
            work.outcome = replace(outcome, reason=reason)
        elif failure or outcome.status == "failed":
            work.outcome = replace(work.outcome, status="partial", reason=outcome.reason)

    def _deadline(self) -> str:
        return f"{self.until:%H:%M}" if self.until else ""

    def _told(self, work: CameraWork) -> CameraNight:
        """A camera's outcome; of a night that is not done at every slot, it says so."""
        outcome = work.outcome or CameraNight(work.full.camera.id, "partial", "no pass of it was begun")
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


def submit(plan: NightPlan, settings: NightSettings, until_s: float) -> Futures:
    """Hand a camera's work items to the workers, to those with a GPU where there are any."""
    resources = clusters.worker_resources(dask_client())
    with dask.annotate(resources=resources) if resources else nullcontext():
        return [enhance.submit(item, settings, until_s) for item in plan.items]


def dask_client() -> object:
    """The Dask client of the flow run that this is called in."""
    context = FlowRunContext.get()
    assert context is not None
    assert isinstance(context.task_runner, DaskTaskRunner)
    return context.task_runner.client


def wait(futures: Iterable[PrefectFuture[ItemResult]]) -> str:
    """Wait for a camera's work items; returns the first failure's words, or none.

    A killed worker leaves its task run unfinished after the wait: not completed means failed.
    """
    failure = ""
    for future in futures:
        future.wait()
        state = future.state
        if not state.is_completed():
            failure = failure or state.message or f"a work item ended as {state.name}: {_fault(future)}"
    return failure


def _fault(future: PrefectFuture[ItemResult]) -> str:
    """Why Dask did not bring a work item to its end, of which Prefect knows nothing: its worker was killed too often,
    or the scheduler could not read what it was sent."""
    try:
        fault = future.wrapped_future.exception(timeout=FAULT_S)  # type: ignore[attr-defined]
    except Exception as error:  # whatever it is, it is the best answer there is
        fault = error
    return str(fault or "its worker may have been killed")


def finish(plan: NightPlan, store_url: str, settings: NightSettings, failure: str) -> CameraNight:
    """Publish a camera's night if it is whole, and say why if it is not."""
    try:
        outcome = publish(plan, store_url, settings)
    except Exception as error:  # as in `NightJob.begin`
        log.exception("%s: publishing failed", plan.camera.id)
        return CameraNight(plan.camera.id, "failed", f"publishing: {error}")
    if outcome.status == "partial" and failure:
        return CameraNight(plan.camera.id, "partial", f"{outcome.reason} ({failure})")
    return outcome
