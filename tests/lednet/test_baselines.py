"""The classical methods of the comparison: what defines each."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from lednet.baselines import ebdb, jnb
from lednet.baselines.adaptive_retinex import adaptive_retinex
from lednet.baselines.clahe import CLIP_LIMIT, TILES, clahe
from lednet.baselines.clahe_pca import clahe_pca, map_first_component, principal_axes
from lednet.baselines.deconvolution import _shrinkage, deconvolve, fidelity_for, noise_of
from lednet.baselines.defocus import sharpen
from lednet.baselines.frames import Picture, luma, one_by_one, wide_blur
from lednet.baselines.gamma import restore_gamma, restore_oracle
from lednet.baselines.peers import PEERS
from lednet.baselines.registry import ALIKE, METHODS, Needs
from lednet.baselines.retinex import retinex

TRAINED = {"small", "base", ALIKE, *PEERS}
CLASSICAL = [name for name, method in METHODS.items() if "published" not in method.title and name not in TRAINED]


@pytest.fixture(scope="module")
def scene() -> Picture:
    """Overlapping discs of many colours, [144, 192, 3] in [0, 1]: edges of every direction."""
    draw = np.random.default_rng(3)
    picture = np.full((144, 192, 3), 0.4, np.float32)
    for _ in range(220):
        x, y, radius = int(draw.integers(192)), int(draw.integers(144)), int(draw.integers(3, 22))
        cv2.circle(picture, (x, y), radius, [float(v) for v in draw.uniform(0.05, 0.95, 3)], -1, cv2.LINE_8)
    return picture


def db(x: Picture, y: Picture) -> float:
    return float(-10 * np.log10(np.mean((x - y) ** 2)))


def test_clahe_is_opencvs_on_lightness(scene: Picture) -> None:
    lab = cv2.cvtColor((scene * 255).round().astype(np.uint8), cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(CLIP_LIMIT, (TILES, TILES)).apply(lab[:, :, 0])
    wanted = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) / 255
    np.testing.assert_allclose(clahe(scene), wanted, atol=1e-6)


def test_pca_without_a_change_gives_the_picture_back(scene: Picture) -> None:
    np.testing.assert_allclose(map_first_component(scene, lambda first: first), scene, atol=1e-5)


def test_pca_axes_are_orthonormal_and_decorrelate(scene: Picture) -> None:
    axes = principal_axes(scene)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    spread = np.cov((scene.reshape(-1, 3) @ axes.T).T)
    assert np.abs(spread - np.diag(np.diag(spread))).max() < 1e-4
    assert list(np.diag(spread)) == sorted(np.diag(spread), reverse=True)


def test_clahe_pca_brightens_a_dark_picture(scene: Picture) -> None:
    assert clahe_pca(scene * 0.1).mean() > 1.5 * (scene * 0.1).mean()


def test_jnbs_atoms_are_orthonormal_and_need_fewer_for_blurred_patches(scene: Picture) -> None:
    atoms = jnb.cosine_atoms().flatten(1).numpy()
    np.testing.assert_allclose(atoms @ atoms.T, np.eye(63), atol=1e-5)
    counts = [jnb.atoms_needed(luma(cv2.GaussianBlur(scene, (0, 0), s)))[0].mean() for s in (0.5, 1, 2, 3)]
    assert counts == sorted(counts, reverse=True)


def test_retinex_of_a_constant_picture_is_that_picture() -> None:
    flat = np.full((64, 80, 3), 0.3, np.float32)
    np.testing.assert_allclose(retinex(flat), flat, atol=1e-5)
    np.testing.assert_allclose(adaptive_retinex(flat), flat, atol=1e-5)


def test_retinex_evens_out_uneven_light(scene: Picture) -> None:
    light = np.linspace(0.05, 1, 192, dtype=np.float32)[None, :, None]
    lit = scene * light
    halves = retinex(lit).clip(0, 1)
    assert halves[:, :96].mean() / halves[:, 96:].mean() > 1.8 * lit[:, :96].mean() / lit[:, 96:].mean()


def test_adaptive_retinex_keeps_the_hue(scene: Picture) -> None:
    restored = adaptive_retinex(scene)
    known = (scene.min(-1) > 0.1) & (restored.min(-1) > 0.1)
    before, after = (x[known] / x[known].sum(-1, keepdims=True) for x in (scene, restored))
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_a_wide_blur_on_a_shrunk_picture_is_nearly_the_blur_itself(scene: Picture) -> None:
    exact = cv2.GaussianBlur(scene, (0, 0), 15, borderType=cv2.BORDER_REFLECT)
    assert np.abs(wide_blur(scene, 15) - exact).max() < 0.03


def test_deconvolution_of_a_known_blur_raises_psnr(scene: Picture) -> None:
    sharp = luma(scene)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 2, borderType=cv2.BORDER_REFLECT)
    assert db(deconvolve(blurred, 2.0), sharp) > db(blurred, sharp) + 2


def test_deconvolution_keeps_a_constant_and_odd_sides() -> None:
    flat = np.full((33, 47), 0.6, np.float32)
    np.testing.assert_allclose(deconvolve(flat, 2.0), flat, atol=1e-4)


@pytest.mark.parametrize("beta", [1.0, 16.0, 128.0])
def test_the_shrinkage_table_holds_the_minimum(beta: float) -> None:
    table = _shrinkage(beta)
    w = np.linspace(0, 1.5, 20_001)
    for index in (40, 400, 1365, 4000):
        v = index * 1.5 / (len(table) - 1)
        cost = w ** (2 / 3) + beta / 2 * (w - v) ** 2
        found = table[index] ** (2 / 3) + beta / 2 * (table[index] - v) ** 2
        assert found <= cost.min() + 1e-4


def test_the_noise_estimate_finds_the_noise_and_trusts_noisy_data_less(scene: Picture) -> None:
    smooth = cv2.GaussianBlur(luma(scene), (0, 0), 4)
    noise = np.random.default_rng(0).normal(0, 0.05, smooth.shape).astype(np.float32)
    assert noise_of(np.asarray(smooth + noise, np.float32)) == pytest.approx(0.05, rel=0.1)
    assert fidelity_for(0.05) < fidelity_for(0.02) < fidelity_for(0.005) == fidelity_for(0.001)


@pytest.mark.parametrize("estimate", [jnb.defocus_map, ebdb.defocus_map])
def test_the_defocus_map_is_larger_on_the_blurred_half(estimate: Callable[[Picture], Picture], scene: Picture) -> None:
    half = scene.copy()
    half[:, 96:] = cv2.GaussianBlur(scene, (0, 0), 3)[:, 96:]
    sigma = estimate(half)
    assert sigma.shape == scene.shape[:2]
    assert sigma[:, 120:].mean() > sigma[:, :72].mean() + 0.7


@pytest.mark.parametrize("estimate", [jnb.defocus_map, ebdb.defocus_map])
def test_the_defocus_map_tells_the_blur_and_sharpening_by_it_helps(
    estimate: Callable[[Picture], Picture], scene: Picture
) -> None:
    blurred = np.asarray(cv2.GaussianBlur(scene, (0, 0), 2, borderType=cv2.BORDER_REFLECT), np.float32)
    sigma = estimate(blurred)
    assert np.median(sigma) == pytest.approx(2, abs=0.8)
    assert db(sharpen(blurred, sigma).clip(0, 1), scene) > db(blurred, scene)


def test_the_oracle_undoes_a_gamma_and_a_gain(textured: Callable[[int, int], Tensor]) -> None:
    truth = textured(64, 96)
    dark = ((0.6 * truth) ** 2).clamp(0, 1)
    torch.testing.assert_close(restore_oracle(dark, truth), truth, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", CLASSICAL)
def test_every_classical_method_keeps_shape_and_range_and_frames_apart(
    name: str, textured: Callable[[int, int], Tensor]
) -> None:
    ready = METHODS[name].make(Needs(gamma=2.2))
    frames = torch.cat([textured(61, 83), textured(61, 83).flip(3) ** 3])
    restored = ready.restore(frames)
    assert restored.shape == frames.shape
    assert restored.min() >= 0
    assert restored.max() <= 1
    torch.testing.assert_close(restored[1:], ready.restore(frames[1:]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_black_frame_gives_no_error_and_no_nan(name: str) -> None:
    assert METHODS[name].make(Needs(gamma=2.2)).restore(torch.zeros(1, 3, 64, 64)).isfinite().all()


def test_a_method_after_brightening_is_given_the_brightened_frame(textured: Callable[[int, int], Tensor]) -> None:
    dark = textured(64, 64) ** 2.2
    alone, after = (METHODS[name].make(Needs(gamma=2.2)).restore for name in ("ebdb", "gamma_ebdb"))
    torch.testing.assert_close(after(dark), alone(restore_gamma(dark, 2.2)))


def test_one_by_one_clips() -> None:
    assert one_by_one(lambda picture: picture * 3)(torch.full((1, 3, 8, 8), 0.5)).max() == 1
