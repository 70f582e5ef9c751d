"""How the page writes figures: none is rounded into another statement, and none leaves what it can be."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from tasks.page_format import change, local, number, percent, percent_below
from tasks.report_page import render
from tests.tasks.report_example import NIGHT, SECOND, START, Reader, facts, manifest, page, quality, section


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0.00"), (0.004, "<0.01"), (0.006, "0.01"), (-0.004, "0.00"), (-1.5, "−1.50"), (1234.5, "1,234.50"),
        (math.nan, "–"), (math.inf, "∞"),
    ],
)  # fmt: skip
def test_only_a_figure_that_is_nothing_is_written_as_0(value: float, written: str) -> None:
    assert number(value, 2) == written


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.0, "0%"), (0.0004, "<0.1%"), (0.003, "0.3%"), (0.5, "50%"), (0.9996, "99.9%"), (1.0, "100%"), (math.nan, "–")],
)
def test_only_all_is_100_per_cent_and_only_nothing_is_0(share: float, written: str) -> None:
    assert percent(share) == written


def test_a_change_has_its_sign() -> None:
    assert [change(v, 1) for v in (0.25, -0.26, 0.04, math.nan)] == ["+0.2", "−0.3", "0.0", "–"]


def test_on_the_night_that_clocks_change_every_time_names_its_zone() -> None:
    evening = 1_792_861_200 * SECOND  # 2026-10-24 19:00 in Berlin, eight hours before the clock goes back
    berlin = ZoneInfo("Europe/Berlin")
    assert local(evening, berlin)[1] == "19:00:00 CEST"
    assert local(evening - 24 * 3600 * SECOND, berlin)[1] == "19:00:00"


def test_a_figure_that_is_not_nothing_is_not_shown_as_0() -> None:
    html = render(page(section(rows=quality(dark=0.0003, bright=0.02), bytes=40_000)))
    assert "66.7 times as bright as before, at 2.0% of full white instead of &lt;0.1%" in html
    assert '<span class="was">&lt;0.1</span> → <b>2.0</b>' in html
    assert "&lt;0.1 MB in" in html
    assert '<span class="was">0.0</span> → <b>2.0</b>' in render(page(section(rows=quality(dark=0.0, bright=0.02))))


def test_a_single_frame_that_was_dropped_is_some_time() -> None:
    camera = manifest()["camera"] | {"rate": "25"}
    night = section(frames=1_079_999, slots=1_080_000, coverage=1_079_999 / 1_080_000)
    text = Reader(render(page(replace(night, manifest={**night.manifest, "camera": camera})))).text
    assert "<0.1 s without a picture" in text
    assert "12 h of 12 h, 99.9% covered" in text


def test_a_trend_calls_covered_by_100_per_cent_only_what_is_whole() -> None:
    nights = facts(["pit"], coverage=0.9996)
    night = section(frames=59_976, slots=60_000, coverage=0.9996)
    html = render(replace(page(night), summary=nights[nights["night"] == NIGHT], history=nights))
    assert html.count("Night covered<b>99.9<small> %</small>") == 1
    assert "lowest 99.9, highest 99.9" in html


def test_a_range_stays_within_what_its_figure_can_be() -> None:
    tonight = facts(["pit"], 1, brightness_after_low=-0.3, ssim_low=-0.2, ssim_high=1.2, contrast_after_high=0.7)
    html = render(replace(page(section()), summary=tonight))
    ranges = re.findall(r'data-label="varies within \(95%\)">([^<]*)<', html)
    assert ranges == ["0.0 … 31.5", "13.3 … 50.0", "1.14 … 1.26", "1.42 … 1.58", "19.9 … 22.1", "−0.200 … 1.000"]


def test_one_is_not_told_as_many() -> None:
    camera = manifest()["camera"] | {"rate": "1"}
    night = section(rows=quality([*range(20), *range(40, 60)]), frames=40)
    html = render(page(replace(night, manifest={**night.manifest, "camera": camera})))
    assert "1 picture a second" in html
    assert "; 1 stretch without a picture." in html


def test_brightness_over_the_night_has_its_scale_and_times() -> None:
    html = render(page(section()))
    assert "from 0 to 30% of full white" in html
    times = html.index("18:00:00"), html.index("18:00:06"), html.index("18:00:12")
    assert list(times) == sorted(times)


def test_rows_that_begin_later_than_the_night_do_not_move_its_times() -> None:
    late = section(rows=quality(range(30, 60)), frames=30, coverage=0.5)
    assert late.figures.start_ns == START
    assert late.figures.course["brightness_after"].isna().tolist() == [True] * 30 + [False] * 30


def test_a_small_figure_has_no_scale_below_0() -> None:
    nights = facts(["pit"]).assign(noise_after=0.00005, noise_after_low=0.0, noise_after_high=0.0001)
    html = render(replace(page(section()), summary=nights[nights["night"] == NIGHT], history=nights))
    assert "<span>−" not in html


@pytest.mark.parametrize(
    ("share", "written"), [(0.8999, "89.9%"), (0.89, "89%"), (0.57, "57%"), (0.0002, "<0.1%"), (0.0, "0%")]
)
def test_a_share_below_a_limit_is_not_rounded_up_to_it(share: float, written: str) -> None:
    assert percent_below(share) == written
