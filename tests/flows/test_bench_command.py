"""`lednet bench --item`: what it hands on to the work item's own benchmark."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows.cli import app


@pytest.mark.parametrize("picture", [["--picture", "to/bench.png"], ["--picture=to/bench.png"]])
@pytest.mark.parametrize(("asked", "handed_on"), [
    (["--json"], "--json=-"), (["--json", "to/bench.json"], "--json=to/bench-item.json"),
])  # fmt: skip
def test_the_items_files_stand_beside_the_models_however_they_are_written(
    asked: list[str], handed_on: str, picture: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[str]] = {}
    monkeypatch.setattr("lednet.bench.main", lambda arguments: told.update(model=arguments) or 0)
    monkeypatch.setattr("tasks.bench_item.main", lambda arguments: told.update(item=arguments) or 0)
    assert CliRunner().invoke(app, ["bench", "--item", *asked, "--repeats", "1", *picture]).exit_code == 0
    assert told["model"] == [*asked, "--repeats", "1", *picture]
    assert told["item"] == [handed_on, "--picture=to/bench-item.png"]
