"""The compiled pass beside the plain one. All but the last tests give torch.compile backends that take no time; where
what is compiled does not matter, a stand-in for the network, which torch traces at once."""

from __future__ import annotations

import copy
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from lednet import LEDNet, Restorer, compiled
from lednet.compiled import CompiledPass
from lednet.model import LEDNetConfig
from lednet.restorer import LEAST_TILE
from lednet.video import VideoRestorer

LEAST = LEDNetConfig((32, 32, 32), (0, 0, 1), 0, (0, 0), axis_window=8)
Graph = Callable[..., tuple[Tensor]]


class Backend:
    """Runs what torch.compile traced as it is, into one buffer a graph, as the replay of a CUDA graph does."""

    def __init__(self) -> None:
        self.graphs = 0
        self.threads: set[int] = set()

    def __call__(self, graph: Graph, _inputs: list[Tensor]) -> Graph:
        self.graphs += 1
        output: list[Tensor] = []

        def replay(*inputs: Tensor) -> tuple[Tensor]:
            self.threads.add(threading.get_ident())
            (image,) = graph(*inputs)
            if not output:
                output.append(torch.empty_like(image))
            return (output[0].copy_(image),)

        return replay


@pytest.fixture
def plain(with_heads: Callable[[LEDNet], LEDNet]) -> Restorer:
    """Takes the network's own pass on the CPU too, as on a GPU."""
    restorer = Restorer(with_heads(LEDNet(LEAST)), device="cpu")
    restorer.frame_by_frame = False
    return restorer


class Restored(NamedTuple):
    image: Tensor


class Brighter:
    """Stands in for the network: restores by adding its statistics, which torch traces in no time."""

    def restore(self, x: Tensor, pooled: tuple[Tensor, ...] = ()) -> Restored:
        return Restored(x * 0.5 + 0.25 + sum(pooled))


@pytest.fixture
def brighter() -> LEDNet:
    return cast(LEDNet, Brighter())


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def fused(plain: Restorer, backend: Backend) -> Restorer:
    restorer = Restorer(plain.model, device="cpu")
    restorer.frame_by_frame = False
    restorer.compiled = CompiledPass(plain.model, backend)
    return restorer


def dark(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 90, (count, height, width, 3), np.uint8)


def test_only_a_lednet_that_is_asked_for_is_compiled() -> None:
    assert Restorer("small", device="cpu").compiled is None
    assert Restorer("small", device="cpu", compile=True).compiled is not None


def test_each_size_is_one_whole_graph_and_restored_as_without(
    plain: Restorer, fused: Restorer, backend: Backend
) -> None:
    for size in ((16, 40), (9, 30), (16, 40)):
        frames = dark(1, *size)
        assert np.array_equal(fused.restore(frames), plain.restore(frames)), size
    assert backend.graphs == 2
    assert not fused.compiled.failed


def test_what_was_restored_outlives_the_next_replay(brighter: LEDNet, backend: Backend) -> None:
    compiled_pass = CompiledPass(brighter, backend)
    images = torch.rand(2, 1, 3, 16, 24)
    with torch.inference_mode():
        first, second = (compiled_pass(x) for x in images)
        torch.testing.assert_close(first, brighter.restore(images[0]).image)
        torch.testing.assert_close(second, brighter.restore(images[1]).image)
    assert backend.graphs == 1


def test_a_smaller_last_batch_is_not_compiled_anew(plain: Restorer, fused: Restorer, backend: Backend) -> None:
    frames = dark(5, 16, 24)
    plain.pixels_at_once = fused.pixels_at_once = 2 * 16 * 24
    assert np.array_equal(fused.restore(frames), plain.restore(frames))
    assert backend.graphs == 1


def test_tiles_are_restored_as_without(plain: Restorer, fused: Restorer, backend: Backend) -> None:
    frames = dark(1, 700, 100)
    plain.pixels_at_once = fused.pixels_at_once = LEAST_TILE**2
    assert np.array_equal(fused.restore(frames), plain.restore(frames))
    assert backend.graphs == 2
    assert not fused.compiled.failed


def test_a_video_whose_light_is_given_is_restored_as_without(
    plain: Restorer, fused: Restorer, backend: Backend
) -> None:
    frames, times = dark(3, 16, 24), [0.0, 0.1, 0.2]
    together = VideoRestorer(fused).restore(frames, times)
    assert np.array_equal(together, VideoRestorer(plain).restore(frames, times))
    assert backend.graphs == 1


def test_more_shapes_than_may_be_compiled_are_restored_all_the_same(
    brighter: LEDNet, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "MOST_SHAPES", 1)
    compiled_pass = CompiledPass(brighter, backend)
    for size in ((16, 24), (24, 16), (16, 24)):
        x = torch.rand(1, 3, *size)
        assert torch.equal(compiled_pass(x), brighter.restore(x).image)
    assert backend.graphs == 1


