"""Sixty nights of fifty cameras, judged and drawn as the evaluate flow does it: time and peak memory.

    python -m tests.bench.evaluate_many_nights [CAMERAS] [NIGHTS]

Builds a store of facts in a temporary folder, with one camera covered and one frozen in the last night and one whose
model got worse, then calls `tasks.judge.judge_night` and draws the report of the last night, with pictures, on what
comes of it. Building is not timed; nor is fetching the pictures of a real store, which is its speed and not ours.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from fractions import Fraction

import pandas as pd

from tasks import facts, storage, store
from tasks.health import HealthSettings
from tasks.judge import judge_night
from tasks.report_page import render
from tasks.report_values import ReportPage
from tasks.types import Camera
from tests.tasks.made_facts import LAST, made_row, night_name
from tests.tasks.report_example import moments, section

FAULTS = {0: {"covered_share": 0.9}, 1: {"frozen_s": 1800.0, "frozen_at": "23:10:00"}}
WORSE = 2
"""Index of the camera whose model got worse."""
WORSE_NIGHTS = 3


def build(store_url: str, cameras: list[str], nights: int) -> None:
    """Write the facts of all nights, checked once together."""
    rows = []
    for i, camera in enumerate(cameras):
        for k in range(nights):
            changed = dict(FAULTS.get(i, {})) if k == 0 else {}
            if i == WORSE and k < WORSE_NIGHTS:
                changed = {"model_sha": "bbbb", "psnr": 21.0, "ssim": 0.68}
            rows.append(made_row(camera, k, **changed))
    table = facts.checked(pd.DataFrame(rows))
    for i in range(len(table)):
        row = table.iloc[i : i + 1]
        storage.write(facts.facts_url(store_url, row["camera"].item(), row["night"].item()), store.parquet_bytes(row))


def main() -> None:
    """Build, judge, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cameras", nargs="?", type=int, default=50)
    parser.add_argument("nights", nargs="?", type=int, default=60)
    options = parser.parse_args()
    count, nights = options.cameras, options.nights
    names = [f"camera-{i:02d}" for i in range(count)]
    cameras = [Camera(n, n.title(), "outdoor", "Asia/Shanghai", "*", Fraction(5)) for n in names]
    with tempfile.TemporaryDirectory() as folder:
        url = storage.normalise(folder)
        build(url, names, nights)
        started, cpu = time.perf_counter(), time.process_time()
        judged = judge_night(url, LAST, cameras, HealthSettings())
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    sections = tuple(section(moments(), name=n.title(), camera=n, night=LAST) for n in names)
    drawing, drawing_cpu = time.perf_counter(), time.process_time()
    html = render(ReportPage(LAST, sections, (), url, "en", judged.summary, judged.findings, judged.history))
    drawing, drawing_cpu = time.perf_counter() - drawing, time.process_time() - drawing_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} cameras x {nights} nights, {night_name(nights - 1)} to {LAST}: {len(judged.history)} rows of facts")
    print(f"judged in {seconds:.1f} s ({cpu:.1f} s of CPU)")
    print(f"report drawn in {drawing:.1f} s ({drawing_cpu:.1f} s of CPU), {len(html.encode()) / 1e6:.1f} MB of HTML")
    print(f"peak memory of the process {peak:.0f} MB")
    print(judged.summary["verdict"].value_counts().to_dict())
    print({f.camera: f.kind for f in judged.findings})


if __name__ == "__main__":
    main()
