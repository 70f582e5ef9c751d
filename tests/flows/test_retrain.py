"""Retraining: a real fine-tuning of two steps, a better model promoted, a worse one kept out, both recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lednet import checkpoint
from lednet.clips import ClipError
from lednet.model import SIZES
from lednet.train_settings import Stage, TrainSettings
from tasks import finetune, models, storage
from tasks.footage import list_footage
from tasks.promotion import Decision
from tasks.types import Problem
from tests.tasks.learning import LEARN, TINY, filmed, save_model

SITE = """
[settings]
checkpoint = "{start}"

[learn]
footage = "{footage}"
recipes = "night,paper"
frames_per_clip = 4
steps = 2
judged_pairs = 3
judged_crop = 32
resamples = 300
least_clips = 2
device = "cpu"

[[camera]]
id = "pit"
name = "Pit"
scene = "outdoor"
timezone = "UTC"
pattern = "pit/%Y%m%d_%H%M%S.mp4"
rate = 5
"""

Retrain = Callable[..., Decision]


@pytest.fixture
def store(tmp_path: Path) -> str:
    return storage.normalise(str(tmp_path / "store"))


@pytest.fixture
def retrain(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Retrain:
    """The flow's function on a site of two cameras with two clips each, starting from a tiny, too dark model."""
    from flows import retrain as flow

    quick = finetune.train_settings

    def tiny_steps(*given: Any) -> TrainSettings:
        return replace(
            quick(*given), stages=(Stage(1.0, 32, 32, 1),), validation_pairs=4, validation_crop=32, gamma_pairs=16
        )

    monkeypatch.setitem(SIZES, "tiny", TINY)
    monkeypatch.setattr(finetune, "train_settings", tiny_steps)
    monkeypatch.setattr(flow, "create_markdown_artifact", lambda *a, **k: None)
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    for k, name in enumerate(("pit/GX010119", "pit/GX010120", "silo/GX010119", "silo/GX010120")):
        filmed(tmp_path / f"gopro/{name}.MP4", seed=k)
    start = save_model(tmp_path / "start.safetensors", gain=0.4)
    site = tmp_path / "cameras.toml"
    site.write_text(SITE.format(start=start, footage=tmp_path / "gopro"))

    def run(**options: Any) -> Decision:
        return flow.retrain.fn(site=str(site), store_url=store, **options)

    return run


def candidate(monkeypatch: pytest.MonkeyPatch, path: Path, **options: Any) -> None:
    """In place of training: a model that is known to be better or worse."""
    made = save_model(path, **options)
    monkeypatch.setattr(finetune, "fine_tune", lambda *_: (made, [Problem("file:///x.mp4", "empty")]))


def test_a_better_model_is_promoted_and_can_be_rolled_back(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    decision = retrain()
    assert decision.promote, decision.why
    now = models.read_production(store)
    assert now.version == decision.new
    assert [p.version for p in now.history] == [decision.old, decision.new]
    assert now.history[-1].why == decision.why
    recorded = models.read_version(store, decision.new).decision
    assert recorded is not None
    assert recorded["why"] == decision.why
    assert recorded["unreadable"] == ["file:///x.mp4: empty"]
    assert len(decision.cameras) == len(decision.clips) == 2
    assert models.rollback(store, "me", "2026-01-16", "it flickers").version == decision.old
    again = retrain()  # which makes the same model anew
    assert not again.promote
    assert "was rolled back by me (it flickers)" in again.why
    assert models.read_production(store).version == decision.old


def test_a_worse_model_is_kept_out_and_the_reason_stands_beside_it(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    good = retrain()
    candidate(monkeypatch, tmp_path / "worse.safetensors", gain=0.1)
    bad = retrain()
    assert not bad.promote
    assert bad.old == good.new
    assert "clearly worse" in bad.why
    assert models.read_production(store).version == good.new
    recorded = models.read_version(store, bad.new).decision
    assert recorded is not None
    assert recorded["why"] == bad.why


def test_a_promotion_can_be_left_to_people(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    assert retrain(promote=False).promote
    assert models.read_production(store).version == ""


def test_a_real_fine_tuning_knows_what_it_was_made_from_and_has_its_figures(
    retrain: Retrain, store: str, tmp_path: Path
) -> None:
    decision = retrain(promote=False)
    new, old = (models.read_version(store, v) for v in (decision.new, decision.old))
    assert new.card.training["steps_done"] == 2
    assert new.card.training["settings"]["init"] == old.card.sha256
    assert len(finetune.trained_clips(new.card.training)) == 2
    assert new.card.validation["recipes"]["night"]["psnr_lednet"] > 0
    assert checkpoint.load(models.fetch(new.url))
    assert retrain(promote=False) == decision  # nothing is trained or stored again
    assert models.version_names(store) == sorted({decision.old, decision.new})


def test_footage_that_production_knows_makes_no_new_model(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tuple(c.name for c in list_footage([str(tmp_path / "gopro")]))
    known = models.add_version(store, save_model(tmp_path / "known.safetensors", 5, clips=clips), "2026-01-15")
    models.promote(store, known.name, "me", "2026-01-15", "test")
    monkeypatch.setattr(finetune, "fine_tune", lambda *_: pytest.fail("trained all the same"))
    assert "knows all" in retrain().why


def test_clips_that_the_old_model_was_trained_on_never_judge_it(tmp_path: Path, retrain: Retrain) -> None:
    clips = list_footage([str(tmp_path / "gopro")])
    path = save_model(tmp_path / "known.safetensors", 5, clips=tuple(c.name for c in clips if c.camera == "pit"))
    divided = finetune.divide(clips, checkpoint.read_card(path), LEARN)
    assert {c.camera for c in divided.held_out} == {"silo"}
    assert divided.new_cameras == {"silo"}


def test_no_footage_says_where_it_looked(retrain: Retrain, tmp_path: Path) -> None:
    for path in (tmp_path / "gopro").rglob("*.MP4"):
        path.unlink()
    with pytest.raises(ClipError, match=r"gopro: no clips in it"):
        retrain()


def test_too_little_memory_for_the_clips_is_named(retrain: Retrain, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    card = checkpoint.read_card(start)
    divided = finetune.divide(list_footage([str(tmp_path / "gopro")]), card, LEARN)
    little = replace(LEARN, all_clips_mb=3)
    with pytest.raises(ClipError, match="4 clips, and all_clips_mb = 3: raise it to 4 at least"):
        finetune.fine_tune(start, divided, little, finetune.train_settings(little, card))
