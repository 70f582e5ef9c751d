"""The words of the alarm of low coverage: true to the last digit that they show."""

from __future__ import annotations

import pytest

from flows import events
from tasks.types import CameraNight


@pytest.mark.parametrize(
    ("coverage", "limit", "words"),
    [
        (0.8999, 0.9, "coverage below 90%: pit 89.9%"),
        (0.9949, 0.995, "coverage below 99.5%: pit 99.4%"),
        (0.4, 0.9, "coverage below 90%: pit 40%"),
        (0.0, 0.9, "coverage below 90%: pit 0%"),
    ],
)
def test_a_coverage_is_not_told_as_the_limit_that_it_is_below(
    coverage: float, limit: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(events, "send", lambda event, _, payload: told.append(payload.get("words", "")))
    outcomes = [CameraNight("pit", "published", coverage=coverage), CameraNight("gate", "published", coverage=limit)]
    events.tell_night("2026-01-15", "cameras.toml", "store", outcomes, limit)
    assert told == [f"night of 2026-01-15, {words}", ""]
