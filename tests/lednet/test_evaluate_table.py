"""The comparison: equal inputs for every method, figures that are what they say, and what is missing named."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch import Tensor

from lednet import LEDNet, checkpoint
from lednet.baselines.peers import PEERS
from lednet.baselines.registry import METHODS, ORACLES, Method, Ready
from lednet.clips import find_clips, split_clips
from lednet.degrade import RECIPES
from lednet.evaluate_table import Settings, all_trained_on, evaluate, fixed_gamma, main, trained_on, write
from lednet.metrics import mae, mse, psnr, ssim
from lednet.table_figures import Record, mean_of, summarise, to_overview
from lednet.table_pairs import UNNAMED, examples_of_clips, examples_of_pairs, read_scenes, scene_of
from lednet.table_sheet import SIDE, Sheet, choose_crops
from lednet.validate import read_pairs

NAMES = ("gopro_street", "hall_indoor", "people_dog", "highway_c", "people_coffee", "gopro_karma_cliff", "yard")
"""Clips of which `split_clips` holds some out."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small sharp clips whose picture moves."""
    folder = tmp_path_factory.mktemp("clips")
    y, x = np.mgrid[:96, :128]
    for i, name in enumerate(NAMES):
        writer = cv2.VideoWriter(str(folder / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 96))
        for t in range(6):
            wave = np.sin((x + 3 * t) / (4 + i)) + np.cos((y - t) / (6 + i))
            writer.write(
                (120 + 50 * np.stack([wave, wave.T[:96, :96].mean() + wave, -wave], -1)).clip(0, 255).astype(np.uint8)
            )
        writer.release()
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    y, x = np.mgrid[:100, :130]
    for i, name in enumerate(("GOPR_a", "GOPR_b")):
        sharp = np.stack([120 + 60 * np.sin(x / (5 + i)), 110 + 50 * np.cos(y / 11), 100 + 0 * x], -1).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}_sharp.png"), sharp)
        cv2.imwrite(str(folder / f"{name}_blur.png"), cv2.GaussianBlur(sharp, (0, 0), 2))
    return folder


@pytest.fixture(scope="module")
def settings(clips: Path, pairs: Path) -> Settings:
    methods = ("identity", "gamma", "clahe", "zero_dce", "small", "oracle_gamma")
    return Settings(clips, pairs, methods=methods, frames=2, nights=1, device="cpu")


@pytest.fixture(scope="module")
def table(settings: Settings) -> object:
    return evaluate(settings)


def without_speed(rows: list) -> list:  # type: ignore[type-arg]
    return [replace(row, frames_per_s=None) for row in rows]


def test_the_identity_row_equals_direct_computation(table, settings: Settings, pairs: Path) -> None:  # type: ignore[no-untyped-def]
    examples = examples_of_pairs(pairs, RECIPES["night"], {}, 1, settings.most_height, settings.seed)
    (row,) = (r for r in table.rows if (r.method, r.recipe, r.source) == ("identity", "night", "real pairs"))
    for figure, metric in ((row.psnr, psnr), (row.ssim, ssim), (row.mae, mae)):
        assert figure.value == pytest.approx(np.mean([float(metric(e.degraded, e.reference)) for e in examples]))
    errors = np.mean([float(mse(e.degraded, e.reference)) for e in examples])
    assert row.psnr_of_mean_mse == pytest.approx(-10 * np.log10(errors))
    assert row.rmse_to_mae == pytest.approx(np.sqrt(errors) / row.mae.value)


def test_equal_seeds_give_an_equal_table_and_others_another(table, settings: Settings) -> None:  # type: ignore[no-untyped-def]
    few = replace(settings, methods=("identity", "gamma"), recipes=("night",))
    first = evaluate(few)
    assert without_speed(first.rows) == without_speed(evaluate(few).rows)
    assert without_speed(first.rows) != without_speed(evaluate(replace(few, seed=5)).rows)
    wanted = [r for r in table.rows if r.recipe == "night" and r.method in few.methods]
    assert [r.psnr for r in first.rows] == [r.psnr for r in wanted]  # whatever else is in the table


