"""A training run's progress between two lines of its log: losses, and how fast it went.

Covers sums and shares. Not covered: when a line is written (`lednet.trainer`), what a step computes (`lednet.cost`).
"""

from __future__ import annotations

import time


class Interval:
    """What happened since the last line of the log: its steps, and the sums of their losses and PSNRs.

    Times are of those steps alone that were done since this process last saved, or began.
    """

    def __init__(self, steps: int = 0, loss: float = 0.0, psnr: float = 0.0) -> None:
        self.steps, self.loss, self.psnr = steps, loss, psnr
        self.time()

    def time(self) -> None:
        """Begin to take times here."""
        self.started = time.perf_counter()
        self.timed, self.images, self.waited, self.least_s = 0, 0, 0.0, 0.0

    def add(self, loss: float, psnr: float, waited: float, images: int, least_s: float) -> None:
        """Count one step, which would have taken `least_s` if the device had done nothing but its arithmetic."""
        self.steps, self.loss, self.psnr = self.steps + 1, self.loss + loss, self.psnr + psnr
        self.timed, self.images, self.waited = self.timed + 1, self.images + images, self.waited + waited
        self.least_s += least_s

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.started

    def line(self, step: int) -> dict[str, float]:
        """Means of the interval, for `metrics.jsonl`."""
        return {
            "step": step,
            "loss": self.loss / self.steps,
            "psnr": self.psnr / self.steps,
            "images_per_s": self.images / self.seconds,
            "wait_share": self.waited / self.seconds,
            "flop_share": self.least_s / self.seconds,
        }
