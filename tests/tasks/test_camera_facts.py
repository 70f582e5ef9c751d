"""A camera's nights as facts: what the store holds is what the row says, and one broken night stops no other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from tasks import models, storage, store
from tasks.aggregate import camera_summary
from tasks.camera_facts import FactsJob, camera_facts
from tasks.evidence import kept_pictures, with_pictures
from tasks.facts import read_facts, scene_url, write_facts
from tasks.findings import Finding
from tasks.health import HealthSettings
from tasks.picture import jpeg
from tasks.plan import plan_night
from tasks.publish import publish
from tasks.settings import SynthesisSettings
from tasks.synthesised import daylight_key, find_daylight
from tests.tasks.made_facts import made_row
from tests.tasks.night import CAMERA, NIGHT, Frames, Site, enhance, film, make_site, pictures, run_night, write_clip

NEXT = "2026-01-16"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A published night, only to be looked at."""
    site = make_site(tmp_path_factory.mktemp("night"))
    site.run()
    return site


def job(site: Site, *nights: str, **changes: Any) -> FactsJob:
    return replace(FactsJob(CAMERA, nights or (NIGHT,), site.store, site.settings), **changes)


def row(site: Site, **changes: Any) -> pd.Series[Any]:
    assert [o.status for o in camera_facts(job(site, **changes))] == ["written"]
    facts = read_facts(site.store)
    assert len(facts) == 1
    return facts.iloc[0]


def test_the_row_is_what_the_store_holds(site: Site) -> None:
    manifest, facts = site.manifest(), row(site)
    for name in ("night", "run", "frames", "slots", "coverage"):
        assert facts[name] == manifest[name]
    assert (facts["model"], facts["model_sha"]) == (manifest["model"]["name"], manifest["model"]["sha256"])
    quality = store.read_quality(manifest["frames_url"].removesuffix("/frames.zarr"))
    assert facts["sharpness_after"] == pytest.approx(quality["sharpness_after"].mean())
    assert facts["brightness_before"] == pytest.approx(quality["brightness_before"].mean())


def test_gaps_are_the_stretches_without_a_frame(site: Site) -> None:
    facts = row(site)
    assert facts["gaps_s"] == pytest.approx(2.0)
    assert facts["longest_gap"] == "22:00:02–22:00:04"
    assert facts["missing"] == pytest.approx(2 / 7)


def test_signs_are_measured_on_the_kept_pictures(site: Site) -> None:
    facts = row(site)
    assert 0 <= facts["flat"] <= 1
    assert facts["colour"] > 0
    assert facts["frozen_s"] == 0
    assert facts["typical_slot"] in range(35)


def test_kept_pictures_are_spread_over_the_night(site: Site) -> None:
    manifest = site.manifest()
    quality = store.read_quality(manifest["frames_url"].removesuffix("/frames.zarr"))
    everything, few = (kept_pictures(manifest, quality, most) for most in (1000, 3))
    assert len(everything) > 5
    assert len(few) == 3
    assert few["slot"].iloc[[0, -1]].tolist() == everything["slot"].iloc[[0, -1]].tolist()


def test_evaluating_again_changes_nothing(site: Site) -> None:
    pd.testing.assert_series_equal(row(site), row(site))


def test_a_finding_is_shown_by_the_picture_of_its_slot(site: Site) -> None:
    slot = float(row(site)["typical_slot"])
    shown = with_pictures(
        [Finding("pit", "moved", "attention", {"slot": slot}), Finding("pit", "clock_drift", "attention", {})],
        store.Manifests(site.store, NIGHT),
    )  # fmt: skip
    assert cv2.imdecode(np.frombuffer(shown[0].picture, np.uint8), cv2.IMREAD_COLOR) is not None
    assert shown[1].picture == b""


@pytest.mark.parametrize("damage", [b"null", b"[]", b""])
def test_a_picture_that_is_damaged_costs_its_finding_the_picture_alone(
    site: Site, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(site.folder / "enhanced", tmp_path / "enhanced")
    for group in tmp_path.rglob("frames.zarr/zarr.json"):
        group.write_bytes(damage)
    finding = Finding("pit", "moved", "attention", {"slot": 0.0})
    assert with_pictures([finding], store.Manifests(f"file://{tmp_path}", NIGHT)) == [finding]
    assert "no picture for a finding" in caplog.text


def test_without_daylight_there_are_no_figures_of_the_synthesised_night(site: Site) -> None:
    facts = row(site)
    assert np.isnan(facts[["psnr", "ssim", "mae", "lpips"]].astype(float)).all()
    assert facts["reference_count"] == 0


def test_with_daylight_there_are(site: Site, tmp_path: Path) -> None:
    for k in range(2):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.random.default_rng(k).integers(90, 255, (60, 80, 3), np.uint8))
    sunny = replace(CAMERA, daylight=str(tmp_path))
    facts = row(site, camera=sunny, synthesis=SynthesisSettings(width=64))
    assert facts["reference_count"] == 2
    assert 3 < facts["psnr"] < 40
    assert -1 <= facts["ssim"] <= 1
    assert 0 < facts["mae"] < 1


