"""`lednet evaluate --table`, as a user would call it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.flows.conftest import Run


def test_the_table_is_printed_and_written(lednet_here: Run, tmp_path: Path) -> None:
    y, x = np.mgrid[:80, :100]
    sharp = np.stack([120 + 60 * np.sin(x / 9), 110 + 50 * np.cos(y / 11), 100 + 0 * x], -1).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a_sharp.png"), sharp)
    cv2.imwrite(str(tmp_path / "a_blur.png"), cv2.GaussianBlur(sharp, (0, 0), 2))
    few = ("--method", "identity", "--method", "small", "--method", "sci_easy", "--recipe", "night", "--device", "cpu")
    result = lednet_here("evaluate", "--table", "--pairs", str(tmp_path), *few, "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert "LEDNet small" in result.stdout
    assert "SCI easy, published: not computed: no weights" in result.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"table.csv", "table.md", "table.json", "sheet.jpg"}


def test_a_table_of_nothing_says_what_to_name(lednet_here: Run) -> None:
    result = lednet_here("evaluate", "--table")
    assert result.returncode == 1
    assert "--data" in result.stderr
    assert "Traceback" not in result.stderr


def test_evaluating_no_night_says_what_a_night_is(lednet_here: Run) -> None:
    result = lednet_here("evaluate")
    assert result.returncode == 2
    assert all(words in result.stderr for words in ("Usage:", "Missing argument 'NIGHT'", "FIRST..LAST", "--table"))
