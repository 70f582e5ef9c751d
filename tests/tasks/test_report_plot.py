"""Trends over the nights: broken where nights are missing, banded where the interval is known, scaled with sense."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tasks.report_plot import HEIGHT, MOST_NIGHTS, WIDTH, over_the_night, trends
from tests.tasks.report_example import quality, section

LAST = date(2026, 1, 15)


def nights(values: list[float | None], name: str = "sharpness_after", **columns: Any) -> list[dict[str, Any]]:
    """Rows of the nights up to LAST; None is a night without a row."""
    first = LAST - timedelta(len(values) - 1)
    return [
        {"camera": "pit", "night": (first + timedelta(n)).isoformat(), name: value, **columns}
        for n, value in enumerate(values)
        if value is not None
    ]


def plot(rows: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = trends(rows, LAST.isoformat(), {})
    return only


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def test_one_night_is_no_trend() -> None:
    assert trends(nights([1.0]), LAST.isoformat(), {}) == []
    assert trends([], LAST.isoformat(), {}) == []


def test_a_figure_that_was_never_measured_has_no_plot() -> None:
    assert trends(nights([math.nan, math.nan, math.nan]), LAST.isoformat(), {}) == []


def test_the_line_breaks_where_a_night_is_missing() -> None:
    drawn = plot(nights([1.0, 2.0, None, 2.0, math.nan, 1.0]))
    assert drawn["line"].count("M") == 3
    assert drawn["line"].count("h0") == 2
    assert drawn["nights"] == 4


def test_nights_stand_at_their_dates_and_this_night_at_the_right_edge() -> None:
    drawn = plot(nights([1.0, None, None, 2.0, 3.0]))
    assert [x for x, _ in points(drawn["line"])] == [0, 750, 1000]
    assert drawn["from"] == "2026-01-11"
    assert drawn["to"] == "2026-01-15"


def test_a_camera_that_stopped_before_tonight_ends_before_the_right_edge() -> None:
    drawn = plot(nights([1.0, 2.0, None, None, None]))
    assert max(x for x, _ in points(drawn["line"])) == 250
    assert drawn["to"] == "2026-01-12"


def test_the_band_is_the_range_of_the_summary_and_lies_in_the_box() -> None:
    bounds = {"sharpness_after_low": 1.5, "sharpness_after_high": 2.5}
    (drawn,) = trends(nights([2.0, 2.0, 1.0]), LAST.isoformat(), bounds)
    assert drawn["band"] == "M0 11.5H1000V62.8H0Z"
    assert max(y for _, y in points(drawn["line"])) > 62.8
    assert plot(nights([2.0, 2.0]))["band"] == ""


def test_a_change_of_the_model_is_marked_at_its_first_night() -> None:
    rows = nights([1.0] * 5)
    for row, model in zip(rows, ("a", "a", "b", "b", "b"), strict=True):
        row["model"] = model
    assert plot(rows)["models"] == ["500"]


def test_a_retrained_model_of_the_same_name_is_a_change() -> None:
    rows = nights([1.0] * 5, model="small")
    for row, sha in zip(rows, "aabbb", strict=True):
        row["model_sha"] = sha
    assert plot(rows)["models"] == ["500"]


def test_a_figure_that_hardly_moves_is_not_blown_up() -> None:
    heights = [y for _, y in points(plot(nights([1.0, 1.001, 0.999]))["line"])]
    assert max(heights) - min(heights) < HEIGHT / 10


def test_coverage_is_shown_from_nothing_to_all() -> None:
    drawn = plot(nights([0.5, 1.0], "coverage"))
    assert (drawn["bottom"], drawn["top"]) == ("0", "100")
    assert [y for _, y in points(drawn["line"])] == [50, 0]


def test_only_the_last_nights_are_shown() -> None:
    drawn = plot(nights([5.0] * 40 + [1.0] * MOST_NIGHTS))
    assert drawn["nights"] == MOST_NIGHTS
    assert drawn["highest"] == "1.00"


def test_the_figures_beside_a_trend_are_of_its_first_and_last_night_and_its_extremes() -> None:
    drawn = plot(nights([3.0, 1.0, 4.0, 2.0]))
    assert [drawn[name] for name in ("first", "lowest", "highest", "now")] == ["3.00", "1.00", "4.00", "2.00"]


def over_a_night(slots: list[int], bright: float = 0.3) -> dict[str, Any]:
    """What is drawn of a night of 60 slots with these frames."""
    drawn = over_the_night(section(rows=quality(slots, bright=bright), frames=len(slots)), ZoneInfo("UTC"))
    assert drawn is not None
    return drawn


def test_a_stretch_without_a_picture_is_as_wide_as_it_is_long() -> None:
    assert over_a_night([*range(12), *range(42, 60)])["missing"] == [("200", "500")]


def test_brightness_is_drawn_in_the_middle_of_its_part_of_the_night_and_not_over_a_hole() -> None:
    line = over_a_night([*range(12), *range(42, 60)])["after"]
    assert [x for x, _ in points(line)][:: len(points(line)) - 1] == [8, 992]
    assert re.findall(r"M(\d+)", line) == ["8", "708"]


def test_the_scale_of_brightness_ends_at_the_next_twentieth() -> None:
    assert [over_a_night([0, 1], bright)["top"] for bright in (0.3, 0.32, 0.04)] == ["30%", "35%", "10%"]


@given(st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(0, 1e6)), min_size=1, max_size=70))
def test_every_point_lies_in_the_box(values: list[float | None]) -> None:
    for drawn in trends(nights(values), LAST.isoformat(), {}):
        for x, y in points(drawn["line"]):
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