def test_the_model_in_production_has_figures_of_the_synthesised_night(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    version = models.add_version(site.store, Path(site.settings.checkpoint), NEXT).name
    models.promote(site.store, version, "me", NEXT, "the same weights as the night's")
    cv2.imwrite(str(tmp_path / "day.png"), np.random.default_rng(0).integers(90, 255, (60, 80, 3), np.uint8))
    facts = row(
        site,
        camera=replace(CAMERA, daylight=str(tmp_path / "day.png")),
        settings=replace(site.settings, checkpoint=models.PRODUCTION),
        synthesis=SynthesisSettings(width=64),
    )
    assert facts["reference_count"] == 1
    assert facts["psnr"] > 0


def test_an_empty_production_costs_its_figures_alone(tmp_path: Path, site: Site) -> None:
    cv2.imwrite(str(tmp_path / "day.png"), np.random.default_rng(0).integers(90, 255, (60, 80, 3), np.uint8))
    store_without = f"file://{tmp_path}/store"
    shutil.copytree(site.folder / "enhanced", tmp_path / "store" / "enhanced")
    settings = replace(site.settings, checkpoint=models.PRODUCTION)
    camera = replace(CAMERA, daylight=str(tmp_path / "day.png"))
    facts = row(site._replace(store=store_without), camera=camera, settings=settings)
    assert facts["reference_count"] == 0


def test_figures_under_another_model_are_not_taken_over(site: Site, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "day.png"), np.random.default_rng(0).integers(90, 255, (60, 80, 3), np.uint8))
    shutil.copytree(site.folder / "enhanced", tmp_path / "store" / "enhanced")
    synthesis, before = SynthesisSettings(width=64), {"night": "2026-01-14", "psnr": 50.0, "reference_count": 1}
    key = daylight_key(find_daylight(str(tmp_path / "day.png")), synthesis)
    url = f"file://{tmp_path}/store"
    write_facts(url, made_row("pit", model_sha="another", reference_key=key, **before))
    sunny = replace(CAMERA, daylight=str(tmp_path / "day.png"))
    camera_facts(job(site._replace(store=url), camera=sunny, synthesis=synthesis))
    assert read_facts(url).set_index("night").loc[NIGHT, "psnr"] < 40


def test_slots_are_those_whose_pictures_show_a_sign_most(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(40, 200, (96, 128, 3)).astype(np.uint8)
    flat, white, black = (np.full_like(noise, level) for level in (90, 255, 0))
    white[:40], black[:40] = noise[:40], noise[:40]
    shown = pd.DataFrame({"slot": [3, 5, 7, 9], "before_jpeg": [jpeg(p, 128) for p in (noise, flat, white, black)]})
    monkeypatch.setattr("tasks.camera_facts.kept_pictures", lambda *_: shown)
    shutil.copytree(site.folder / "enhanced", tmp_path / "enhanced")
    facts = row(site._replace(store=f"file://{tmp_path}"))
    assert [facts[f"{name}_slot"] for name in ("flat", "blown", "dark", "typical")] == [5, 7, 9, 7]
    assert facts["covered_share"] == 0.25


def test_figures_that_only_lack_lpips_are_not_lost_where_the_model_is_another_by_now(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "day.png"), np.random.default_rng(0).integers(90, 255, (60, 80, 3), np.uint8))
    sunny = replace(CAMERA, daylight=str(tmp_path / "day.png"))
    monkeypatch.setattr("tasks.synthesised.load_perceptual", lambda _: None)
    before = row(site, camera=sunny, synthesis=SynthesisSettings(width=64))
    assert np.isnan(before["lpips"])
    assert before["psnr"] > 0
    monkeypatch.setattr("tasks.synthesised.load_perceptual", lambda _: torch.nn.MSELoss())  # its weights were installed
    promoted = replace(site.settings, checkpoint="small")
    after = row(site, camera=sunny, synthesis=SynthesisSettings(width=64), settings=promoted)
    pd.testing.assert_series_equal(after, before)


def test_a_daylight_that_is_gone_costs_its_figures_alone(site: Site, tmp_path: Path) -> None:
    facts = row(site, camera=replace(CAMERA, daylight=str(tmp_path / "gone")))
    assert facts["reference_count"] == 0
    assert facts["frames"] == 25


def two_nights(root: Path, first: Frames, second: Frames) -> Site:
    """Two published nights of one camera."""
    site = make_site(root, ())
    site = site._replace(settings=replace(site.settings, preview_width=first.shape[2]))
    for night, frames in ((NIGHT, first), (NEXT, second)):
        write_clip(root / "archive/pit" / night / "220000.mp4", frames)
        plan = plan_night(CAMERA, night, site.archive, site.store, site.settings)
        enhance(plan, site.settings)
        publish(plan, site.store, site.settings)
    return site


