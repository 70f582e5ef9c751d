"""The report of a night is the whole site's, whichever cameras were just enhanced or evaluated."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import evaluate
from tasks import lease, storage
from tasks import store as stored
from tasks.facts import write_facts
from tasks.site import Site, parse_site
from tasks.types import CameraNight
from tests.tasks.made_facts import made_row
from tests.tasks.report_example import manifest

NIGHT = "2026-03-01"
SITE = """
[[camera]]
id = "pit"
name = "Pit"
scene = "outdoor"
timezone = "UTC"
pattern = "pit/%Y.mp4"
rate = 5
"""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    # Prefect's page, which needs a server.
    monkeypatch.setattr(evaluate, "publish_report", lambda page, url: None)
    described = {"name": "N", "scene": "outdoor", "timezone": "UTC", "rate": 5}
    cameras = [described | {"id": name, "pattern": f"{name}/%Y.mp4"} for name in ("pit", "hall", "gate")]
    return parse_site({"camera": cameras}, "a site")


def published(store: str, camera: str, run: str = made_row()["run"]) -> None:
    """A camera's night is published with facts of it, which are of the run `made_row` names."""
    night = manifest(camera=camera, night=NIGHT, run=run)
    storage.write(stored.manifest_url(store, camera, NIGHT), stored.sealed(night))
    write_facts(store, made_row(camera, night=NIGHT))


def verdicts(folder: Path) -> dict[str, str]:
    summary = pd.read_parquet(folder / "reports" / NIGHT / "summary.parquet")
    return dict(zip(summary["camera"], summary["verdict"], strict=True))


def test_cameras_that_were_not_done_just_now_stay_in_the_report(site: Site, tmp_path: Path) -> None:
    store = storage.normalise(str(tmp_path))
    for camera in ("pit", "hall"):
        published(store, camera)
    page = evaluate.draw(NIGHT, site, store, [CameraNight("gate", "failed", "planning: no space left")], {})
    assert verdicts(tmp_path) == {"pit": "good", "hall": "good", "gate": "missing"}
    told = Path(page.removeprefix("file://")).read_text()
    assert "no space left" in told


def test_a_night_that_was_run_again_is_not_judged_by_the_facts_of_the_run_before(site: Site, tmp_path: Path) -> None:
    store = storage.normalise(str(tmp_path))
    published(store, "pit")
    published(store, "hall", run="newer")
    write_facts(store, made_row("gate", night=NIGHT))  # its manifest was removed, so that the night is run anew
    gone = stored.manifest_url(store, "gate", NIGHT)
    evaluate.draw(NIGHT, site, store, [], {})
    assert verdicts(tmp_path) == {"pit": "good", "hall": "missing", "gate": "missing"}
    storage.write(gone, b"no manifest")
    evaluate.draw(NIGHT, site, store, [], {})
    assert verdicts(tmp_path) == {"pit": "good", "hall": "missing", "gate": "missing"}


def test_a_camera_that_somebody_else_is_at_work_on_is_under_way(site: Site, tmp_path: Path) -> None:
    store = storage.normalise(str(tmp_path))
    with lease.held(lease.folder(store, "hall", NIGHT)):
        evaluate.draw(NIGHT, site, store, [CameraNight("pit", "no footage")], {})
    assert verdicts(tmp_path) == {"hall": "under way", "pit": "missing", "gate": "missing"}


def test_each_manifest_is_read_once_so_that_a_camera_is_shown_and_judged_by_one_run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = storage.normalise(str(tmp_path))
    for camera in ("pit", "hall"):
        published(store, camera)
    read: list[str] = []
    reading = storage.read

    def counted(url: str) -> bytes:
        if url.endswith("manifest.json"):
            read.append(url.split("/")[-3])
        return reading(url)

    monkeypatch.setattr(storage, "read", counted)
    evaluate.draw(NIGHT, site, store, [CameraNight("gate", "failed", "planning: no space left")], {})
    assert sorted(read) == ["gate", "hall", "pit"]


def test_a_damaged_manifest_of_a_camera_whose_truth_is_known_costs_that_camera_alone(
    site: Site, tmp_path: Path
) -> None:
    store = storage.normalise(str(tmp_path))
    published(store, "pit")
    storage.write(stored.manifest_url(store, "hall", NIGHT), b"no manifest")
    evaluate.draw(NIGHT, site, store, [], {"hall": f"{store}/truth.zarr"})
    assert verdicts(tmp_path)["pit"] == "good"


def test_a_camera_that_the_site_no_longer_describes_stays_in_the_report_of_its_night(
    site: Site, tmp_path: Path
) -> None:
    store = storage.normalise(str(tmp_path))
    for camera in ("pit", "old"):
        published(store, camera)
    storage.write(stored.manifest_url(store, "older", "2026-02-28"), b"another night's")
    page = evaluate.draw(NIGHT, site, store, [], {})
    assert verdicts(tmp_path) == {"pit": "good", "old": "good", "hall": "missing", "gate": "missing"}
    table = pd.read_csv(tmp_path / "reports" / NIGHT / "cameras.csv").set_index("camera")
    assert table["status"]["old"] == "published"
    assert table["name"]["old"] == manifest(camera="old", night=NIGHT)["camera"]["name"]
    assert table["name"]["old"] in Path(page.removeprefix("file://")).read_text()


@pytest.mark.parametrize("damage", ["camera", "all"])
def test_a_damaged_manifest_of_a_camera_that_is_no_longer_described_costs_no_report(
    damage: str, site: Site, tmp_path: Path
) -> None:
    store = storage.normalise(str(tmp_path))
    published(store, "pit")
    night = manifest(camera="old", night=NIGHT) | {"camera": {"id": "old", "rate": "many"}}
    storage.write(stored.manifest_url(store, "old", NIGHT), stored.sealed(night) if damage == "camera" else b"none")
    evaluate.draw(NIGHT, site, store, [], {})
    assert set(verdicts(tmp_path)) == {"pit", "hall", "gate"}


def test_a_copy_of_a_cameras_folder_is_told_and_counts_for_no_second_camera(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = storage.normalise(str(tmp_path))
    published(store, "pit")
    shutil.copytree(tmp_path / "enhanced/pit", tmp_path / "enhanced/pit.bak")
    evaluate.draw(NIGHT, site, store, [], {})
    cameras = pd.read_csv(tmp_path / "reports" / NIGHT / "cameras.csv")["camera"].tolist()
    assert sorted(cameras) == ["gate", "hall", "pit"]
    assert "pit.bak" in caplog.text
    assert "it is that of pit; name the folder so" in caplog.text


@pytest.mark.parametrize("flow", [evaluate.evaluate, evaluate.report], ids=["evaluate", "report"])
def test_a_store_that_is_not_there_gets_no_report_of_nights_that_nobody_restored(flow: Any, tmp_path: Path) -> None:
    described = tmp_path / "cameras.toml"
    described.write_text(SITE)
    with pytest.raises(FileNotFoundError, match="nas: not there; mount it"):
        flow.fn(NIGHT, str(described), str(tmp_path / "nas"))
    assert not (tmp_path / "nas").exists()
