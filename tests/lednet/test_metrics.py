"""PSNR, SSIM and MAE are scikit-image's, one value an image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from lednet.metrics import STRIP_ROWS, mae, mse, psnr, ssim

sides = st.integers(11, 48)


def some_pair(batch: int, height: int, width: int, noise: float) -> tuple[Tensor, Tensor]:
    reference = torch.rand(batch, 3, height, width)
    return (reference + noise * torch.randn_like(reference)).clamp(0, 1), reference


@given(height=sides, width=sides, batch=st.integers(1, 3), noise=st.sampled_from([0.001, 0.05, 0.5]))
def test_metrics_equal_scikit_images(height: int, width: int, batch: int, noise: float) -> None:
    image, reference = some_pair(batch, height, width, noise)
    for i in range(batch):
        a, b = image[i].double().numpy(), reference[i].double().numpy()
        theirs = structural_similarity(
            b, a, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=0
        )
        assert ssim(image, reference)[i].item() == pytest.approx(theirs, abs=1e-4)
        assert psnr(image, reference)[i].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
        assert mae(image, reference)[i].item() == pytest.approx(np.abs(a - b).mean(), abs=1e-4)


def test_psnr_of_a_whole_frame_equals_scikit_images() -> None:
    image, reference = some_pair(1, 720, 1280, 0.02)
    theirs = peak_signal_noise_ratio(reference[0].double().numpy(), image[0].double().numpy(), data_range=1)
    assert psnr(image, reference).item() == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize(("level", "other"), [(0.02, 0.03), (0, 0), (0, 1), (1, 1), (1, 254 / 255), (0.9, 0.5)])
@pytest.mark.parametrize("shape", [(1, 3, 20, 20), (2, 3, 11, 63)])
def test_ssim_of_flat_images_equals_scikit_images(level: float, other: float, shape: tuple[int, ...]) -> None:
    image, reference = torch.full(shape, level), torch.full(shape, other)
    theirs = structural_similarity(
        reference[0].double().numpy(), image[0].double().numpy(), data_range=1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, channel_axis=0,
    )  # fmt: skip
    assert ssim(image, reference).tolist() == pytest.approx([theirs] * shape[0], abs=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.5, 0.98])
def test_ssim_of_nearly_flat_images_equals_scikit_images(level: float) -> None:
    """Sums of squares are large beside the variances here: where single precision loses most."""
    image, reference = ((level + torch.randn(1, 3, 65, 91) / 255).clamp(0, 1) for _ in range(2))
    theirs = structural_similarity(
        reference[0].double().numpy(), image[0].double().numpy(), data_range=1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, channel_axis=0,
    )  # fmt: skip
    assert ssim(image, reference).item() == pytest.approx(theirs, abs=1e-4)


def test_ssim_with_a_gradient_is_the_one_without() -> None:
    image, reference = some_pair(2, 90, 40, 0.1)
    torch.testing.assert_close(ssim(image.clone().requires_grad_(), reference).detach(), ssim(image, reference))


def test_ssim_has_a_gradient_towards_the_reference() -> None:
    image, reference = some_pair(1, 24, 24, 0.1)
    image.requires_grad_()
    ssim(image, reference).sum().backward()
    assert image.grad is not None
    nearer = image.detach() + 0.1 * image.grad / image.grad.abs().max()
    assert ssim(nearer, reference) > ssim(image.detach(), reference)


@pytest.mark.parametrize("extra", [-1, 0, 1, STRIP_ROWS - 1, STRIP_ROWS, STRIP_ROWS + 1])
def test_ssim_does_not_depend_on_where_strips_end(extra: int) -> None:
    image, reference = some_pair(1, STRIP_ROWS + 2 * 5 + extra, 13, 0.2)
    theirs = structural_similarity(
        reference[0].double().numpy(), image[0].double().numpy(), data_range=1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, channel_axis=0,
    )  # fmt: skip
    assert ssim(image, reference).item() == pytest.approx(theirs, abs=1e-5)


def test_views_that_are_not_contiguous_score_alike() -> None:
    image, reference = (t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) for t in some_pair(2, 30, 20, 0.1))
    torch.testing.assert_close(ssim(image, reference), ssim(image.contiguous(), reference.contiguous()))


@pytest.mark.parametrize("metric", [mse, mae, psnr, ssim])
def test_images_of_two_shapes_are_an_error_that_names_both(metric) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"\[1, 3, 16, 20\] with \[2, 3, 16, 20\]"):
        metric(torch.rand(1, 3, 16, 20), torch.rand(2, 3, 16, 20))


@pytest.mark.parametrize("metric", [psnr, ssim, mae, mse])
def test_images_in_whole_levels_are_refused(metric) -> None:  # type: ignore[no-untyped-def]
    levels = (some_pair(1, 16, 16, 0.1)[0] * 255).byte()
    with pytest.raises(ValueError, match=r"torch\.uint8 with torch\.uint8; divide by 255"):
        metric(levels, levels)


def test_ssim_of_images_below_its_window_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="at least 11 px, not 40x10"):
        ssim(torch.rand(1, 3, 10, 40), torch.rand(1, 3, 10, 40))


@pytest.mark.parametrize("metric", [mse, mae, psnr, ssim])
def test_an_image_scores_the_same_alone_and_in_a_batch(metric) -> None:  # type: ignore[no-untyped-def]
    image, reference = some_pair(4, 16, 20, 0.1)
    together = metric(image, reference)
    assert together.shape == (4,)
    for i in range(4):
        torch.testing.assert_close(together[i : i + 1], metric(image[i : i + 1], reference[i : i + 1]))


def test_equal_images_have_infinite_psnr_no_error_and_an_ssim_of_one() -> None:
    image = torch.rand(2, 3, 16, 16)
    assert psnr(image, image).tolist() == [math.inf, math.inf]
    assert mae(image, image).tolist() == [0.0, 0.0]
    torch.testing.assert_close(ssim(image, image), torch.ones(2))


def test_a_known_error_has_its_known_psnr() -> None:
    reference = torch.full((1, 3, 16, 16), 0.5)
    assert psnr(reference + 0.1, reference).item() == pytest.approx(20, abs=1e-4)


@given(gain=st.floats(0.2, 0.9))
def test_a_darker_image_is_never_forgiven_by_rescaling(gain: float) -> None:
    reference = torch.rand(1, 3, 16, 16)
    assert psnr(reference * gain, reference).item() < 35


def test_metrics_of_bf16_images_are_computed_in_fp32() -> None:
    image, reference = some_pair(2, 16, 16, 0.1)
    for metric in (mse, mae, psnr, ssim):
        got = metric(image.bfloat16(), reference.bfloat16())
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, metric(image.bfloat16().float(), reference.bfloat16().float()))