def scene(shift: int = 0, count: int = 30) -> Frames:
    """A still scene of boxes under a sensor's noise, shifted sideways by some pixels."""
    rng = np.random.default_rng(3)
    wide = np.full((96, 200, 3), 40, np.uint8)
    for _ in range(80):
        x, y, w, h = (int(rng.integers(0, m)) for m in (200, 96, 24, 24))
        cv2.rectangle(wide, (x, y), (x + w, y + h), [int(v) for v in rng.integers(0, 220, 3)], -1)
    still = wide[None, :, 30 + shift : 158 + shift]
    return (still + rng.normal(0, 3, (count, *still.shape[1:]))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_broken_night_stops_no_other(harm: str, tmp_path: Path) -> None:
    site = two_nights(tmp_path, pictures(20), pictures(20))
    rows = Path(site.manifest()["frames_url"].removeprefix("file://")).parent / "quality.parquet"
    rows.write_bytes(b"damaged")
    if harm == "gone":  # which is no night without a frame
        rows.unlink()
    outcomes = camera_facts(job(site, NIGHT, NEXT, "2026-01-17"))
    assert [(o.night, o.status) for o in outcomes] == [
        (NIGHT, "failed"), (NEXT, "written"), ("2026-01-17", "not published"),
    ]  # fmt: skip
    assert "quality.parquet" in outcomes[0].reason
    assert read_facts(site.store)["night"].tolist() == [NEXT]


@pytest.mark.parametrize(("harm", "traced"), [("damage", False), ("a mistake of ours", True)])
def test_a_night_that_says_what_is_wrong_with_it_needs_no_traceback(
    site: Site, harm: str, traced: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> pd.DataFrame:
        raise AttributeError(harm) if traced else store.StoreError(harm)

    monkeypatch.setattr(store, "read_quality", fails)
    (outcome,) = camera_facts(job(site))
    assert outcome.reason == harm
    assert ("Traceback" in caplog.text) == traced


def test_a_frozen_night_is_measured_as_such(tmp_path: Path) -> None:
    site = two_nights(tmp_path, scene(), np.repeat(scene(count=1), 60, 0))
    camera_facts(job(site, NIGHT, NEXT))
    facts = read_facts(site.store).set_index("night")
    assert facts.loc[NIGHT, "frozen_s"] == 0
    assert facts.loc[NEXT, "frozen_s"] >= 1.5
    assert facts.loc[NEXT, "frozen_at"].startswith("22:00:0")
    findings = camera_summary(read_facts(site.store), NEXT, settings=HealthSettings(frozen_s=1.5))["findings"][0]
    assert [f.kind for f in findings if f.severity == "bad"] == ["frozen"]


def test_a_covered_night_is_measured_as_such(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(30, 2, (30, 96, 128, 3)).clip(0, 255).astype(np.uint8)
    site = two_nights(tmp_path, scene(), noise)
    camera_facts(job(site, NIGHT, NEXT))
    facts = read_facts(site.store).set_index("night")
    assert facts.loc[NIGHT, "covered_share"] == 0
    assert facts.loc[NEXT, "covered_share"] == 1


@pytest.mark.parametrize(("shift", "moved"), [(0, False), (10, True)])
def test_a_night_is_compared_with_the_still_scene_of_the_one_before(tmp_path: Path, shift: int, moved: bool) -> None:
    site = two_nights(tmp_path, scene(), scene(shift))
    camera_facts(job(site, NIGHT, NEXT))
    assert storage.exists(scene_url(site.store, "pit", NIGHT))
    facts = read_facts(site.store).set_index("night")
    assert facts.loc[NIGHT, "moved_since"] == ""
    assert facts.loc[NEXT, "moved_since"] == NIGHT
    assert facts.loc[NEXT, "moved"] == pytest.approx(shift / 128, abs=0.01)
    kinds = [f.kind for f in camera_summary(read_facts(site.store), NEXT)["findings"][0]]
    assert ("moved" in kinds) == moved


def test_a_still_scene_that_is_empty_costs_the_comparison_alone(tmp_path: Path) -> None:
    site = two_nights(tmp_path, scene(), scene(10))
    camera_facts(job(site, NIGHT))
    storage.write(scene_url(site.store, "pit", NIGHT), b"")
    assert [o.status for o in camera_facts(job(site, NEXT))] == ["written"]
    assert np.isnan(read_facts(site.store).set_index("night").loc[NEXT, "moved"])


def test_a_late_night_corrects_its_row(tmp_path: Path) -> None:
    site = make_site(tmp_path, (20,))
    site.run()
    camera_facts(job(site))
    before = read_facts(site.store).iloc[0]
    shutil.rmtree(tmp_path / "archive")
    film(tmp_path / "archive")
    run_night(site.archive, site.store, site.settings)
    camera_facts(job(site))
    after = read_facts(site.store)
    assert len(after) == 1
    assert after.iloc[0]["frames"] > before["frames"]
    assert after.iloc[0]["run"] != before["run"]
