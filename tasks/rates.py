"""What the last published night really reached, in frames a second of one worker: what the next plan goes by.

    rates/<camera>.json     frames and seconds of the work items of the camera's last published run

It is kept beside the nights and not in them, since it depends on the clock and the machines, and a night does not. Not
covered: what a plan makes of it (`tasks.estimate`).
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from typing import Any

from tasks import storage
from tasks.store import canonical_json
from tasks.types import ItemResult, NightPlan

log = logging.getLogger(__name__)

TOPIC = "lednet-items"
"""Of the Dask scheduler's events in which workers say how long a work item took."""


@dataclass(frozen=True)
class NightRate:
    """How fast a camera's night was done."""

    night: str
    height: int
    width: int
    model: str
    """Name of the weights."""
    frames: int
    seconds: float
    """Of work items, each on one worker; together, so that long ones count for more."""

    @property
    def frames_per_s(self) -> float:
        """Of one worker, from file to store."""
        return self.frames / self.seconds


class Took:
    """Adds up what work items took, run by run, as workers tell it."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[int, float]] = {}

    def add(self, told: dict[str, Any]) -> None:
        """Take down one work item, as `words_of` put it."""
        frames, seconds = self._runs.get(told["run_url"], (0, 0.0))
        self._runs[told["run_url"]] = frames + told["frames"], seconds + told["seconds"]

    def keep(self, plan: NightPlan, store_url: str) -> None:
        """Store the rate of a run that is published now. Does nothing where no frame of it was restored.

        A rate that can't be stored is worth a warning, not a night.
        """
        frames, seconds = self._runs.get(plan.run_url, (0, 0.0))
        if not frames or seconds <= 0:
            return
        rate = NightRate(plan.night, plan.height, plan.width, plan.model["name"], frames, round(seconds, 3))
        try:
            if plan.every > 1 and last_rate(store_url, plan):
                return  # a coarse pass decodes as much for fewer frames: it is told where nothing better is known
            storage.write(rate_url(store_url, plan.camera.id), canonical_json(asdict(rate)))
        except OSError as error:
            log.warning("%s: its rate was not stored, `lednet plan` will not know it: %s", plan.camera.id, error)


def words_of(run_url: str, result: ItemResult) -> dict[str, Any]:
    """What a worker tells of a work item that it has done."""
    return {"run_url": run_url, "frames": result.frames, "seconds": result.seconds}


def rate_url(store_url: str, camera: str) -> str:
    """Where a camera's last rate stands."""
    return storage.join(store_url, "rates", f"{camera}.json")


def last_rate(store_url: str, plan: NightPlan) -> NightRate | None:
    """What the last published night of a plan's camera reached at the same frame size; None where that is not known."""
    rate = read_rate(rate_url(store_url, plan.camera.id))
    return rate if rate and (rate.height, rate.width) == (plan.height, plan.width) else None


def read_rate(url: str) -> NightRate | None:
    """A stored rate, None where there is none. A damaged one is told in a warning and counts as none."""
    try:
        fields = json.loads(storage.read(url))
        rate = NightRate(
            str(fields["night"]),
            int(fields["height"]),
            int(fields["width"]),
            str(fields["model"]),
            int(fields["frames"]),
            float(fields["seconds"]),
        )
        if not (0 < rate.seconds < math.inf and 0 < rate.frames_per_s < math.inf):
            raise ValueError(f"{rate.frames} frames in {rate.seconds} s")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        cause = f"{type(error).__name__}: {error}"  # not its repr, which holds all of a file that is no text
        log.warning("%s: not a rate (%s), passed over; the next night writes it anew, or remove it", url, cause)
        return None
    return rate
