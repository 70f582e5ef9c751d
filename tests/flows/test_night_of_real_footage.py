"""A night of real footage through the installed command: a real Prefect server, real Dask workers, real files.

Uses the clips beside the project; without them the same properties are held on drawn footage by
`test_night_of_drawn_footage.py` and the tests of the tasks.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import xarray

from tests.flows.conftest import Run
from tests.real_archive import EXPECTED, NIGHT, build

DATA = Path(__file__).parents[3] / "shared/data"

pytestmark = pytest.mark.skipif(not (DATA / "night").is_dir(), reason=f"no real footage at {DATA}")


@dataclass(frozen=True)
class Night:
    """A finished night."""

    root: Path
    arguments: tuple[str, ...]
    result: subprocess.CompletedProcess[str]

    def manifest(self, camera: str) -> dict[str, Any]:
        path = self.root / f"store/enhanced/{camera}/{NIGHT}/manifest.json"
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest

    def frames(self, camera: str) -> xarray.Dataset:
        return xarray.open_zarr(self.manifest(camera)["frames_url"].removeprefix("file://"))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, server: str, lednet: Run) -> Night:
    root = tmp_path_factory.mktemp("real")
    site = build(DATA, root)
    arguments = ("enhance", NIGHT, "--site", str(site), "--archive", str(root / "archive"),
                 "--store", str(root / "store"), "--json")  # fmt: skip
    return Night(root, arguments, lednet(*arguments, PREFECT_API_URL=server, LEDNET_WORKERS="1"))


def test_every_camera_is_published_and_the_exit_code_says_that_files_were_quarantined(night: Night) -> None:
    assert night.result.returncode == 2, night.result.stderr
    outcomes = {c["camera"]: c for c in json.loads(night.result.stdout)["cameras"]}
    assert {c: o["status"] for c, o in outcomes.items()} == dict.fromkeys(EXPECTED, "published")


def test_restoring_and_evaluating_share_one_set_of_workers(night: Night) -> None:
    assert night.result.stderr.count("starting 1 Dask worker process") == 1


@pytest.mark.parametrize("camera", EXPECTED)
def test_coverage_is_right_to_the_slot(night: Night, camera: str) -> None:
    valid = np.flatnonzero(night.frames(camera)["valid"].values)
    assert tuple(valid) == EXPECTED[camera].valid
    assert night.manifest(camera)["coverage"] == pytest.approx(len(valid) / night.manifest(camera)["slots"])


@pytest.mark.parametrize("camera", EXPECTED)
def test_unusable_files_are_quarantined_with_their_reason(night: Night, camera: str) -> None:
    problems = {Path(p["url"]).name: p["reason"] for p in night.manifest(camera)["problems"]}
    assert problems.keys() == EXPECTED[camera].problems.keys()
    assert all(word in problems[name] for name, word in EXPECTED[camera].problems.items())


def test_the_readable_half_of_a_cut_off_file_is_used(night: Night) -> None:
    frames = {Path(p["url"]).name: p["frames"] for p in night.manifest("gate")["problems"]}
    assert frames["gate_20260115T140010Z.mpg"] == 4


def test_xarray_reads_the_store_with_decoded_times(night: Night) -> None:
    data = night.frames("trail")
    assert data["frames"].dims == ("time", "y", "x", "channel")
    assert data["time"].values[0] == np.datetime64("2026-01-15T14:00:00")  # 22:00 in Shanghai
    assert data["time"].values[1] - data["time"].values[0] == np.timedelta64(3, "s")


@pytest.mark.parametrize("camera", EXPECTED)
def test_restored_frames_are_brighter_and_stored_at_their_slots(night: Night, camera: str) -> None:
    data = night.frames(camera)
    means = data["frames"].mean(("y", "x", "channel")).values
    assert (means[data["valid"].values] > 0).all()
    assert (means[~data["valid"].values] == 0).all()


@pytest.mark.parametrize("camera", EXPECTED)
def test_the_preview_plays(night: Night, camera: str) -> None:
    with av.open(night.manifest(camera)["preview_url"].removeprefix("file://")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert sum(1 for _ in container.decode(stream)) == night.manifest(camera)["frames"]


def test_the_report_names_cameras_and_quarantined_files_escaped(night: Night) -> None:
    url = json.loads(night.result.stdout)["report"]
    page = Path(url.removeprefix("file://")).read_text()
    assert "Gate &lt;north&gt; &amp; towers" in page
    assert "Gate <north>" not in page
    assert all(name in page for expected in EXPECTED.values() for name in expected.problems)


def test_running_it_again_does_nothing_and_says_so(night: Night, server: str, lednet_here: Run) -> None:
    before = {p: p.stat().st_mtime_ns for p in (night.root / "store/enhanced").rglob("*") if p.is_file()}
    again = lednet_here(*night.arguments, "--no-report", PREFECT_API_URL=server, LEDNET_WORKERS="1")
    outcomes = json.loads(again.stdout)["cameras"]
    assert {o["status"] for o in outcomes} == {"already published"}
    assert {p: p.stat().st_mtime_ns for p in (night.root / "store/enhanced").rglob("*") if p.is_file()} == before
