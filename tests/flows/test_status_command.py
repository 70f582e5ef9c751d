"""`lednet status --follow`: shown anew until nobody is at work on a night."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows import status
from tasks.status import PUBLISHED, STOPPED, UNDER_WAY, NightStatus
from tests.flows.conftest import Run

NIGHT = NightStatus("pit", "2026-01-15", UNDER_WAY, 1, 3, at_work=True)
SEEN = [[NIGHT], [replace(NIGHT, shards_done=2)], [NightStatus("pit", "2026-01-15", PUBLISHED, 3, 3, 25, 0.7)]]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_following_ends_when_no_night_is_under_way(
    words: tuple[str, ...], lednet_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(SEEN)
    monkeypatch.setattr(status, "list_nights", lambda *_: next(left))
    monkeypatch.setattr(status, "EVERY_S", 0)
    shown = lednet_here("status", "--store", "file:///store", "--follow", *words).stdout
    if words:
        assert [json.loads(line)[0]["shards_done"] for line in shown.splitlines()] == [1, 2, 3]
    else:
        assert [shown.count(f"{done}/3") for done in (1, 2, 3)] == [1, 1, 1]


def test_following_does_not_end_while_a_run_is_published_in_place_of_another(
    lednet_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = SEEN[-1][0]
    left = iter([[replace(published, at_work=True)], [replace(published, frames=26)]])
    monkeypatch.setattr(status, "list_nights", lambda *_: next(left))
    monkeypatch.setattr(status, "EVERY_S", 0)
    lines = lednet_here("status", "--store", "file:///store", "--follow", "--json").stdout.splitlines()
    assert [json.loads(line)[0]["frames"] for line in lines] == [25, 26]


def test_following_ends_at_once_where_a_night_was_stopped(lednet_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([[replace(NIGHT, state=STOPPED, at_work=False)]])
    monkeypatch.setattr(status, "list_nights", lambda *_: next(left))
    shown = lednet_here("status", "--store", "file:///store", "--follow").stdout
    assert "stopped, nobody is at work on it" in shown


def test_a_coarse_night_does_not_look_complete(lednet_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = NightStatus("pit", "2026-01-15", PUBLISHED, 3, 3, 25, 0.7, every=4)
    nights = [coarse, replace(coarse, camera="crusher", fuller=(3, 40)), replace(coarse, camera="gate", every=1)]
    monkeypatch.setattr(status, "list_nights", lambda *_: nights)
    rows = lednet_here("status", "--store", "file:///store").stdout.splitlines()
    (pit,), (crusher,), (gate,) = ([row for row in rows if name in row] for name in ("pit", "crusher", "gate"))
    assert "published, one slot in 4; no fuller run is begun" in pit
    assert "published, one slot in 4; a fuller run has 3 of 40 shards" in crusher
    assert "slot" not in gate


def test_a_night_that_is_not_there_does_not_say_that_none_is(lednet_here: Run, tmp_path: Path) -> None:
    shown = lednet_here("status", "2026-01-16", "--store", str(tmp_path), "--camera", "pit").stdout
    assert shown == f"{tmp_path}: holds no nights of 2026-01-16 of camera pit\n"


def test_only_a_whole_night_is_shown_as_covered_by_100_per_cent(
    lednet_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = NightStatus("pit", "2026-01-15", PUBLISHED, 3, 3, 215_999, 0.999995)
    monkeypatch.setattr(status, "list_nights", lambda *_: [night, replace(night, camera="gate", coverage=1.0)])
    rows = lednet_here("status", "--store", "file:///store").stdout.splitlines()
    assert [name for name in ("pit", "gate") if any(name in row and "99.9%" in row for row in rows)] == ["pit"]
    assert [name for name in ("pit", "gate") if any(name in row and "100%" in row for row in rows)] == ["gate"]