def test_where_compiling_fails_one_warning_tells_and_frames_are_restored(
    plain: Restorer, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    def broken(_graph: Graph, _inputs: list[Tensor]) -> Graph:
        attempts.append(1)
        raise RuntimeError("no C compiler was found\nand a long explanation")

    failing = Restorer(plain.model, device="cpu")
    failing.frame_by_frame = False
    failing.compiled = CompiledPass(plain.model, broken)
    with caplog.at_level(logging.WARNING, "lednet"):
        for size in ((16, 24), (16, 24), (24, 16), (32, 16), (16, 24)):
            frames = dark(1, *size)
            assert np.array_equal(failing.restore(frames), plain.restore(frames))
    assert len(attempts) == 2
    [told] = [r.getMessage() for r in caplog.records if r.name == "lednet.compiled"]
    assert "without torch.compile" in told
    assert "no C compiler was found" in told
    assert "\n" not in told


def test_one_shape_that_fails_leaves_the_others_compiled(brighter: LEDNet, backend: Backend) -> None:
    attempts: list[torch.Size] = []

    def broken_where_wide(graph: Graph, inputs: list[Tensor]) -> Graph:
        shapes = [x.shape for x in inputs if x.dim() == 4 and x.shape[:2] == (1, 3)]
        attempts.append(shapes[0])
        if shapes[0][-1] == 24:
            raise RuntimeError("no memory for the graph")
        return backend(graph, inputs)

    partly = CompiledPass(brighter, broken_where_wide)
    for size in ((16, 24), (24, 16), (16, 24), (32, 16), (24, 16)):
        x = torch.rand(1, 3, *size)
        assert torch.equal(partly(x), brighter.restore(x).image), size
    assert [shape[-2:] for shape in attempts] == [(16, 24), (24, 16), (32, 16)]
    assert backend.graphs == 2
    assert partly.without == 2


def test_what_a_failed_pass_held_is_let_go_before_the_plain_one_begins(
    brighter: LEDNet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "lednet.compiled")  # a record of the whole error would be kept, and hold it too
    held: list[weakref.ref[Tensor]] = []

    def short_of_memory(_graph: Graph, _inputs: list[Tensor]) -> Graph:
        def run(*_inputs: Tensor) -> tuple[Tensor]:
            features = torch.zeros(8)
            held.append(weakref.ref(features))
            raise torch.OutOfMemoryError("CUDA out of memory")

        return run

    compiled_pass = CompiledPass(brighter, short_of_memory)
    still_there: list[Tensor | None] = []
    restore = compiled_pass._plain

    def watched(*given: Any) -> Tensor:
        still_there.extend(features() for features in held)
        return restore(*given)

    with torch.inference_mode():
        compiled_pass(torch.rand(1, 3, 16, 24))  # traces, so that the pass itself can be put under watch
        compiled_pass.failed.clear()
        held.clear()
        compiled_pass._plain = watched
        compiled_pass(torch.rand(1, 3, 16, 24))
    assert compiled_pass.failed
    assert still_there == [None]


def test_callers_of_several_threads_share_the_thread_that_compiled(fused: Restorer, backend: Backend) -> None:
    frames = dark(1, 16, 24)
    here = fused.restore(frames)
    with ThreadPoolExecutor(2) as pool:
        assert all(np.array_equal(there, here) for there in pool.map(fused.restore, [frames] * 4))
    assert len(backend.threads) == 1
    assert threading.get_ident() not in backend.threads


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_inductors_kernels_restore_as_the_plain_pass(plain: Restorer) -> None:
    fused = Restorer(plain.model, device="cpu", compile=True)
    frames = dark(2, 32, 48)
    difference = fused.restore(frames).astype(int) - plain.restore(frames)
    assert not fused.compiled.failed
    assert np.abs(difference).max() <= 1


def on_a_gpu(network: LEDNet, **how: Any) -> Restorer:
    """With a copy of the network, which a restorer brings to its own place and type."""
    return Restorer(copy.deepcopy(network), device="cuda", **how)


@pytest.fixture
def shallow(with_heads: Callable[[LEDNet], LEDNet]) -> LEDNet:
    """Two blocks, on a fine scale and on the coarse one: all that is compiled, in seconds where a whole size takes a
    minute a shape. `lednet.bench` tells the same of the sizes."""
    return with_heads(LEDNet(LEDNetConfig((32, 32, 32), (1, 0, 1), 0, (0, 0))))


@pytest.mark.gpu
def test_compiled_on_a_gpu_frames_are_within_a_level_of_fp32_on_average(shallow: LEDNet) -> None:
    counters.clear()
    exact, short, fused = (on_a_gpu(shallow, **how) for how in ({"precision": "fp32"}, {}, {"compile": True}))
    for size in ((360, 640), (271, 333), (360, 640), (720, 1280), (360, 640)):
        frames = dark(1, *size)
        wanted = exact.restore(frames).astype(int)
        for restorer in (short, fused):
            assert np.abs(restorer.restore(frames) - wanted).mean() < 1, size
    assert not fused.compiled.failed
    assert counters["inductor"]["cudagraph_skips"] == 0


@pytest.mark.gpu
def test_compiled_on_a_gpu_a_video_is_within_a_level_of_fp32_on_average(shallow: LEDNet) -> None:
    frames, times = dark(6, 360, 640), [i / 25 for i in range(6)]
    exact = VideoRestorer(on_a_gpu(shallow, precision="fp32")).restore(frames, times)
    fused = on_a_gpu(shallow, compile=True)
    video = VideoRestorer(fused)
    one_by_one = [video.begin(frames[i : i + 1], times[i : i + 1]) for i in range(6)]
    restored = np.concatenate([frame() for frame in one_by_one])
    assert not fused.compiled.failed
    assert np.abs(restored.astype(int) - exact).mean() < 1
