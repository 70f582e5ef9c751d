"""The exported network is the network: its forms part by part, the file at other sizes, and what it says of failure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lednet import export, light
from lednet.attention import axis_attention
from lednet.export import CHECKED, Agreement, ExportError, dark_frames
from lednet.export_network import ExportNetwork, fine, quantiles, reflected, tone_figures, windowed
from lednet.light import ToneCurve
from lednet.model import LEDNet, LEDNetConfig
from lednet.model import fine as model_fine

LEAST = LEDNetConfig((32, 32, 32), (1, 0, 0), 0, (0, 0), axis_window=8)
"""One axial block, which has every form of the export in it: each takes seconds to export."""


@pytest.fixture(scope="module")
def least(with_heads: Callable[[LEDNet], LEDNet]) -> LEDNet:
    torch.manual_seed(1)
    return with_heads(LEDNet(LEAST)).eval()


@pytest.mark.parametrize("shape", [(1, 56, 88), (3, 104, 136)])
def test_the_tone_curve_is_the_models(shape: tuple[int, int, int]) -> None:
    # Of sizes at which no quantile falls exactly between two samples: rounding alone may put it anywhere between them.
    curve = ToneCurve().eval()
    with torch.no_grad():
        curve.curve.weight.normal_(0, 0.05)
    frames = dark_frames(shape)
    figures = tone_figures(curve, frames)
    expected = curve.figures(light.tone_statistics(frames))
    torch.testing.assert_close(figures, expected, rtol=1e-3, atol=1e-4)
    exposed = [light.apply_curve(frames, *curve(f)) for f in (figures, expected)]
    assert 255 * float((exposed[0] - exposed[1]).detach().abs().max()) < 0.01


@given(seed=st.integers(0, 99), share=st.sampled_from([0.02, 0.3, 1.0]))
def test_quantiles_are_the_models_of_any_histogram(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    tones = torch.rand(2, 3, light.TONES, generator=generator) * (torch.rand(light.TONES, generator=generator) < share)
    tones[..., seed % light.TONES] += 0.1
    tones /= tones.sum(2, keepdim=True)
    assert torch.equal(quantiles(tones), light.quantiles(tones))


def test_a_frame_of_one_tone_has_the_models_curve() -> None:
    curve = ToneCurve().eval()
    for level in (0.0, 0.5, 1.0):
        frame = torch.full((1, 3, 16, 24), level)
        torch.testing.assert_close(tone_figures(curve, frame), curve.figures(light.tone_statistics(frame)))


@given(length=st.integers(1, 50), window=st.sampled_from([4, 8, 16]))
def test_windows_are_the_models_on_axes_of_any_length(length: int, window: int) -> None:
    q, k, v = torch.randn(3, 2, 3, length, 2, 32, generator=torch.Generator().manual_seed(length))
    expected = axis_attention(*(t.flatten(0, 1) for t in (q, k, v)), window)
    torch.testing.assert_close(windowed(q, k, v, window).flatten(0, 1), expected)


@given(height=st.integers(16, 40), width=st.integers(16, 40))
def test_a_frame_is_filled_up_as_the_model_does_it(height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width)
    expected = torch.nn.functional.pad(x, (0, -width % 8, 0, -height % 8), mode="reflect")
    assert torch.equal(reflected(reflected(x, 2), 3), expected)


@given(height=st.integers(2, 9), width=st.integers(2, 9))
def test_what_is_fine_is_the_models(height: int, width: int) -> None:
    x = torch.rand(2, 3, 8 * height, 8 * width)
    torch.testing.assert_close(fine(x), model_fine(x))


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 37, 90)])
def test_the_whole_pass_is_the_models(
    tiny: LEDNetConfig, with_heads: Callable[[LEDNet], LEDNet], shape: tuple[int, int, int]
) -> None:
    model = with_heads(LEDNet(tiny)).eval()
    with torch.inference_mode():
        expected = model.restore(dark_frames(shape)).image.clamp(0, 1)
        assert 255 * float((ExportNetwork(model)(dark_frames(shape)) - expected).abs().max()) < 0.01


@pytest.mark.slow  # the exporter alone takes some 25 s of CPU
def test_one_file_restores_frames_of_every_size_as_the_model_does(least: LEDNet, tmp_path: Path) -> None:
    for package in export.NEEDED:
        pytest.importorskip(package, reason=f"exporting needs {package}")
    target = tmp_path / "exports" / "least.onnx"
    found = export.export(least, target, [(3, 40, 17)])
    assert [agreement.shape for agreement in found] == [*CHECKED, (3, 40, 17)]
    assert all(agreement.mean < 0.01 for agreement in found)
    assert [path.name for path in target.parent.iterdir()] == ["least.onnx"]


@pytest.fixture
def packages_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "require", lambda packages: None)
    monkeypatch.setattr(export, "to_onnx", lambda model, described: b"a network")


@pytest.mark.usefixtures("packages_there")
@pytest.mark.parametrize("mean", [0.2, float("nan")])
def test_a_file_that_does_not_agree_is_not_written(
    least: LEDNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mean: float
) -> None:
    target = tmp_path / "least.onnx"
    target.write_bytes(b"the last one")
    monkeypatch.setattr(export, "check", lambda *_: [Agreement((1, 61, 83), mean, 9.0)])
    with pytest.raises(ExportError, match=r"least\.onnx not written: at 1 x 61x83 .* 0\.1 are allowed; try"):
        export.export(least, target)
    assert target.read_bytes() == b"the last one"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("packages_there")
def test_a_size_below_the_least_is_named(least: LEDNet, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="can't check at 1 x 15x90: sides begin at 16 px"):
        export.export(least, tmp_path / "least.onnx", [(1, 15, 90)])


@pytest.mark.usefixtures("packages_there")
def test_a_file_that_does_not_run_is_an_error(least: LEDNet, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ExportError, match="at 1 x 16x24 onnxruntime does not run what was exported"):
        export.export(least, tmp_path / "least.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert export.main(["--out", str(tmp_path / "small.onnx")]) == 1
    assert "onnx does not load" in (told := capsys.readouterr().err)
    assert "pip install onnx onnxscript onnxruntime" in told
    assert not list(tmp_path.iterdir())


def test_a_size_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        export.main(["--out", str(tmp_path / "small.onnx"), "--check", "large"])
    assert "'large' is no size; write HEIGHTxWIDTH" in capsys.readouterr().err
