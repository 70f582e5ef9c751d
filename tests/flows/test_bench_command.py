"""`lednet bench --item`: what it hands on to the work item's own benchmark."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows.cli import app


@pytest.mark.parametrize("picture", [["--picture", "to/bench.png"], ["--picture=to/bench.png"]])
def test_the_items_picture_stands_beside_the_models_however_it_is_written(
    picture: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[str]] = {}
    monkeypatch.setattr("lednet.bench.main", lambda arguments: told.update(model=arguments) or 0)
    monkeypatch.setattr("tasks.bench_item.main", lambda arguments: told.update(item=arguments) or 0)
    assert CliRunner().invoke(app, ["bench", "--item", "--json", "--repeats", "1", *picture]).exit_code == 0
    assert told["model"] == ["--json", "--repeats", "1", *picture]
    assert told["item"] == ["--json", "--picture", "to/bench-item.png"]
