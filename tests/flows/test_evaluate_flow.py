"""The evaluate flow through the installed command: a real Prefect server, real Dask workers, a published night."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest

from tasks import storage
from tasks.facts import read_facts, write_facts
from tests.flows.conftest import Run
from tests.tasks.made_facts import made_row
from tests.tasks.night import NIGHT, make_site

EARLIER = 3
"""Nights of facts from before."""

SITE = """
[report]
language = "en"

[settings]
checkpoint = "{checkpoint}"

[synthesis]
frames = 2
width = 64

[[camera]]
id = "pit"
name = "Pit"
scene = "outdoor"
timezone = "UTC"
pattern = "pit/%Y-%m-%d/%H%M%S.*"
rate = 5
start = "22:00"
end = "22:00:07"
daylight = "day/*.png"

[[camera]]
id = "broken"
name = "Broken"
scene = "indoor"
timezone = "UTC"
pattern = "broken/*.mp4"
rate = 5

[[camera]]
id = "absent"
name = "Absent"
scene = "indoor"
timezone = "UTC"
pattern = "absent/*.mp4"
rate = 5
"""


class Evaluated(NamedTuple):
    result: subprocess.CompletedProcess[str]
    root: Path
    store: str

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / f"store/reports/{NIGHT}/{name}.parquet")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, server: str, lednet: Run) -> Evaluated:
    """Three cameras: one published, with daylight and earlier nights; one damaged; one that never recorded."""
    root = tmp_path_factory.mktemp("evaluate")
    site = make_site(root)
    site.run()
    (root / "cameras.toml").write_text(SITE.format(checkpoint=site.settings.checkpoint))
    (root / "day").mkdir()
    picture = np.random.default_rng(0).integers(90, 255, (60, 80, 3), np.uint8)
    cv2.imwrite(str(root / "day/noon.png"), picture)
    damaged = root / f"store/enhanced/broken/{NIGHT}/manifest.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{}")
    for k in range(1, EARLIER + 1):
        night = (pd.Timestamp(NIGHT) - pd.Timedelta(days=k)).strftime("%Y-%m-%d")
        write_facts(site.store, made_row("pit", night=night))
    nights = f"{night}..{NIGHT}"
    places = ("--site", str(root / "cameras.toml"), "--store", str(root / "store"))
    result = lednet("evaluate", nights, *places, "--json", PREFECT_API_URL=server, LEDNET_WORKERS="1")
    return Evaluated(result, root, storage.normalise(str(root / "store")))


def test_it_ends_by_naming_the_report(evaluated: Evaluated) -> None:
    assert evaluated.result.returncode == 0, evaluated.result.stderr
    report = json.loads(evaluated.result.stdout)["report"]
    assert Path(report.removeprefix("file://")).read_text().startswith("<!")


def test_facts_of_the_night_stand_beside_those_of_earlier_ones(evaluated: Evaluated) -> None:
    facts = read_facts(evaluated.store)
    assert facts["camera"].tolist() == ["pit"] * (EARLIER + 1)
    tonight = facts.iloc[-1]
    assert (tonight["night"], tonight["frames"]) == (NIGHT, 25)
    assert tonight["reference_count"] == 1
    assert np.isfinite(tonight["psnr"])


def test_a_damaged_night_is_told_and_stops_no_other(evaluated: Evaluated) -> None:
    assert "broken" in evaluated.result.stderr
    assert "not a manifest" in evaluated.result.stderr


def test_every_camera_has_its_verdict(evaluated: Evaluated) -> None:
    summary = evaluated.table("summary").set_index("camera")
    assert summary["verdict"].to_dict() | {"pit": ""} == {"absent": "missing", "broken": "missing", "pit": ""}
    assert summary.loc["pit", "verdict"] in ("bad", "attention")
    assert "2 seconds of the night are missing" in summary.loc["pit", "reasons"]


def test_groups_are_written_beside_the_report(evaluated: Evaluated) -> None:
    groups = evaluated.table("groups")
    assert set(groups["level"]) == {"camera", "scene", "model_sha", "night"}


def test_nights_that_are_no_nights_are_refused_before_anything_starts(lednet_here: Run, tmp_path: Path) -> None:
    result = lednet_here("evaluate", "2026-02-01..2026-01-01", "--site", str(tmp_path / "none.toml"))
    assert result.returncode == 1
    assert "must not come after" in result.stderr
    assert "Traceback" not in result.stderr
