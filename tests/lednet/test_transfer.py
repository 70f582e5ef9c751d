"""The way to the device and back: what is copied when, and whose the frames are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from lednet import Restorer
from lednet.transfer import HostTransfer, Part, PinnedTransfer, collect, together

FRAMES = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)


def test_on_the_cpu_nothing_is_copied() -> None:
    levels = HostTransfer().upload(FRAMES)
    assert np.shares_memory(levels.numpy(), FRAMES)
    assert np.shares_memory(HostTransfer().download(levels)(), FRAMES)


def test_each_part_is_begun_before_the_one_before_is_waited_for() -> None:
    done: list[str] = []

    def begin(i: int) -> Part:
        done.append(f"begin {i}")
        return slice(i, i + 1), lambda: (done.append(f"wait {i}"), np.full((1, 2), i, np.uint8))[1]

    out = collect((begin(i) for i in range(3)), np.zeros((3, 2), np.uint8))
    assert done == ["begin 0", "begin 1", "wait 0", "begin 2", "wait 1", "wait 2"]
    assert out.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_parts_come_as_one_and_a_single_one_as_it_is() -> None:
    halves = [(slice(i, i + 1), lambda i=i: FRAMES[i : i + 1]) for i in range(2)]
    assert np.array_equal(together(halves, FRAMES)(), FRAMES)
    assert np.shares_memory(together([(slice(0, 2), lambda: FRAMES)], FRAMES)(), FRAMES)
    assert together([], FRAMES[:0])().shape == (0, 4, 5, 3)


def test_frames_that_are_begun_are_those_that_restore_gives() -> None:
    restorer = Restorer("small", device="cpu")
    frames = np.random.default_rng(0).integers(0, 90, (3, 16, 24, 3), np.uint8)
    restorer.pixels_at_once = 2 * 16 * 24
    assert np.array_equal(restorer.begin(frames)(), restorer.restore(frames))
    with pytest.raises(ValueError, match="uint8"):
        restorer.begin(frames.astype(np.float32))


class Streams:
    """Takes CUDA's place: notes what is asked for, and on which stream, while the CPU does it at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[str] = []
        self.current = Stream("computing", self)
        names = iter(("up", "down"))
        monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(next(names), self))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _: self.current)
        monkeypatch.setattr(torch.cuda, "stream", self.on)
        monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: self.pinned(tensor))
        monkeypatch.setattr(Tensor, "to", lambda *given, **named: self.copied(*given, **named))
        monkeypatch.setattr(Tensor, "record_stream", lambda _, stream: self.tell(f"memory kept for {stream.name}"))

    def tell(self, what: str) -> None:
        self.told.append(what)

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def pinned(self, tensor: Tensor) -> Tensor:
        self.tell("pinned")
        return tensor.clone()

    def copied(self, tensor: Tensor, device: object, non_blocking: bool) -> Tensor:
        self.tell(f"{self.current.name}: copy to {device}" + (", not waited for" if non_blocking else ""))
        return tensor.clone()


class Stream:
    def __init__(self, name: str, streams: Streams) -> None:
        self.name, self.tell = name, streams.tell

    def wait_stream(self, other: Stream) -> None:
        self.tell(f"{self.name} waits for {other.name}")

    def record_event(self) -> Stream:
        self.tell(f"{self.name}: event")
        return self

    def synchronize(self) -> None:
        self.tell("event waited for")


def test_copies_go_beside_the_computing_and_wait_for_it_where_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    transfer = PinnedTransfer(torch.device("meta"))
    levels = transfer.upload(FRAMES)
    assert streams.told == [
        "pinned", "up: copy to meta, not waited for", "computing waits for up", "memory kept for computing",
    ]  # fmt: skip
    streams.told.clear()
    pending = transfer.download(levels)
    assert streams.told == [
        "down waits for computing", "down: copy to cpu, not waited for", "down: event", "memory kept for down",
    ]  # fmt: skip
    streams.told.clear()
    assert np.array_equal(pending(), FRAMES)
    assert streams.told == ["event waited for"]


@pytest.mark.gpu
def test_pinned_copies_give_the_same_bytes_however_many_are_under_way() -> None:
    transfer = PinnedTransfer(torch.device("cuda"))
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (1, 1080, 1920, 3), np.uint8) for _ in range(8)]
    pending = [transfer.download(255 - transfer.upload(f)) for f in frames]
    fetched = [p() for p in pending]
    for _ in range(8):  # blocks that were let go are used again; those that are held must not be
        transfer.download(transfer.upload(frames[0]))()
    assert all(np.array_equal(255 - f, got) for f, got in zip(frames, fetched, strict=True))


@pytest.mark.gpu
def test_on_a_gpu_frames_come_the_same_through_pinned_and_plain_copies() -> None:
    restorer = Restorer("small", device="cuda")
    frames = np.random.default_rng(0).integers(0, 90, (5, 360, 640, 3), np.uint8)
    restorer.pixels_at_once = 2 * 360 * 640
    pinned = restorer.restore(frames)
    for i in range(0, 5, 2):
        plain = torch.from_numpy(frames[i : i + 2]).to("cuda").permute(0, 3, 1, 2).to(restorer.dtype) / 255
        with torch.inference_mode():
            image = restorer.restore_image(plain)
        levels = (image.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        # A histogram's sums come in any order on a GPU, so that two passes over a frame differ by rounding.
        assert np.abs(levels.astype(int) - pinned[i : i + 2]).mean() < 0.05
