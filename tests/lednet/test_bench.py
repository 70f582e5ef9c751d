"""What `lednet bench` counts and prints."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import torch.nn.functional as F

from lednet import bench, roofline
from lednet.bars import BAR, FIGURE, LABEL, ROW, TITLE, WIDTH, Bars, bars_picture, draw
from lednet.compiled import CompiledPass
from lednet.model import SIZES, LEDNet, LEDNetConfig
from lednet.restorer import BYTES_OF_MODEL_PASS, Restorer
from lednet.roofline import Work, ceilings, costliest, most_flops_per_s, peak_memory_mb

CPU = torch.device("cpu")


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_operations_are_counted_by_their_shapes(guard: type) -> None:
    x, w = torch.randn(7, 5), torch.randn(3, 5)
    image, kernel = torch.randn(1, 4, 6, 8), torch.randn(2, 4, 3, 3)
    queries, keys, bias = torch.randn(6, 2, 16, 8), torch.randn(6, 2, 24, 8), torch.zeros(1, 1, 16, 24)
    with guard(), Work() as work:
        F.linear(x, w, torch.zeros(3))
        F.conv2d(image, kernel, padding=1)
        F.scaled_dot_product_attention(queries, keys, keys, attn_mask=bias)
    assert work.flops == 2 * 7 * 5 * 3 + 2 * (6 * 8) * (4 * 9) * 2 + 2 * (6 * 2) * (16 * 24) * 8 * 2


def test_traffic_is_what_is_read_and_written_and_views_are_free() -> None:
    x, y = torch.randn(2, 100).unbind(0)
    with torch.no_grad(), Work() as work:
        (x + y).reshape(10, 10).t()
    assert work.bytes == 3 * 100 * 4


def test_the_cpu_pass_does_the_models_arithmetic_with_less_traffic() -> None:
    model = LEDNet("small").eval()
    restorer = Restorer(model, device="cpu")
    frame = torch.randint(0, 255, (1, 72, 160, 3), dtype=torch.uint8).numpy()
    counted = {}
    for fast in (False, True):
        restorer.frame_by_frame = fast
        with Work() as counted[fast]:
            restorer.restore(frame)
    assert counted[True].flops == pytest.approx(counted[False].flops, rel=0.05)
    assert counted[True].bytes < counted[False].bytes


def test_ceilings_are_measured() -> None:
    best = ceilings(CPU, torch.float32, 4 << 20)
    assert best.flops_per_s > 1e9
    assert best.bytes_per_s > 1e8


def test_measuring_the_ceilings_draws_from_nobodys_generator() -> None:
    before = torch.get_rng_state()
    assert most_flops_per_s(CPU, torch.float32) > 1e9
    assert torch.equal(torch.get_rng_state(), before)


def test_a_gpus_ceilings_are_not_those_of_launching_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: time.sleep(0.01))
    assert roofline._best(lambda: time.sleep(0.001), torch.device("cuda")) < 0.002


def test_what_is_expanded_is_read_once() -> None:
    bias = torch.zeros(1, 10).expand(1000, 10)
    with torch.no_grad(), Work() as work:
        torch.zeros(1, 10).add_(bias[:1])
        bias.sum()
    assert work.bytes == (3 * 10 + 10 + 10 + 1) * 4


def test_the_costliest_operators_come_first() -> None:
    x, y = torch.randn(400, 400), torch.randn(10)
    found = costliest(lambda: (x @ x, y + y), CPU, 2)
    assert [k.name for k in found[:1]] == ["aten::mm"]
    assert len(found) == 2
    assert found[0].ms >= found[1].ms >= 0
    assert found[0].calls == 1


def test_peak_memory_is_that_of_the_call() -> None:
    peak = peak_memory_mb(lambda: torch.ones(32 << 20).sum(), CPU)  # 128 MB
    if peak != peak:
        pytest.skip("the system does not tell")
    assert 120 < peak < 200


def test_a_row_for_every_size_and_resolution(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "RESOLUTIONS", {"640x360": (48, 64), "720p": (64, 64)})
    assert bench.main(["--size", "small", "--device", "cpu", "--repeats", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(r["size"], r["resolution"]) for r in told["rows"]] == [("small", "640x360"), ("small", "720p")]
    assert {r["repeats"] for r in told["rows"]} == {1}
    assert all(r["fps"] > 0 and r["gflop"] > 0 and r["compute_share"] > 0 for r in told["rows"])
    assert all(0 < r["upload_ms"] + r["download_ms"] < r["ms"] for r in told["rows"])
    assert bench.main(["--size", "small", "--resolution", "720p", "--device", "cpu", "--repeats", "1"]) == 0
    assert "frames/s" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "told"), [
    (["--repeats", "0"], "--repeats must be at least 1"), (["--memory-mb", "0"], "--memory-mb must be at least 1"),
    (["--kernels", "-1"], "--kernels must be at least 0"), (["--device", "cuda:99"], "device cuda:99: "),
    (["--size", "huge"], "invalid choice: 'huge'"), (["--resolution", "0x0"], "invalid choice: '0x0'"),
    (["--picture", "nowhere/bench.png"], "--picture nowhere/bench.png: its folder can't be written to"),
    (["--json", "nowhere/bench.json"], "--json nowhere/bench.json: its folder can't be written to"),
    (["--picture", "."], "--picture .: is a folder"),
])  # fmt: skip
def test_what_cannot_be_measured_or_written_is_told_before_anything_is_measured(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("measured first"))
    with pytest.raises(SystemExit, match="2"):
        bench.main(options)
    assert told in capsys.readouterr().err


def test_the_picture_has_a_bar_for_every_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "RESOLUTIONS", {"640x360": (48, 64), "720p": (64, 64)})
    path = tmp_path / "bench.png"
    assert bench.main(["--size", "small", "--device", "cpu", "--repeats", "1", "--picture", str(path)]) == 0
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape[0] == 4 * (TITLE + 2 * ROW + ROW // 2)


def test_one_run_gives_the_table_the_json_and_the_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "RESOLUTIONS", {"640x360": (48, 64)})
    files = ["--json", str(tmp_path / "bench.json"), "--picture", str(tmp_path / "bench.png")]
    assert bench.main(["--size", "small", "--resolution", "640x360", "--device", "cpu", "--repeats", "1", *files]) == 0
    [row] = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert f"{row['fps']:.2f}" in capsys.readouterr().out.splitlines()[-1]
    assert cv2.imread(str(tmp_path / "bench.png")) is not None


def test_a_frame_that_memory_does_not_hold_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def too_large(*_: int) -> None:
        raise MemoryError("Unable to allocate 63.3 MiB")

    monkeypatch.setattr(bench, "_frame", too_large)
    assert bench.main(["--size", "small", "--resolution", "4K", "--device", "cpu"]) == 1
    assert "small at 4K not measured: Unable to allocate 63.3 MiB" in caplog.text


def test_memory_that_the_system_does_not_tell_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "RESOLUTIONS", {"640x360": (48, 64)})
    monkeypatch.setattr(bench, "peak_memory_mb", lambda call, device: float("nan"))
    path = tmp_path / "bench.png"
    command = ["--size", "small", "--device", "cpu", "--repeats", "1", "--picture", str(path)]
    assert bench.main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[-1] == "-"
    assert cv2.imread(str(path)).shape[0] == 3 * (TITLE + ROW + ROW // 2)
    assert bench.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["peak_mb"] is None


def test_a_bars_length_is_its_share_of_the_longest() -> None:
    picture = draw(Bars("frames/s", {"all": 4.0, "half": 2.0}))
    long, short = ((picture[TITLE + ROW * i + ROW // 2] == BAR).all(1).sum() for i in range(2))
    assert long == 1 + WIDTH - LABEL - FIGURE
    assert short == pytest.approx(long / 2, abs=1)


def test_nothing_measured_is_no_picture() -> None:
    with pytest.raises(ValueError, match="no figures"):
        bars_picture([Bars("frames/s", {})])


def test_both_passes_are_measured_and_compared_with_fp32(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], with_heads: Callable[[LEDNet], LEDNet]
) -> None:
    least = with_heads(LEDNet(LEDNetConfig((32, 32, 32), (0, 0, 1), 0, (0, 0), axis_window=8)))  # little to trace
    monkeypatch.setattr(bench, "_network", lambda size: deepcopy(least))
    monkeypatch.setattr(bench, "RESOLUTIONS", {"1080p": (48, 64)})
    monkeypatch.setattr(bench, "Restorer", partial(restorer_by, "eager"))
    monkeypatch.setattr("lednet.restorer.multiplies_bf16", lambda: False)
    arguments = ["--size", "small", "--resolution", "1080p", "--device", "cpu", "--repeats", "1", "--compiled"]
    assert bench.main([*arguments, "--json"]) == 0
    plain, fused = json.loads(capsys.readouterr().out)["rows"]
    assert (plain["pass"], fused["pass"]) == ("plain", "compiled")
    assert (plain["levels_from_fp32"], plain["compile_s"]) == (0, 0)
    assert fused["levels_from_fp32"] < 0.01
    assert fused["compile_s"] > 0
    assert fused["gflop"] == plain["gflop"] > 0
    assert not fused["failed"]
    assert fused["goal_fps_h100"] == 120


def test_only_the_size_of_frames_that_fails_is_told_as_not_compiled(
    monkeypatch: pytest.MonkeyPatch, with_heads: Callable[[LEDNet], LEDNet]
) -> None:
    least = with_heads(LEDNet(LEDNetConfig((32, 32, 32), (0, 0, 1), 0, (0, 0), axis_window=8)))

    def broken_once(graph: Callable[..., Any], _inputs: list[Any]) -> Callable[..., Any]:
        failed.append(1)
        if len(failed) == 1:
            raise RuntimeError("no memory for the graph")
        return graph

    failed: list[int] = []
    monkeypatch.setattr(bench, "_network", lambda size: deepcopy(least))
    monkeypatch.setattr(bench, "RESOLUTIONS", {"1080p": (48, 64), "720p": (32, 48)})
    monkeypatch.setattr(bench, "Restorer", partial(restorer_by, broken_once))
    monkeypatch.setattr("lednet.restorer.multiplies_bf16", lambda: False)
    rows = list(bench.measure([(["small"], "1080p"), (["small"], "720p")], "cpu", 1, compiled=True))
    told = {row["resolution"]: row["failed"] for row in rows if row["pass"] == "compiled"}
    assert told == {"1080p": True, "720p": False}


def test_a_case_that_takes_long_is_timed_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "RESOLUTIONS", {"640x360": (48, 64)})
    monkeypatch.setattr(bench, "LONG_S", 0.0)
    assert bench.main(["--size", "small", "--device", "cpu", "--json"]) == 0
    assert [row["repeats"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1]


def test_figures_say_which_code_they_are_of_as_far_as_it_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = Path(bench.__file__).parents[1]
    if (checkout / ".git").exists() and shutil.which("git"):
        wanted = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
        commit = subprocess.run(wanted, capture_output=True, text=True, check=True).stdout
        assert commit.startswith(bench.machine(CPU)["commit"].removesuffix("+"))
    monkeypatch.setenv("PATH", "")
    assert bench.machine(CPU)["commit"] == "unknown"


def test_on_a_gpu_what_the_goals_are_for_is_measured_size_by_size() -> None:
    wanted = bench.cases([], [], on_gpu=True)
    assert {(size, resolution) for [size], resolution in wanted} == set(bench.GOALS)
    assert bench.cases(["large"], [], on_gpu=True) == [(["large"], name) for name in bench.RESOLUTIONS]
    assert bench.cases([], ["4K"], on_gpu=True) == [(["small"], "4K"), (["base"], "4K")]
    assert bench.cases([], [], on_gpu=False) == [(["small", "base"], name) for name in bench.RESOLUTIONS]
    pixels = max(height * width for height, width in bench.RESOLUTIONS.values())
    in_bf16 = pixels * SIZES["large"].channels[0] * BYTES_OF_MODEL_PASS / 2
    assert in_bf16 < bench.MEMORY_MB["cuda"] * 2**20  # so no frame is measured in tiles


def test_rows_come_as_they_are_measured_and_a_case_that_fails_costs_no_other(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(bench, "RESOLUTIONS", {"640x360": (48, 64), "720p": (8, 64), "1080p": (64, 48)})
    path = tmp_path / "bench.json"
    told: list[str] = []
    kept: list[str] = []
    measured = bench._measured

    def watched(*arguments: Any) -> Any:
        told.append(capsys.readouterr().out)
        kept.append(path.read_text() if path.exists() else "")
        if arguments[1] == "720p":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nand much more")
        return measured(*arguments)

    monkeypatch.setattr(bench, "_measured", watched)
    names = [word for name in bench.RESOLUTIONS for word in ("--resolution", name)]
    command = ["--size", "small", "--device", "cpu", "--repeats", "1", "--kernels", "2", "--json", str(path), *names]
    assert bench.main(command) == 1
    assert "640x360" in told[1]
    assert [row["resolution"] for row in json.loads(kept[1])["rows"]] == ["640x360"]
    assert " x  aten::" in told[1]
    assert "1080p" in capsys.readouterr().out
    assert "small at 720p not measured: CUDA out of memory. Tried to allocate 2 GiB" in caplog.text


def restorer_by(backend: str | Callable[..., Any], network: LEDNet, compile: bool, **others: Any) -> Restorer:
    """A restorer, compiled by a backend that takes no time."""
    restorer = Restorer(network, **others)
    if compile:
        restorer.compiled = CompiledPass(network, backend)
    return restorer
