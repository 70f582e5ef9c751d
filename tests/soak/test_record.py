"""The soak's verdict: it sees what leaks, slows down, opens files or dies, and lets pass what only warms up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.soak.picture import draw
from tests.soak.record import Look, Sample, judge, table, write_csv

COUNT = 200

Change = Callable[[int, dict[str, float]], None]


def run(change: Change = lambda k, seen: None) -> list[Sample]:
    """An hour of two processes that are as they should be, but for what `change` does to the second's k-th look."""
    rng = np.random.default_rng(0)
    samples = []
    for k in range(COUNT):
        seen = {"frames": 300.0 * k, "memory": 400 + rng.normal() + 60 * min(1, k / 30), "files": 20 + k % 2, "cpu": k}
        change(k, seen)
        looks = [Look("steady", 1, 100.0, 9, 0.0)]
        if seen["memory"]:
            looks.append(Look("worker", 2, seen["memory"], int(seen["files"]), seen["cpu"]))
        samples.append(Sample(18.0 * k, int(seen["frames"]), tuple(looks)))
    return samples


def test_a_run_that_only_warms_up_passes() -> None:
    assert judge(run()).passed


def leaks(k: int, seen: dict[str, float]) -> None:
    seen["memory"] += 1.2 * seen["frames"] / 1000


def opens_files(k: int, seen: dict[str, float]) -> None:
    seen["files"] += k // 20


def slows_down(k: int, seen: dict[str, float]) -> None:
    seen["frames"] -= max(0, k - 150) * 60


def costs_more(k: int, seen: dict[str, float]) -> None:
    seen["cpu"] += max(0, k - 150) * 0.3


def dies(k: int, seen: dict[str, float]) -> None:
    seen["memory"] *= k < 120


@pytest.mark.parametrize("change", [leaks, opens_files, slows_down, costs_more, dies])
def test_what_is_wrong_fails(change: Change) -> None:
    assert not judge(run(change)).passed


def test_the_slope_is_that_of_the_leak() -> None:
    [row] = [r for r in judge(run(leaks)).rows if r.name == "worker"]
    assert row.slope_mb == pytest.approx(1.2, abs=0.05)


def test_table_csv_and_picture_name_every_process(tmp_path: Path) -> None:
    samples = run()
    write_csv(samples, tmp_path / "a.csv")
    draw(samples, tmp_path / "a.svg")
    for text in (table(judge(samples)), (tmp_path / "a.csv").read_text(), (tmp_path / "a.svg").read_text()):
        assert "worker" in text
        assert "steady" in text
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 2 * COUNT
