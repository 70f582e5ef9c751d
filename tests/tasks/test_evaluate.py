"""Figures against a truth: of the right frames, at the right times, and numbers throughout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import zarr

from lednet.metrics import psnr, ssim
from tasks.evaluate import against_truth
from tasks.types import NANOSECONDS
from tests.tasks.night import CAMERA, HEIGHT, START_NS, WIDTH, Frames, Site, decode, frames_of, make_site

SLOTS = [*range(5), *range(20, 24)]
MOST = 10**8


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A published night of nine frames."""
    site = make_site(tmp_path_factory.mktemp("night"), (10, 8))
    site.run()
    return site


Judge = Callable[..., pd.DataFrame]


@pytest.fixture
def judge(site: Site, tmp_path: Path) -> Judge:
    """Compares the night with a truth of our own making: frames, and their times in slots."""

    def compare(frames: Frames, slots: list[float]) -> pd.DataFrame:
        group = zarr.create_group(str(tmp_path / "truth.zarr"))
        group.create_array("frames", data=frames)
        group.create_array("time_ns", data=np.array([START_NS + round(s * NANOSECONDS / 5) for s in slots], np.int64))
        return against_truth(site.manifest(), CAMERA, (tmp_path / "truth.zarr").as_uri(), MOST)

    return compare


def footage(site: Site) -> Frames:
    return np.concatenate([decode(site.footage(n))[1][::2] for n in ("220000.mp4", "220004.mp4")])


def test_a_model_that_gives_the_truth_has_no_error(site: Site, judge: Judge) -> None:
    rows = judge(frames_of(site.plan())[SLOTS], SLOTS)
    assert rows["slot"].tolist() == SLOTS
    assert (rows["psnr_after"] == np.inf).all()
    assert rows["ssim_after"].tolist() == pytest.approx([1.0] * 9)
    assert (rows["psnr_before"] < 60).all()
    assert (rows["ssim_before"] < 1).all()


def test_footage_that_is_the_truth_has_no_error_before(site: Site, judge: Judge) -> None:
    rows = judge(footage(site), SLOTS)
    assert (rows["psnr_before"] == np.inf).all()
    assert np.isfinite(rows["psnr_after"]).all()


def test_rows_are_numbers_throughout(site: Site, judge: Judge) -> None:
    rows = judge(np.full((9, HEIGHT, WIDTH, 3), 90, np.uint8), SLOTS)
    assert list(rows) == ["slot", "psnr_before", "ssim_before", "psnr_after", "ssim_after"]
    assert np.isfinite(rows.to_numpy(float)).all()


def test_figures_are_those_of_the_frame_and_its_truth(site: Site, judge: Judge) -> None:
    truth = np.random.default_rng(0).integers(0, 256, (9, HEIGHT, WIDTH, 3), np.uint8)
    rows = judge(truth, SLOTS)
    x, y = (torch.from_numpy(a.copy()).permute(0, 3, 1, 2).float() / 255 for a in (footage(site), truth))
    assert rows["psnr_before"].tolist() == pytest.approx(psnr(x, y).tolist(), abs=1e-4)
    assert rows["ssim_before"].tolist() == pytest.approx(ssim(x, y).tolist(), abs=1e-5)


def test_the_truth_nearest_in_time_is_taken(site: Site, judge: Judge) -> None:
    dense = np.repeat(frames_of(site.plan())[SLOTS], 3, 0)
    dense[::3], dense[2::3] = 0, 255  # a little too early, a little too late
    rows = judge(dense, [s + d for s in SLOTS for d in (-0.3, 0.05, 0.3)])
    assert (rows["psnr_after"] == np.inf).all()


def test_frames_without_a_truth_of_their_time_have_no_row(site: Site, judge: Judge) -> None:
    rows = judge(frames_of(site.plan())[[0, 21]], [0, 21])
    assert rows["slot"].tolist() == [0, 21]


def test_a_truth_of_another_night_gives_an_empty_table(judge: Judge) -> None:
    rows = judge(np.zeros((2, HEIGHT, WIDTH, 3), np.uint8), [-5000, 5000])
    assert rows.empty
    assert list(rows) == ["slot", "psnr_before", "ssim_before", "psnr_after", "ssim_after"]


def test_a_larger_truth_is_compared_in_its_own_size(site: Site, judge: Judge) -> None:
    frames = frames_of(site.plan())[SLOTS]
    rows = judge(frames.repeat(2, 1).repeat(2, 2), SLOTS)
    assert (rows["psnr_after"] > rows["psnr_before"]).all()
    assert (rows["psnr_after"] > 25).all()
