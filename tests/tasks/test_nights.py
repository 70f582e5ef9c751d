"""Nights by name, and which one `last` is: by the cameras' clocks, not the machine's."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.nights import night_before, night_bounds, night_date, night_range
from tests.tasks.night import CAMERA

SHANGHAI = replace(CAMERA, timezone="Asia/Shanghai", start="18:00", end="06:00")
PERTH = replace(SHANGHAI, timezone="Australia/Perth", end="07:00")  # the same time of day as Shanghai
LIMA = replace(SHANGHAI, timezone="America/Lima")


def at(text: str, zone: str = "Asia/Shanghai") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-01-16 06:00", "2026-01-15"),
        ("2026-01-16 05:59", "2026-01-14"),
        ("2026-01-16 23:59", "2026-01-15"),
        ("2026-01-17 00:30", "2026-01-15"),  # the night of the 16th still runs
    ],
)
def test_the_last_night_is_the_latest_that_has_ended(now: str, night: str) -> None:
    assert night_date("last", [SHANGHAI], at(now)) == night


@pytest.mark.parametrize(
    ("night", "days", "before"),
    [("2026-03-01", 1, "2026-02-28"), ("0001-01-15", 59, "0001-01-01"), ("2026-01-15", 10**9, "0001-01-01")],
)
def test_as_many_days_before_a_night_as_the_calendar_has(night: str, days: int, before: str) -> None:
    assert night_before(night, days) == before


def test_the_machines_zone_does_not_matter() -> None:
    moment = at("2026-01-16 06:05")
    for zone in ("UTC", "America/Lima", "Pacific/Kiritimati"):
        assert night_date("last", [SHANGHAI], moment.astimezone(ZoneInfo(zone))) == "2026-01-15"


def test_a_night_that_a_camera_still_records_is_not_the_last_one() -> None:
    assert night_date("last", [SHANGHAI, PERTH], at("2026-01-16 06:30")) == "2026-01-14"
    assert night_date("last", [SHANGHAI, PERTH], at("2026-01-16 07:00")) == "2026-01-15"


def test_a_camera_of_the_day_has_its_own_end() -> None:
    day = replace(SHANGHAI, start="06:00", end="18:00")
    assert night_date("last", [day], at("2026-01-16 19:00")) == "2026-01-16"


@given(st.datetimes(datetime(2000, 1, 2), datetime(2099, 1, 1)), st.sampled_from([SHANGHAI, LIMA, CAMERA]))
def test_the_last_night_is_over_and_the_next_is_not(wall: datetime, camera: object) -> None:
    now = wall.replace(tzinfo=ZoneInfo("UTC"))
    night = date.fromisoformat(night_date("last", [camera], now))  # type: ignore[list-item]
    assert night_bounds(camera, night)[1] <= now  # type: ignore[arg-type]
    assert night_bounds(camera, night + timedelta(days=1))[1] > now  # type: ignore[arg-type]


def test_last_without_cameras_is_refused() -> None:
    with pytest.raises(ValueError, match="depends on the site's cameras"):
        night_date("last")


def test_a_date_names_its_night() -> None:
    assert night_date("2024-02-29") == "2024-02-29"


@pytest.mark.parametrize("night", ["", "2023-02-29", "yesterday", "2026-1-5", "../2026-01-05"])
def test_anything_else_is_refused_by_name(night: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        night_date(night)


def test_a_range_is_its_nights_in_order() -> None:
    assert night_range("2024-02-28..2024-03-01") == ("2024-02-28", "2024-02-29", "2024-03-01")
    assert night_range("2024-02-28") == ("2024-02-28",)
    assert night_range("last", [SHANGHAI]) == (night_date("last", [SHANGHAI]),)


@pytest.mark.parametrize("nights", ["2024-03-01..2024-02-28", "2014-01-01..2026-01-01", "..2026-01-01", "2026-01-01.."])
def test_a_range_that_is_none_is_refused(nights: str) -> None:
    with pytest.raises(ValueError, match=r"YYYY-MM-DD|must not come after"):
        night_range(nights)
