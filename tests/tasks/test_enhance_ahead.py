"""What of a work item goes on at the same time: decoding, restoring and writing, and how far each may run ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lednet.transfer import Pending
from lednet.video import VideoRestorer
from tasks import decode_process, store
from tasks.enhance import enhance_item, load_restorer
from tasks.slots import Damage, SlotFrame
from tests.tasks.night import SHARD, Site, make_site, watched


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A night of which nothing is done yet."""
    return make_site(tmp_path)


def test_frames_are_restored_while_the_shard_before_theirs_is_still_being_written(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = site.plan()
    settings = replace(site.settings, batch=1, queue_batches=1)
    restored = threading.Semaphore(0)
    overlapped: list[bool] = []
    begin, write_shard = VideoRestorer.begin, store.write_shard

    def begin_and_tell(self: VideoRestorer, frames: np.ndarray, times_s: Sequence[float]) -> Pending:
        restored.release()
        return begin(self, frames, times_s)

    def write_when_the_next_is_full(*args: object) -> tuple[str, int]:
        if not overlapped:  # the first shard: its own frames, and those of the next, which the queue alone can't hold
            overlapped.append(all(restored.acquire(timeout=20) for _ in range(2 * SHARD)))
        return write_shard(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(VideoRestorer, "begin", begin_and_tell)
    monkeypatch.setattr(store, "write_shard", write_when_the_next_is_full)
    store.create_run(planned, settings, "0")
    enhance_item(planned.items[0], settings)
    assert overlapped == [True]


def test_the_next_frame_is_begun_before_a_gpu_has_restored_the_last(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, begun, overlapped = site.plan(), threading.Semaphore(0), []
    begin = VideoRestorer.begin

    def begin_and_tell(self: VideoRestorer, frames: np.ndarray, times_s: Sequence[float]) -> Pending:
        pending = begin(self, frames, times_s)
        begun.release()

        def wait() -> np.ndarray:
            if not overlapped:
                overlapped.append(all(begun.acquire(timeout=20) for _ in range(2)))
            return pending()

        return wait

    monkeypatch.setattr(VideoRestorer, "begin", begin_and_tell)
    store.create_run(planned, site.settings, "0")
    enhance_item(planned.items[0], site.settings)
    assert overlapped == [True]


def test_no_more_is_decoded_ahead_than_the_queue_holds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, settings = site.plan(), replace(site.settings, batch=1, queue_batches=2)
    fill, decoded, ahead = decode_process.fill_slots, [0], list[int]()

    def counted(*given: object) -> Iterator[SlotFrame | Damage]:
        for event in fill(*given):  # type: ignore[arg-type]
            decoded[0] += 1
            yield event

    def restoring(count: int) -> None:
        time.sleep(0.02)  # for a decoder that would run on
        ahead.append(decoded[0] - sum(restored))
        restored.append(count)

    restored: list[int] = []
    monkeypatch.setattr(decode_process, "fill_slots", counted)
    store.create_run(planned, settings, "0")
    enhance_item(planned.items[0], settings, load=lambda *known: watched(load_restorer(*known), restoring))
    assert sum(restored) == 10
    assert max(ahead) <= 1 + settings.queue_batches + 1  # the one at hand, the queue, and one that waits for its place


def test_no_more_is_restored_ahead_of_writing_than_one_shard_and_the_queue(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(site.settings, batch=1, queue_batches=1, item_slots=9 * SHARD)
    site = site._replace(settings=settings)
    planned, write, restored, ahead = site.plan(), store.write_shard, list[int](), list[int]()

    bound = 2 * SHARD + settings.queue_batches + 2  # in writing, whole, in the queue, and at hand

    def write_slowly(*given: object) -> tuple[str, int]:
        patience = time.monotonic() + (0.0 if ahead else 1.0)  # for restoring that would run on
        while sum(restored) <= bound and time.monotonic() < patience:
            time.sleep(0.01)
        ahead.append(sum(restored))
        return write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "write_shard", write_slowly)
    store.create_run(planned, settings, "0")
    item = replace(planned.items[0], shards=planned.items[0].shards[3:])
    enhance_item(item, settings, load=lambda *known: watched(load_restorer(*known), restored.append))
    assert sum(restored) == 15
    assert ahead[0] <= bound
