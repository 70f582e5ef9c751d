"""How many steps a time allows: some steps of every crop stage are timed before a run is planned.

Covers the rehearsal, the sum, and reading the plan that they came to. Not covered: the run itself (`lednet.trainer`),
what a plan holds besides and where it is kept (`lednet.train`, `lednet.train_peers`).
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import torch

from lednet.trainer import Trainer

REHEARSED = 4
"""Steps of each crop stage that the rehearsal times, after one that is not; of the light, one of each size of view."""

STEPS = 1000
"""Of the run that is rehearsed, after the light's."""

SPENT = 0.85
"""Share of the time that is planned for steps; the rest is for decoding, validation and what the rehearsal missed."""


def check_times(minutes: float | None, session: float) -> None:
    """Raises ValueError for a `--minutes` that no steps fit into, or a `--session` that no clock ends."""
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"--minutes must be above 0 and have an end, not {minutes:g}; or pass --steps")
    if not session >= 0:
        raise ValueError(f"--session must be 0 or more, not {session:g}; leave it out for no end")


def read_plan(path: Path) -> dict[str, Any]:
    """What a run folder's `plan.json` says; its `steps` are a whole number from 1 up. Raises ValueError if it is
    damaged."""
    try:
        plan = json.loads(path.read_text())
        if type(plan["steps"]) is not int or plan["steps"] < 1:
            raise ValueError(f"its steps are {plan['steps']!r}")
        return dict(plan)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a plan ({error}); delete it, and the steps are found anew") from error


def rehearse(trainer: Trainer) -> tuple[float, float]:
    """Seconds that a step takes: one of the light, 0 where it has none; and one after, averaged over the crop stages.

    The trainer is spent by it: its weights have moved.
    """
    s = trainer.settings
    light = _timed(trainer, s.light.steps // 2) if s.light.steps else 0.0
    total, begun = 0.0, 0
    for stage in s.stages:
        end = round(stage.until * s.steps)
        if end > begun:
            total += _timed(trainer, s.light.steps + (begun + end) // 2) * (end - begun)
            begun = end
    return light, total / s.steps


def _timed(trainer: Trainer, step: int) -> float:
    trainer.step = step
    trainer.train_step()
    _wait(trainer.device)
    started = time.perf_counter()
    for _ in range(REHEARSED):
        trainer.train_step()
    _wait(trainer.device)
    return (time.perf_counter() - started) / REHEARSED


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def affordable_steps(seconds: float, minutes: float, before: float = 0.0) -> int:
    """Steps of so many seconds that fit into so many minutes, of which `before` seconds go to others; at least 1."""
    return max(1, math.floor((minutes * 60 * SPENT - before) / seconds))