def test_every_recipe_source_and_scene_has_every_method(table, settings: Settings) -> None:  # type: ignore[no-untyped-def]
    places = {(r.source, r.recipe, r.scene) for r in table.rows}
    assert {recipe for _, recipe, _ in places} == {"paper", "night"}
    assert {source for source, _, _ in places} == {"held-out clips", "real pairs"}
    for place in places:
        assert [r.method for r in table.rows if (r.source, r.recipe, r.scene) == place] == list(settings.methods)


def test_floors_and_the_oracle_stand_in_their_order(table) -> None:  # type: ignore[no-untyped-def]
    figures = {r.method: r.psnr.value for r in table.rows if (r.source, r.recipe) == ("real pairs", "night") and r.psnr}
    assert figures["identity"] < figures["gamma"] < figures["oracle_gamma"]


def test_missing_weights_are_a_row_that_says_so(table) -> None:  # type: ignore[no-untyped-def]
    (row, *_) = (r for r in table.rows if r.method == "zero_dce")
    assert row.psnr is None
    assert "no weights" in row.note


def test_lpips_without_weights_is_not_computed_and_says_why(settings: Settings, tmp_path: Path) -> None:
    found = evaluate(
        replace(settings, methods=("identity",), recipes=("paper",), data=None, lpips=tmp_path / "none.pth")
    )
    assert all(r.lpips is None for r in found.rows)
    assert any(note.startswith("LPIPS not computed: ") for note in found.notes)


def test_only_held_out_clips_are_used_and_gamma_is_fitted_on_the_others(clips: Path, settings: Settings) -> None:
    training, held_out = split_clips(find_clips(clips), 0.2)
    examples = examples_of_clips(clips, RECIPES["night"], {}, 2, 360, 0)
    assert {e.group for e in examples} == {p.stem for p in held_out}
    assert not {e.group for e in examples} & {p.stem for p in training}
    gamma, origin = fixed_gamma(settings, "paper")
    assert 1 <= gamma <= 5
    assert "training clips" in origin


def test_a_checkpoint_that_was_trained_on_the_evaluations_clips_is_called_so(clips: Path) -> None:
    examples = examples_of_clips(clips, RECIPES["paper"], {}, 1, 360, 0)
    assert trained_on("small", examples) == []
    leaked = [replace(e, group="highway_a") for e in examples]
    assert "WARNING: small was trained on highway_a" in trained_on("small", leaked)[0]


def test_inputs_are_8_bit_and_a_tall_frame_is_shrunk(clips: Path) -> None:
    (e, *_) = examples_of_clips(clips, RECIPES["night"], {}, 1, 64, 0)
    assert e.reference.shape == (1, 3, 48, 64)
    for x in (e.degraded, e.reference):
        assert (x * 255).sub((x * 255).round()).abs().max() < 1e-3


def test_scenes_come_from_the_longest_beginning_or_the_name(tmp_path: Path) -> None:
    path = tmp_path / "scenes.toml"
    path.write_text("[scenes]\npeople_ = 'indoor'\npeople_juggle = 'outdoor'\n")
    scenes = read_scenes(path)
    assert [scene_of(n, scenes) for n in ("people_dog", "people_juggle", "pit_outdoor_3", "x")] == [
        "indoor", "outdoor", "outdoor", UNNAMED,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[scenes]\na = 'moon'\n", "not toml ="])
def test_a_bad_scenes_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scenes.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"scenes\.toml"):
        read_scenes(path)


@pytest.mark.parametrize(("values", "mean"), [([math.inf, 20.0], math.inf), ([-math.inf, 1.0], -math.inf)])
def test_a_mean_keeps_the_side_on_which_it_is_infinite(values: list[float], mean: float) -> None:
    assert mean_of(values, ["a", "b"]).value == mean


def test_the_margin_of_lednet_is_taken_frame_by_frame() -> None:
    def record(value: float, name: str) -> Record:
        return Record("s", "r", "o", "m", name, name, value, 0.01, 0.5, 0.1, None, 1.0)

    row = summarise([record(10, "a"), record(20, "b")], "m", 0, [record(12, "a"), record(22, "b")])
    assert row.ahead is not None
    assert (row.ahead.low, row.ahead.value, row.ahead.high) == pytest.approx((2, 2, 2))


