"""How many steps a time allows: some steps of every crop stage are timed before a run is planned.

Covers the rehearsal and the sum. Not covered: the run itself (`lednet.trainer`), where the plan is kept
(`lednet.train`, `lednet.train_peers`).
"""

from __future__ import annotations

import math
import time

import torch

from lednet.trainer import Trainer

REHEARSED = 4
"""Steps of each crop stage that the rehearsal times, after one that is not; of the light, one of each size of view."""

STEPS = 1000
"""Of the run that is rehearsed, after the light's."""

SPENT = 0.85
"""Share of the time that is planned for steps; the rest is for decoding, validation and what the rehearsal missed."""


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
