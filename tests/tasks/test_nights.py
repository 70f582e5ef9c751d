"""Nights by name."""

from datetime import date, timedelta

import pytest

from tasks.nights import night_date


def test_the_last_night_began_yesterday() -> None:
    assert night_date("last") == (date.today() - timedelta(days=1)).isoformat()


def test_a_date_names_its_night() -> None:
    assert night_date("2024-02-29") == "2024-02-29"


@pytest.mark.parametrize("night", ["", "2023-02-29", "yesterday", "2026-1-5", "../2026-01-05"])
def test_anything_else_is_refused_by_name(night: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        night_date(night)