def test_files_hold_the_rows_and_the_sheet_every_method(table, tmp_path: Path, settings: Settings) -> None:  # type: ignore[no-untyped-def]
    write(table, tmp_path)
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert len(rows) == len(table.rows)
    assert float(rows[0]["psnr"]) == pytest.approx(table.rows[0].psnr.value)
    content = json.loads((tmp_path / "table.json").read_text())
    assert len(content["records"]) == len(table.records)
    text = (tmp_path / "table.md").read_text()
    assert all((METHODS | ORACLES)[name].title in text for name in settings.methods)
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert sheet.shape[0] > SIDE * len(settings.methods)


def test_the_overview_has_a_line_a_method_with_the_figures_of_every_place(table, settings: Settings) -> None:  # type: ignore[no-untyped-def]
    lines = [line for line in to_overview(table.rows).splitlines() if line.startswith("| LEDNet small")]
    assert len(lines) == 2  # one a recipe
    for line, recipe in zip(lines, settings.recipes, strict=True):
        rows = [r for r in table.rows if (r.method, r.recipe) == ("small", recipe)]
        assert all(f"{r.psnr.value:.2f}" in line and f"{r.ssim.value:.3f}" in line for r in rows)
        assert line.count("|") == 2 + 3 * len(rows)


def test_networks_tell_their_multiply_adds_and_memory_and_classical_methods_do_not(table) -> None:  # type: ignore[no-untyped-def]
    told = {r.method: (r.gmacs, r.memory_mb) for r in table.rows if r.psnr}
    assert told["clahe"] == told["identity"] == (None, None)
    gmacs, memory = told["small"]
    assert gmacs is not None
    assert memory is not None
    assert 1 < gmacs < 20  # some 4 by the design's own count
    assert memory > 1


def test_peers_that_are_not_trained_are_rows_that_say_how_to(settings: Settings, tmp_path: Path) -> None:
    few = replace(settings, methods=("drbn", "dslr"), recipes=("paper",), data=None, trained=tmp_path)
    for row in evaluate(few).rows:
        assert row.psnr is None
        assert f"no {row.method}.safetensors" in row.note
        assert "lednet.train_peers" in row.note


def test_a_trained_peer_is_a_row_with_a_warning_if_it_knows_the_clips(settings: Settings, tmp_path: Path) -> None:
    leaked = {"clips": [e.group for e in examples_of_pairs(settings.pairs, RECIPES["paper"], {}, 1, 96, 0)]}  # type: ignore[arg-type]
    path = tmp_path / "zero_dce_trained" / "zero_dce_trained.safetensors"
    checkpoint.save(path, PEERS["zero_dce_trained"](), half=True, training=leaked, validation={})
    few = replace(settings, methods=("zero_dce_trained",), recipes=("paper",), data=None, trained=tmp_path)
    found = evaluate(few)
    assert found.rows[0].parameters == 79_416
    assert found.rows[0].psnr is not None
    assert any("WARNING" in note and "prove nothing" in note for note in found.notes)


def test_a_method_that_fails_is_a_row_that_says_so_and_costs_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(x: Tensor) -> Tensor:
        raise RuntimeError("can't allocate memory: you tried to allocate 8589934592 bytes\nframe #0")

    monkeypatch.setitem(METHODS, "clahe", Method("CLAHE", "", lambda needs: Ready(without_memory)))
    few = replace(settings, methods=("identity", "clahe"), recipes=("paper",), data=None)
    identity, clahe = evaluate(few).rows
    assert identity.psnr is not None
    assert clahe.note == "can't allocate memory: you tried to allocate 8589934592 bytes"


