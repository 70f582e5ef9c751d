"""How a night with a deadline is cut into passes: few slots of every camera first, then as many as there is time for.

A pass is the whole night at one slot in so many, with a run of its own: it is planned, stored and published like any
night, and a finer pass takes its place once it is whole. So whenever the deadline comes, what is published is complete
and even over the night, nothing that is stored depends on the clock, and a full night that was cut off is finished by
the next run. A coarse pass is done again within the finer one; that costs its share (a sixteenth of the night for the
first), and buys the rule above.

Arithmetic, and receipts counted. Not covered: running the passes (`flows.enhance_night`), and whether a deadline can be
met at all (`tasks.deadline`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tasks import store
from tasks.deadline import ALLOWANCE
from tasks.types import Camera, NightPlan


def by_priority(cameras: Sequence[Camera]) -> list[Camera]:
    """Cameras in the order in which their work is done: the higher priority first, equal ones as they stand."""
    return sorted(cameras, key=lambda camera: -camera.priority)


def levels(coarsest: int) -> tuple[int, ...]:
    """The passes that a night may have, as one slot in so many: from `coarsest` to 1, each half the one before."""
    found = [max(1, coarsest)]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return tuple(found)


def next_pass(done: int, work: Mapping[int, float], rate: float, left_s: float) -> int:
    """The pass to do after another: the finest that the time is enough for.

    Where it is enough for none, the full night is begun: it is the one that has to be done in the end, and its shards
    stay for the next run.

    Args:
        done: the pass that is done, as one slot in so many.
        work: slots that are left to restore, by pass; 1 among them.
        rate: slots that all workers together restored a second; 0: not known, nothing was left to restore.
        left_s: seconds to the deadline.

    Returns:
        One slot in so many; 0 when every slot is done, or the time is over.
    """
    finer = sorted(every for every in work if every < done)
    if not finer or left_s <= 0:
        return 0
    if rate <= 0:
        return finer[-1]
    return next((every for every in finer if ALLOWANCE * work[every] <= rate * left_s), finer[0])


@dataclass(frozen=True)
class Extent:
    """How much a planned night is: what is left of a plan that has been put aside."""

    camera: str
    run_url: str
    rate: Fraction
    shards: int
    planned_slots: int
    most_frames: int
    files: int

    @property
    def run(self) -> str:
        """Its run key."""
        return self.run_url.rpartition("/")[2]


def extent(plan: NightPlan) -> Extent:
    """How much a plan is."""
    sizes = plan.shards, plan.planned_slots, plan.most_frames, len(plan.segments)
    return Extent(plan.camera.id, plan.run_url, plan.camera.rate, *sizes)


def slots_left(planned: Extent) -> float:
    """Slots of a planned night that are not stored, as far as its receipts tell."""
    done = len(store.done_shards(planned.run_url))
    return planned.planned_slots * (1 - done / max(1, planned.shards))
