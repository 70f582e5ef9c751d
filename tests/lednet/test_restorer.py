"""The Restorer: frames in and out, batches, tiles, precision, refusals."""

import math
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lednet import LEDNet, Restorer
from lednet import checkpoint as checkpoints
from lednet.restorer import LEAST_TILE, TILE_GRID, TILE_OVERLAP, _core, choose_device, tile_spans
from lednet.roofline import peak_memory_mb

SHIPPED = checkpoints.SHIPPED / "small.safetensors"


def night(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Dark, noisy frames with structure at several scales."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    scene = 40 + 25 * np.sin(x / 37) * np.cos(y / 23) + 20 * ((x // 48 + y // 48) % 2)
    frames = scene[None, :, :, None] * rng.uniform(0.6, 1.0, (count, 1, 1, 3)) + rng.normal(
        0, 4, (count, height, width, 3)
    )
    return frames.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> LEDNet:
    """A network whose heads do something."""
    torch.manual_seed(3)
    net = LEDNet("small")
    for head in (net.head, net.side_head, net.light.curve):
        torch.nn.init.normal_(head.weight, std=0.02)
    return net


@pytest.mark.parametrize("size", [(16, 16), (45, 67), (1, 1), (9, 200), (120, 160)])
def test_frames_come_back_in_the_size_and_type_they_came_in(model: LEDNet, size: tuple[int, int]) -> None:
    frames = night(2, *size)
    restored = Restorer(model, device="cpu").restore(frames)
    assert restored.shape == frames.shape
    assert restored.dtype == np.uint8


def test_no_frames_give_no_frames(model: LEDNet) -> None:
    assert Restorer(model, device="cpu").restore(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 32, 32, 3)


def test_a_frame_is_restored_the_same_alone_and_in_a_batch(model: LEDNet) -> None:
    frames = night(3, 64, 80)
    restorer = Restorer(model, device="cpu")
    together = restorer.restore(frames)
    alone = np.concatenate([restorer.restore(f[None]) for f in frames])
    assert np.abs(together.astype(int) - alone.astype(int)).max() <= 1


def test_a_batch_larger_than_the_memory_bound_is_split_without_changing_the_result(model: LEDNet) -> None:
    frames = night(4, 64, 64)
    whole, split = Restorer(model, device="cpu"), Restorer(model, device="cpu")
    split.pixels_at_once = 64 * 64
    assert np.abs(whole.restore(frames).astype(int) - split.restore(frames).astype(int)).max() <= 1


def test_the_given_frames_are_not_changed(model: LEDNet) -> None:
    frames = night(1, 32, 32)
    kept = frames.copy()
    Restorer(model, device="cpu").restore(frames)
    assert np.array_equal(frames, kept)


@pytest.mark.parametrize("frames", [
    np.zeros((1, 32, 32, 3), np.float32), np.zeros((32, 32, 3), np.uint8), np.zeros((1, 32, 32, 4), np.uint8),
    np.zeros((1, 0, 32, 3), np.uint8), torch.zeros(1, 32, 32, 3, dtype=torch.uint8), [np.zeros((32, 32, 3), np.uint8)],
])  # fmt: skip
def test_anything_but_uint8_rgb_frames_is_refused(model: LEDNet, frames: Any) -> None:
    with pytest.raises(ValueError, match="uint8"):
        Restorer(model, device="cpu").restore(frames)


def test_what_comes_back_is_contiguous_and_the_same_however_the_frames_lie_in_memory(model: LEDNet) -> None:
    restorer, frames = Restorer(model, device="cpu"), night(2, 24, 40)
    expected = restorer.restore(frames)
    planes = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    for given in (planes.transpose(0, 2, 3, 1), np.asfortranarray(frames), np.broadcast_to(frames[:1], frames.shape)):
        restored = restorer.restore(given)
        assert restored.flags.c_contiguous
        assert np.array_equal(restored[0], expected[0])


def test_frames_that_may_only_be_read_are_restored_without_a_word(model: LEDNet) -> None:
    frames = night(1, 24, 40)
    frames.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Restorer(model, device="cpu").restore(frames)


def test_a_pass_takes_no_more_memory_than_it_is_reckoned_with() -> None:
    restorer = Restorer("small", device="cpu", precision="fp32")
    frame = night(1, 540, 960)
    restorer.restore(frame)  # a process's first pass loads libraries too
    peak = min(peak_memory_mb(lambda: restorer.restore(frame), restorer.device) for _ in range(2))
    if math.isnan(peak):
        pytest.skip("this system does not tell")
    reckoned = 3072 * 540 * 960 / restorer.pixels_at_once
    assert reckoned / 2 < peak < reckoned


def test_a_frame_of_few_rows_that_is_too_long_for_one_pass_is_tiled(model: LEDNet) -> None:
    restorer, frame = Restorer(model, device="cpu"), night(1, 9, 400)
    restorer.pixels_at_once = 9 * 300
    assert restorer.restore(frame).shape == frame.shape


def test_a_tiled_frame_agrees_with_the_whole_one() -> None:
    # Two rows of tiles, and three columns, so that one has neighbours on both sides; sides that nothing divides.
    frames = night(1, 318, 447)
    whole, tiled = Restorer("small", device="cpu"), Restorer("small", device="cpu")
    tiled.pixels_at_once = LEAST_TILE**2
    difference = np.abs(whole.restore(frames).astype(int) - tiled.restore(frames).astype(int))
    assert difference.mean() < 1
    assert difference.max() <= 6


def test_tiles_know_the_light_of_the_whole_frame() -> None:
    frames = np.concatenate([night(1, LEAST_TILE, LEAST_TILE), night(1, LEAST_TILE, LEAST_TILE) // 8], axis=2)
    whole, tiled = Restorer("small", device="cpu"), Restorer("small", device="cpu")
    tiled.pixels_at_once = LEAST_TILE**2
    difference = whole.restore(frames).astype(int) - tiled.restore(frames).astype(int)
    assert np.abs(difference[:, :, : LEAST_TILE // 2]).mean() < 1
    assert np.abs(difference[:, :, -LEAST_TILE // 2 :]).mean() < 1


@pytest.mark.parametrize("length", [100, 256, 257, 700, 1080, 3840])
def test_tiles_cover_an_axis_and_share_their_overlap(length: int) -> None:
    spans = tile_spans(length, 256)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(start % TILE_GRID == 0 for start, _ in spans)
    assert all(end - start == TILE_OVERLAP for (start, _), (_, end) in zip(spans[1:], spans, strict=False))


@pytest.mark.parametrize("length", [100, 256, 257, 700, 1080, 3840])
def test_the_cores_of_tiles_count_every_pixel_once(length: int) -> None:
    counts = np.zeros(length, int)
    for start, end in tile_spans(length, 256):
        core = _core(slice(start, end), length)
        counts[start + core.start : start + core.stop] += 1
    assert (counts == 1).all()


def test_bf16_agrees_with_fp32_within_a_level_on_average() -> None:
    frames = night(1, 128, 192)
    exact = Restorer("small", device="cpu", precision="fp32").restore(frames)
    short = Restorer("small", device="cpu", precision="bf16").restore(frames)
    assert np.abs(exact.astype(int) - short.astype(int)).mean() < 1


def test_the_shipped_checkpoint_is_named_and_brightens_a_dark_frame() -> None:
    restorer = Restorer("small", device="cpu")
    frames = night(1, 128, 192) // 2
    assert restorer.name == "small"
    assert restorer.sha256 == checkpoints.read_card(SHIPPED).sha256
    assert restorer.restore(frames).mean() > 1.5 * frames.mean()


def test_the_shipped_checkpoint_is_below_8_mb() -> None:
    assert SHIPPED.stat().st_size < 8e6


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(checkpoints.CheckpointError, match=r"nothing\.safetensors"):
        Restorer(tmp_path / "nothing.safetensors")


def test_unknown_precision_and_missing_devices_are_refused(model: LEDNet) -> None:
    with pytest.raises(ValueError, match="fp12"):
        Restorer(model, precision="fp12")
    for device in ("gpu", "CPU", "", "mps", "meta"):
        with pytest.raises(ValueError, match=f"device '{device}': none that can be used; pass 'auto', 'cpu'"):
            choose_device(device)
    with pytest.raises(ValueError, match=r"no CUDA device|there are "):
        choose_device("cuda:99")


def test_no_memory_is_refused(model: LEDNet) -> None:
    with pytest.raises(ValueError, match="at least 1, not -1"):
        Restorer(model, memory_mb=-1)


def test_a_forked_process_restores_what_its_parent_does(model: LEDNet) -> None:
    restorer, frames = Restorer(model, device="cpu"), night(1, 96, 128)
    torch.set_num_threads(2)
    try:
        expected = restorer.restore(frames)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(120)  # one that waits for the threads of its parent never ends by itself
            os._exit(int(np.abs(restorer.restore(frames).astype(int) - expected.astype(int)).max()))
    finally:
        torch.set_num_threads(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 1)  # the largest difference, in levels of 255


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu_within_a_level_on_average() -> None:
    frames = night(2, 360, 640)
    cpu = Restorer("small", device="cpu").restore(frames)
    gpu = Restorer("small", device="cuda").restore(frames)
    assert np.abs(cpu.astype(int) - gpu.astype(int)).mean() < 1


@pytest.mark.gpu
def test_a_gpu_restores_1080p_frames_whose_rows_exceed_the_kernel_grid() -> None:
    frames = night(40, 1080, 1920)
    assert Restorer("small", device="cuda", memory_mb=60_000).restore(frames).shape == frames.shape
