"""Nights by name."""

from datetime import date, timedelta

import pytest

from tasks.nights import night_date, night_range


def test_the_last_night_began_yesterday() -> None:
    assert night_date("last") == (date.today() - timedelta(days=1)).isoformat()


def test_a_date_names_its_night() -> None:
    assert night_date("2024-02-29") == "2024-02-29"


@pytest.mark.parametrize("night", ["", "2023-02-29", "yesterday", "2026-1-5", "../2026-01-05"])
def test_anything_else_is_refused_by_name(night: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        night_date(night)


def test_a_range_is_its_nights_in_order() -> None:
    assert night_range("2024-02-28..2024-03-01") == ("2024-02-28", "2024-02-29", "2024-03-01")
    assert night_range("2024-02-28") == ("2024-02-28",)
    assert night_range("last") == (night_date("last"),)


@pytest.mark.parametrize("nights", ["2024-03-01..2024-02-28", "2014-01-01..2026-01-01", "..2026-01-01", "2026-01-01.."])
def test_a_range_that_is_none_is_refused(nights: str) -> None:
    with pytest.raises(ValueError, match=r"YYYY-MM-DD|must not come after"):
        night_range(nights)
