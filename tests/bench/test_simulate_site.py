"""The simulation of a site agrees with arithmetic where that knows the answer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.simulate_site import Site, simulate

SMALL = Site(cameras=4, frames_per_camera=1_000, frames_per_item=100, item_overhead_s=0.0, plan_s=0.0)


@pytest.mark.parametrize("workers", [1, 4, 40])
def test_without_overhead_equal_items_share_out_evenly(workers: int) -> None:
    seconds, busy = simulate(SMALL, np.array([0.01]), workers)
    assert seconds == pytest.approx(40 / workers)
    assert busy == pytest.approx(1)


def test_the_driver_bounds_the_night_where_items_are_short() -> None:
    site = Site(cameras=4, frames_per_camera=1_000, frames_per_item=100, item_overhead_s=2.0, plan_s=5.0)
    seconds, busy = simulate(site, np.array([0.01]), 256)
    assert seconds == pytest.approx(4 * (5 + 10 * 2) + 1)  # the last item is worked on when it has been submitted
    assert busy < 0.01
