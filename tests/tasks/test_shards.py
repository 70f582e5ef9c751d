"""Restored frames become whole shards: what lands in which, and what the slots without a frame hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks import store
from tasks.enhance import enhance_item
from tasks.settings import FRAME_WISE
from tasks.slots import Damage, SlotFrame
from tests.tasks.night import HEIGHT, SHARD, WIDTH, Site, frames_of, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A night of which nothing is done yet."""
    return make_site(tmp_path)


def decoded(monkeypatch: pytest.MonkeyPatch, events: Sequence[SlotFrame | Damage]) -> None:
    """Let decoding give these."""
    monkeypatch.setattr("tasks.decode_process.fill_slots", lambda *_: iter(events))


def test_damage_is_noted_in_the_shard_of_its_slot(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    events = [SlotFrame(3, black, "a"), Damage(3, "a", "early"), SlotFrame(4, black, "a"), Damage(9, "b", "late"),
              SlotFrame(9, black, "b")]  # fmt: skip
    decoded(monkeypatch, events)
    enhance_item(planned.items[0], site.settings)
    problems = {k: [p.reason for p in store.read_receipt(planned.run_url, k).problems] for k in (0, 1, 2)}
    assert problems == {0: ["early"], 1: [], 2: ["late"]}


def test_slots_without_a_frame_stay_black_however_many_shards_came_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site._replace(settings=replace(site.settings, video=FRAME_WISE))
    planned = site.plan()
    store.create_run(planned, site.settings, "0")
    slots = [s for shard in planned.items[0].shards for s in range(shard.first, shard.first + shard.count)]
    missing = slots[-SHARD // 2 :]
    bright = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    decoded(monkeypatch, [SlotFrame(s, bright, "a") for s in slots if s not in missing])
    enhance_item(planned.items[0], site.settings)
    stored = frames_of(planned)
    assert len(planned.items[0].shards) > 2
    assert stored[slots[: -len(missing)]].any((1, 2, 3)).all()
    assert not stored[missing].any()
