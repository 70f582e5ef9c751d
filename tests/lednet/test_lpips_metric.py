"""LPIPS is the lpips package's figure from verified weights, or an error that says it is not computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from lednet import lpips_metric
from lednet.losses import WeightsMissingError
from lednet.lpips_metric import LAYERS, LPIPS
from lednet.torchvision_import import import_torchvision

DATA = Path(__file__).resolve().parents[3] / "shared/data"
REAL_WEIGHTS = DATA / "weights/alexnet_features.npz"
SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """An AlexNet of random weights, under torchvision's names."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for i, (out, fan, side) in SHAPES.items():
        made[f"features.{i}.weight"] = torch.randn(out, fan, side, side, generator=generator) / (fan * side**2) ** 0.5
        made[f"features.{i}.bias"] = torch.randn(out, generator=generator) / 10
    return made


@pytest.fixture(scope="module")
def npz(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.npz"
    np.savez(path, **{k: v.numpy() for k, v in state.items()})  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def metric(npz: Path) -> LPIPS:
    return LPIPS(npz, sha256(npz))


@pytest.fixture(scope="module")
def real_metric() -> LPIPS:
    if not REAL_WEIGHTS.is_file():
        pytest.skip(f"no {REAL_WEIGHTS}")
    return LPIPS(REAL_WEIGHTS)


def picture(name: str) -> Tensor:
    image = cv2.imread(str(DATA / f"lpips/{name}.png"))
    assert image is not None
    return torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() / 255


def test_missing_weights_mean_not_computed_and_the_message_says_why(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match=r"LPIPS not computed: no AlexNet weights at .*none\.npz; pass"):
        LPIPS(tmp_path / "none.npz")


def test_without_a_file_torchvisions_cache_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(WeightsMissingError, match=r"checkpoints.alexnet-owt-7be5be79\.pth"):
        LPIPS()


def test_weights_in_torchvisions_cache_are_found(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: LPIPS
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    path = lpips_metric.default_weights()
    path.parent.mkdir()
    torch.save(state, path)
    x, y = torch.rand(2, 1, 3, 40, 40)
    torch.testing.assert_close(LPIPS(sha256=sha256(path))(x, y), metric(x, y))


def test_a_file_of_unknown_hash_is_refused(npz: Path) -> None:
    with pytest.raises(ValueError, match=rf"alexnet\.npz: SHA-256 is {sha256(npz)}, not .*7be5be79"):
        LPIPS(npz)


def test_a_file_of_another_hash_than_the_one_passed_is_refused(npz: Path) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        LPIPS(npz, "0" * 64)


def test_a_file_without_a_layer_is_an_error_that_names_it(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "alexnet.pth"
    torch.save({k: v for k, v in state.items() if k != "features.8.bias"}, path)
    with pytest.raises(ValueError, match=r"alexnet\.pth: no features\.8\.bias"):
        LPIPS(path, sha256(path))


@pytest.mark.parametrize("name", ["alexnet.pth", "alexnet.npz"])
def test_a_damaged_file_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"not an archive" * 50)
    with pytest.raises(ValueError, match=name):
        LPIPS(path, sha256(path))


def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    path = tmp_path / "alexnet.pth"
    torch.save({"features.0.weight": Evil()}, path)
    with pytest.raises(ValueError, match="not readable as weights"):
        LPIPS(path, sha256(path))
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def package(state: dict[str, Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The lpips package's own metric with the same weights."""
    import_torchvision()
    import lpips

    made = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    made.net.load_state_dict(
        {f"{ours}.{part}": state[f"features.{i}.{part}"] for i, ours in LAYERS.items() for part in ("weight", "bias")}
    )
    return lambda x, y: made(2 * x - 1, 2 * y - 1).flatten().detach()


@pytest.mark.parametrize("shape", [(3, 3, 48, 64), (1, 3, 31, 31), (2, 3, 47, 101)])
def test_the_figure_is_the_lpips_packages(
    shape: tuple[int, ...], metric: LPIPS, package: Callable[[Tensor, Tensor], Tensor]
) -> None:
    x, y = torch.rand(2, *shape)
    torch.testing.assert_close(metric(x, y), package(x, y), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("level", "other"), [(0, 0), (0, 1), (0.5, 0.5), (1, 0.2)])
def test_of_flat_images_too(
    level: float, other: float, metric: LPIPS, package: Callable[[Tensor, Tensor], Tensor]
) -> None:
    x, y = torch.full((2, 3, 33, 40), level), torch.full((2, 3, 33, 40), other)
    torch.testing.assert_close(metric(x, y), package(x, y), rtol=0, atol=1e-4)


def test_a_pair_scores_the_same_alone_and_in_a_batch(metric: LPIPS) -> None:
    x, y = torch.rand(2, 3, 3, 31, 47)
    together = metric(x, y)
    assert together.shape == (3,)
    torch.testing.assert_close(together[1:2], metric(x[1:2], y[1:2]))


def test_equal_images_have_no_distance_and_noisier_ones_more(metric: LPIPS) -> None:
    x = torch.rand(1, 3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    noise = torch.randn_like(x)
    distances = [metric((x + s * noise).clamp(0, 1), x).item() for s in (0, 0.05, 0.3)]
    assert distances[0] == 0 < distances[1] < distances[2]


@pytest.mark.parametrize("shapes", [((1, 3, 40, 40), (2, 3, 40, 40)), ((1, 3, 30, 40),) * 2, ((1, 1, 40, 40),) * 2])
def test_images_it_cannot_compare_are_an_error(shapes: tuple[tuple[int, ...], ...], metric: LPIPS) -> None:
    with pytest.raises(ValueError, match="LPIPS compares"):
        metric(torch.rand(shapes[0]), torch.rand(shapes[1]))


def test_images_in_whole_levels_are_refused(metric: LPIPS) -> None:
    levels = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"torch\.uint8; divide by 255"):
        metric(levels, levels)


def test_making_it_leaves_chance_and_the_output_alone(npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_rng_state()
    LPIPS(npz, sha256(npz))
    assert torch.equal(torch.get_rng_state(), before)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "published"), [("ex_p0", 0.722), ("ex_p1", 0.138)])
def test_real_weights_give_the_authors_figures(name: str, published: float, real_metric: LPIPS) -> None:
    assert real_metric(picture("ex_ref"), picture(name)).item() == pytest.approx(published, abs=5e-4)


def test_it_names_its_backbone() -> None:
    assert LPIPS.name == "LPIPS (AlexNet)"