def test_a_checkpoint_of_ones_own_stands_beside_the_shipped_one_of_its_name(
    settings: Settings, tmp_path: Path, with_heads: Callable[[LEDNet], LEDNet]
) -> None:
    path = tmp_path / "mine" / "base.safetensors"
    checkpoint.save(path, with_heads(LEDNet("small")), half=True, training={}, validation={})
    methods = ("gamma", "gamma_jnb", "small", "base")
    found = evaluate(replace(settings, methods=methods, recipes=("paper",), data=None, model=str(path)))
    assert [r.title for r in found.rows[2:]] == ["LEDNet mine/base", "LEDNet base"]
    lines = to_overview(found.rows).splitlines()
    for row in found.rows[2:]:
        assert row.psnr is not None
        (line,) = (line for line in lines if line.startswith(f"| {row.title} "))
        assert f"{row.psnr.value:.2f}" in line
    # Its card knows no gamma under this recipe, which costs the rows of it alone.
    assert all(r.psnr is None and "gamma under this recipe is not known" in r.note for r in found.rows[:2])
    assert any("fixed gamma not known: base: its card holds no fixed gamma" in n for n in found.notes)


def test_the_shipped_base_is_called_so_as_well_if_it_knows_the_clips(settings: Settings) -> None:
    (example, *_) = examples_of_pairs(settings.pairs, RECIPES["paper"], {}, 1, 96, 0)  # type: ignore[arg-type]
    known = min(checkpoint.read_card(checkpoint.locate("base")).trained_clips())
    table_of_base = replace(settings, methods=("base",))
    assert all_trained_on(table_of_base, [example]) == []
    (note,) = all_trained_on(table_of_base, [replace(example, group=known)])
    assert note.startswith(f"WARNING: base was trained on {known}")


def test_a_pair_of_two_sizes_is_named(pairs: Path, tmp_path: Path) -> None:
    shutil.copytree(pairs, tmp_path / "pairs")
    cv2.imwrite(str(tmp_path / "pairs" / "GOPR_b_sharp.png"), np.zeros((90, 130, 3), np.uint8))
    with pytest.raises(ValueError, match=r"b_blur\.png: is not as large as its GOPR_b_sharp\.png \(130x100 and 130x90"):
        list(read_pairs(tmp_path / "pairs"))


def test_where_the_table_cannot_be_written_is_told_before_it_is_made(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr("lednet.evaluate_table.evaluate", lambda settings: pytest.fail("made first"))
    assert main(["--pairs", str(pairs), "--out", str(tmp_path / "out")]) == 1
    assert str(tmp_path / "out") in capsys.readouterr().err


def test_crops_lie_inside_the_frame_and_the_bright_one_is_brighter(clips: Path) -> None:
    (e, *_) = examples_of_clips(clips, RECIPES["paper"], {}, 1, 360, 0)
    crops = choose_crops(e)
    light = {kind: float(e.degraded[0][:, ys, xs].mean()) for kind, (ys, xs) in crops.items()}
    assert light["bright part"] >= light["dark part"]
    assert all(ys.stop <= 96 and xs.stop <= 128 for ys, xs in crops.values())


def test_the_sheets_columns_are_one_example_each_in_every_row(clips: Path) -> None:
    first, second = examples_of_clips(clips, RECIPES["paper"], {}, 1, 360, 0)[:2]
    sheet = Sheet({second.name: second, first.name: first})
    for e in (first, second):
        sheet.add("m", e, e.reference)
    sheet.draw()
    for name in sheet.examples:
        for crop, reference in zip(sheet.rows["m"][name], sheet.rows["reference"][name], strict=True):
            np.testing.assert_array_equal(crop, reference)


def test_the_command_prints_json_and_names_what_is_missing(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--method", "identity", "--recipe", "paper", "--device", "cpu", "--json"]
    assert main(["--pairs", str(pairs), *few]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["frames"] == 4
    assert main(few) == 1
    assert "--data" in capsys.readouterr().err
    assert main(["--pairs", str(tmp_path), *few]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_a_recipe_of_ones_own_makes_a_table(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hard = Path(__file__).parents[2] / "docs" / "hard_night.toml"
    own = ["--method", "identity", "--recipe", str(hard), "--device", "cpu", "--json"]
    assert main(["--pairs", str(pairs), *own]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["recipe"] == str(hard)
    assert row["frames"] == 4


def test_an_unknown_recipe_is_named_before_anything_is_restored(
    pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--pairs", str(pairs), "--recipe", "paper", "--recipe", "fog", "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "'fog'" in said
    assert "recipe paper" not in said
