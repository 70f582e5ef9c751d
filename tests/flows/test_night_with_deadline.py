"""`lednet enhance --deadline` on a real Prefect server and real workers: with time enough a coarse pass is published
first and the whole night in its place, by the same command, and nothing is left over.

How passes are chosen and where a deadline may fall is tested with a clock that is stood in for, in `test_night_job`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import store
from tests.flows.conftest import Run
from tests.tasks import night
from tests.tasks.night import NIGHT

CAMERAS = ("first", "second")
SITE = """
[settings]
checkpoint = "{checkpoint}"
shard_mb = 1
shard_least = 4
shard_most = 4
deadline_coarsest = 4
preview_pictures = 8
preview_width = 48
"""
CAMERA = """
[[camera]]
id = "{name}"
name = "{name}"
scene = "outdoor"
timezone = "Asia/Shanghai"
pattern = "{name}/%Y-%m-%d/%H%M%S.*"
rate = 5
start = "22:00"
end = "22:00:07"
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The command line of a filmed night of two cameras."""
    for name in CAMERAS:
        night.film(tmp_path / "archive", camera=name)
    site = tmp_path / "cameras.toml"
    described = SITE.format(checkpoint=night.save_checkpoint(tmp_path))
    site.write_text(described + "".join(CAMERA.format(name=name) for name in CAMERAS))
    places = ["--site", str(site), "--archive", str(tmp_path / "archive"), "--store", str(tmp_path / "store")]
    return ["enhance", NIGHT, *places, "--no-report", "--json"]


@pytest.mark.slow  # test_night_job.py has the same in this process
def test_a_deadline_far_ahead_gives_a_coarse_night_first_and_then_the_whole(
    arguments: list[str], tmp_path: Path, server: str, lednet: Run
) -> None:
    until = (datetime.now(UTC) + timedelta(hours=8 + 6)).strftime("%H:%M")  # six hours ahead, in Shanghai
    done = lednet(*arguments, "--deadline", until, PREFECT_API_URL=server, LEDNET_WORKERS="1")
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)["cameras"]
    assert [(o["camera"], o["status"], o["reason"]) for o in outcomes] == [(c, "published", "") for c in CAMERAS]
    assert "one slot in 1 of every camera, from now on" in done.stderr
    for camera in CAMERAS:
        manifest = store.read_manifest(f"file://{tmp_path / 'store'}", camera, NIGHT)
        assert manifest is not None
        assert (manifest["slots"], manifest["frames"]) == (35, 25)
        runs = {
            p.parent.name: len(list(p.iterdir())) for p in (tmp_path / "store").glob(f"enhanced/{camera}/*/*/receipts")
        }
        rate = json.loads((tmp_path / f"store/rates/{camera}.json").read_text())
        assert (rate["night"], rate["frames"]) == (NIGHT, 25)  # those of the whole night, as the workers told
        assert rate["seconds"] > 0
        assert len(runs) == 2  # the coarse pass, which `lednet gc` removes, and the whole night
        assert manifest["run"] in runs
