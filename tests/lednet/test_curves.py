"""The picture of a run's curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lednet.curves import curves_picture, draw, panels, read_metrics


def line(step: int, **figures: Any) -> dict[str, Any]:
    return {"step": step, **figures}


RUN = [
    line(50, loss=0.3, psnr=18.0),
    line(100, loss=0.2, psnr=20.0),
    line(100, validation={"recipes": {"night": {"psnr_lednet": 21.0, "psnr_gamma": 19.0}}}),
    line(150, loss=0.1, psnr=22.0),
]


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_loss_psnr_and_every_recipe_have_a_panel() -> None:
    drawn = panels(RUN)
    assert [panel.title for panel in drawn] == ["loss", "PSNR, dB", "PSNR on held-out clips, night, dB"]
    assert drawn[0].curves["training batches"] == [(50, 0.3), (100, 0.2), (150, 0.1)]
    assert drawn[2].curves["LEDNet"] == [(100, 21.0)]


def test_steps_done_again_after_an_interruption_count_once(tmp_path: Path) -> None:
    again = [*RUN, line(150, loss=0.15, psnr=21.0)]
    found = read_metrics(written(tmp_path / "metrics.jsonl", again))
    assert [each["loss"] for each in found if "loss" in each] == [0.3, 0.2, 0.15]


def test_a_curve_that_falls_runs_down_from_left_to_right() -> None:
    picture = draw(panels(RUN)[0])
    colour = np.all(picture[40:190, 56:660] == (160, 90, 0), 2)
    rows = [np.flatnonzero(colour[:, x]).mean() for x in (10, 250, 500)]
    assert rows == sorted(rows)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_run_of_any_length_has_a_picture(length: int, tmp_path: Path) -> None:
    png = curves_picture(written(tmp_path / "metrics.jsonl", RUN[:length]))
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] == 720


def test_a_run_without_figures_has_no_picture_yet(tmp_path: Path) -> None:
    assert curves_picture(written(tmp_path / "metrics.jsonl", [line(2, validation={})])) is None


def test_a_step_that_diverged_does_not_cost_the_picture(tmp_path: Path) -> None:
    lines = [line(1, loss=0.3, psnr=18.0), line(2, loss=float("nan"), psnr=float("inf")), line(3, loss=0.2, psnr=19.0)]
    drawn = panels(lines)
    assert [len(panel.curves["training batches"]) for panel in drawn] == [2, 2]
    assert curves_picture(written(tmp_path / "metrics.jsonl", lines))
    assert curves_picture(written(tmp_path / "metrics.jsonl", lines[1:2])) is None


def test_half_a_line_of_a_killed_run_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path / "metrics.jsonl", RUN[:1])
    path.write_text(path.read_text() + '{"step": 100, "lo' + json.dumps(RUN[1]) + "\n" + json.dumps(RUN[3]) + "\n")
    assert [each["step"] for each in read_metrics(path)] == [50, 150]


@pytest.mark.parametrize(
    "left",
    [b"\xff\xfe no text", bytes(3), b"12", b"[]", b'{"loss": 0.2}'],
    ids=["other bytes", "zeros", "a number", "a list", "no step"],
)
def test_what_is_no_line_of_a_run_is_passed_over(left: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "metrics.jsonl", RUN[:1])
    path.write_bytes(left + b"\n" + path.read_bytes())
    assert read_metrics(path) == RUN[:1]
