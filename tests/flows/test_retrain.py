"""Retraining: a real fine-tuning of two steps, a better model promoted, a worse one kept out, both recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lednet import checkpoint
from lednet.clips import ClipError
from lednet.degrade import RECIPES, RecipeError
from lednet.model import SIZES
from lednet.train_settings import Stage, TrainSettings
from lednet.trainer import Trainer
from tasks import finetune, kept_training, listing, models, storage
from tasks.footage import FootageClip, list_footage
from tasks.listing import Entry
from tasks.promotion import Decision, Difference
from tasks.settings import LearnSettings, NightSettings
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


def offered(retrain: Retrain, monkeypatch: pytest.MonkeyPatch, folder: Path, gain: float) -> Decision:
    """What a retraining decides that makes such a model."""
    candidate(monkeypatch, folder / f"{gain}.safetensors", gain=gain)
    return retrain()


def test_a_model_that_is_better_still_takes_the_place_of_the_last(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (offered(retrain, monkeypatch, tmp_path, gain) for gain in (0.6, 0.8))
    assert second.promote, second.why
    assert [p.version for p in models.read_production(store).history] == [first.old, first.new, second.new]


def test_a_worse_model_is_kept_out_and_the_reason_stands_beside_it(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = (offered(retrain, monkeypatch, tmp_path, gain) for gain in (0.8, 0.1))
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


def test_a_model_that_is_left_to_people_is_not_told_as_promoted(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    decision = retrain(promote=False)
    recorded = models.read_version(store, decision.new).decision
    assert recorded is not None
    assert decision.why == recorded["why"]
    assert decision.why.startswith("would be promoted: better")


def test_nights_that_go_on_with_another_model_than_the_promoted_one_are_told(
    retrain: Retrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    site = tmp_path / "cameras.toml"
    with caplog.at_level("WARNING", "lednet"):
        assert retrain().promote
    assert f"nights go on with checkpoint = {tmp_path}/start.safetensors of {site}" in caplog.text
    caplog.clear()
    site.write_text(site.read_text().replace(f"{tmp_path}/start.safetensors", "production"))
    candidate(monkeypatch, tmp_path / "best.safetensors", gain=0.95)
    with caplog.at_level("WARNING", "lednet"):
        retrain()
    assert "nights go on" not in caplog.text


def test_steps_given_by_name_come_before_those_of_the_site(
    retrain: Retrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    made = save_model(tmp_path / "better.safetensors", gain=0.8)
    monkeypatch.setattr(finetune, "fine_tune", lambda *given: (steps.append(given[3].steps), (made, []))[1])
    retrain(steps=7, promote=False)
    retrain(promote=False)
    assert steps == [7, 2]


def test_a_trainings_state_is_kept_until_the_new_version_is_stored(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = models.add_version(store, tmp_path / "start.safetensors", "2026-01-15")
    models.promote(store, start.name, "me", "2026-01-15", "test")
    state = storage.join(kept_training.states_url(store), "a-cpu.pt")
    storage.write(state, b"state")

    def full(url: str, *_: object) -> models.Version:
        raise storage.StorageError(f"{url}: no space left")

    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    monkeypatch.setattr(models, "add_version", full)
    with pytest.raises(storage.StorageError, match="no space left"):
        retrain()
    assert storage.read(state) == b"state"


def test_a_held_out_clip_that_cannot_be_read_is_told_beside_the_decision(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = list_footage([str(tmp_path / "gopro")])
    broken = finetune.divide(clips, card(), LEARN).held_out[0].sources[0].url
    Path(broken.removeprefix("file://")).write_bytes(b"no video")
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    recorded = models.read_version(store, retrain().new).decision
    assert recorded is not None
    assert [told.partition(": ")[0] for told in recorded["unreadable"]] == sorted([broken, "file:///x.mp4"])


def test_a_model_is_not_put_in_place_of_one_that_it_was_not_compared_with(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.6)
    retrain()
    other = models.add_version(store, save_model(tmp_path / "other.safetensors", 9, gain=0.9), "2026-01-15")
    made = save_model(tmp_path / "best.safetensors", gain=0.8)

    def while_another_is_promoted(*_: object) -> tuple[Path, list[Problem]]:
        models.promote(store, other.name, "me", "2026-01-15", "by hand")
        return made, []

    monkeypatch.setattr(finetune, "fine_tune", while_another_is_promoted)
    with pytest.raises(models.ModelError, match="not promoted, since production became"):
        retrain()
    assert models.read_production(store).version == other.name
    refused = next(v for v in models.read_versions(store)[0] if v.card.sha256 == checkpoint.read_card(made).sha256)
    assert refused.decision is not None
    assert refused.decision["why"].startswith(f"kept: {refused.name}: not promoted, since production became")
    assert not refused.decision["promote"]


def test_the_flows_page_says_the_decision_and_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import retrain as flow

    pages: list[str] = []
    monkeypatch.setattr(flow, "create_markdown_artifact", lambda page, key: pages.append(page))
    flow.told(Decision(True, "promoted", "a", "b", Difference("all clips", 20.0, 21.5, 1.5, 0.25, 2.75)))
    flow.told(Decision(False, "kept", "a", "", None))
    assert pages[0].splitlines()[0] == "promoted"
    assert pages[0].splitlines()[-1] == "| all clips | 20.00 | 21.50 | +1.50 | 0.25 to 2.75 |"
    assert pages[1] == "kept"


def test_the_flows_page_does_not_show_a_gain_between_equal_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import retrain as flow

    pages: list[str] = []
    monkeypatch.setattr(flow, "create_markdown_artifact", lambda page, key: pages.append(page))
    flow.told(Decision(True, "promoted", "a", "b", Difference("all clips", 25.0051, 25.0141, 0.009, 0.006, 0.012)))
    assert pages[0].splitlines()[-1] == "| all clips | 25.0051 | 25.0141 | +0.0090 | 0.0060 to 0.0120 |"


def test_a_real_fine_tuning_knows_what_it_was_made_from_and_has_its_figures(
    retrain: Retrain, store: str, tmp_path: Path
) -> None:
    decision = retrain(promote=False)
    new, old = (models.read_version(store, v) for v in (decision.new, decision.old))
    assert new.card.training["steps_done"] == 2
    assert new.card.training["settings"]["init"] == old.card.sha256
    divided = finetune.divide(list_footage([str(tmp_path / "gopro")]), old.card, LEARN)
    assert new.card.trained_clips() == {c.name for c in divided.training}
    assert new.card.validation["recipes"]["night"]["psnr_lednet"] > 0
    assert checkpoint.load(models.fetch(new.url))
    assert listing.names(kept_training.states_url(store)) == []
    assert retrain(promote=False) == decision  # nothing is trained or stored again
    assert models.version_names(store) == sorted({decision.old, decision.new})


def test_a_decided_retraining_is_known_from_the_store_alone(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = retrain(promote=False)
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "of a new container"))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", lambda *_: pytest.fail("trained all the same"))
        assert retrain(promote=False) == decision
    assert models.version_names(store) == sorted({decision.old, decision.new})


def test_a_retraining_whose_version_is_damaged_is_done_again(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = retrain(promote=False)
    storage.write(storage.join(models.version_url(store, first.new), "model.safetensors"), b"half")
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "of a new container"))
    assert retrain(promote=False).new == first.new
    assert models.fetch(models.version_url(store, first.new))


def test_other_settings_make_a_retraining_of_their_own(retrain: Retrain) -> None:
    assert retrain(promote=False).new != retrain(promote=False, steps=3).new


def own_recipe(tmp_path: Path, text: str = "gain = [0.3, 0.4]\ngamma = [1.0, 1.2]\n") -> Path:
    """A recipe beside cameras.toml, which names it."""
    path, site = tmp_path / "dusty.toml", tmp_path / "cameras.toml"
    path.write_text(text)
    site.write_text(site.read_text().replace('"night,paper"', '"dusty.toml"'))
    return path


def test_a_recipe_of_ones_own_is_trained_on_and_judged_by(retrain: Retrain, store: str, tmp_path: Path) -> None:
    path = own_recipe(tmp_path)
    decision = retrain(promote=False)
    training = models.read_version(store, decision.new).card.training
    assert training["recipes"][str(path)]["gain"] == [0.3, 0.4]
    assert decision.overall is not None


def test_a_recipe_that_was_edited_makes_a_retraining_of_its_own(retrain: Retrain, tmp_path: Path) -> None:
    path = own_recipe(tmp_path)
    first = retrain(promote=False)
    path.write_text(path.read_text().replace("0.4", "0.5"))
    assert retrain(promote=False).new != first.new


def test_a_wrong_recipe_is_told_before_footage_is_listed(
    retrain: Retrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_recipe(tmp_path, "gain = 1\n")
    monkeypatch.setattr(listing, "find", None)
    with pytest.raises(RecipeError, match=rf"recipes of \[learn\]: {path}: gain must be a range \[low, high\]"):
        retrain()


def test_a_held_out_clip_that_lednet_train_knew_by_its_files_name_does_not_judge() -> None:
    clips = clips_of("pit", clips=6)
    held = finetune.divide(clips, card(), LEARN).held_out[0]
    files = [s.url.rpartition("/")[2].removesuffix(".MP4") for s in held.sources]
    assert held.name not in files
    assert held not in finetune.divide(clips, card({"clips": files}), LEARN).held_out
    assert held not in finetune.held_out_of(clips, [card(), card({"clips": files})], LEARN).held_out


def test_a_clip_of_the_same_files_name_as_one_of_lednet_train_is_still_learnt() -> None:
    clips = clips_of("pit")
    assert finetune.nothing_new(card({"clips": ["0", "1"]}), clips, replace(LEARN, frames_per_clip=1)) == ""


def test_a_fine_tuned_model_knows_every_leg_of_the_one_that_it_started_from(
    retrain: Retrain, store: str, tmp_path: Path
) -> None:
    known = models.add_version(store, save_model(tmp_path / "a.safetensors", 5, clips=("elsewhere",)), "2026-01-15")
    models.promote(store, known.name, "me", "2026-01-15", "test")
    card = models.read_version(store, retrain(promote=False).new).card
    assert "elsewhere" in card.trained_clips()
    assert list(card.legs())[1:] == list(known.card.legs())


def test_footage_that_production_knows_makes_no_new_model(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tuple(c.name for c in list_footage([str(tmp_path / "gopro")]))
    known = models.add_version(store, save_model(tmp_path / "known.safetensors", 5, clips=clips), "2026-01-15")
    models.promote(store, known.name, "me", "2026-01-15", "test")
    monkeypatch.setattr(finetune, "fine_tune", lambda *_: pytest.fail("trained all the same"))
    assert "knows all" in retrain().why


def test_a_model_trained_on_all_but_the_held_out_clips_is_not_trained_again(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As each retraining leaves it: the footage has not changed since.
    clips = finetune.divide(list_footage([str(tmp_path / "gopro")]), card(), LEARN).training
    path = save_model(tmp_path / "known.safetensors", 5, clips=tuple(c.name for c in clips))
    models.promote(store, models.add_version(store, path, "2026-01-15").name, "me", "2026-01-15", "test")
    monkeypatch.setattr(finetune, "fine_tune", lambda *_: pytest.fail("trained all the same"))
    assert "knows all" in retrain().why


def test_a_clip_that_was_filmed_anew_under_an_old_name_makes_a_new_model(
    retrain: Retrain, store: str, tmp_path: Path
) -> None:
    first = retrain(promote=False)
    models.promote(store, first.new, "me", "2026-01-15", "test")
    assert "knows all" in retrain().why
    clips = finetune.divide(list_footage([str(tmp_path / "gopro")]), card(), LEARN).training
    filmed(Path(clips[0].sources[0].url.removeprefix("file://")), seed=9)
    again = retrain(promote=False)
    assert again.new not in ("", first.new)
    assert again.old == first.new


def test_a_clip_that_cannot_be_read_is_no_reason_to_train_again_until_it_is_mended(
    retrain: Retrain, store: str, tmp_path: Path
) -> None:
    broken = finetune.divide(list_footage([str(tmp_path / "gopro")]), card(), LEARN).training[0].sources[0].url
    path = Path(broken.removeprefix("file://"))
    path.write_bytes(b"no video")
    first = retrain(promote=False)
    models.promote(store, first.new, "me", "2026-01-15", "test")
    again = retrain()
    assert (again.new, again.old) == ("", first.new)
    assert f"knows all clips that can be read; mend or remove the others ({broken}: not a readable video" in again.why
    filmed(path, seed=9)
    assert retrain(promote=False).new not in ("", first.new)


def test_footage_of_which_nothing_can_be_read_is_an_error_and_no_decision(retrain: Retrain, tmp_path: Path) -> None:
    for path in (tmp_path / "gopro").rglob("*.MP4"):
        path.write_bytes(b"no video")
    with pytest.raises(ClipError, match="none of 2 clips can be read"):
        retrain()


def test_clips_that_the_old_model_was_trained_on_never_judge_it(tmp_path: Path, retrain: Retrain) -> None:
    clips = list_footage([str(tmp_path / "gopro")])
    path = save_model(tmp_path / "known.safetensors", 5, clips=tuple(c.name for c in clips if c.camera == "pit"))
    divided = finetune.divide(clips, checkpoint.read_card(path), LEARN)
    assert {c.camera for c in divided.held_out} == {"silo"}
    assert divided.new_cameras == {"silo"}


def clips_of(*cameras: str, clips: int = 2) -> list[FootageClip]:
    """Footage of so many clips a camera, which is not there: names alone."""
    return [
        FootageClip(f"{camera}-{k}", camera, (Entry(f"file:///{camera}/{k}.MP4", 9, f"{camera} {k}"),))
        for camera in cameras
        for k in range(clips)
    ]


def card(training: dict[str, Any] | None = None, validation: dict[str, Any] | None = None) -> checkpoint.Card:
    """Of a model that knows these clips."""
    return checkpoint.Card("old", "0" * 64, {}, training or {}, validation or {})


def test_a_camera_whose_clips_the_old_model_was_only_judged_by_is_not_new() -> None:
    old = card({"clips": ["pit-0"]}, {"clips": ["silo-1"]})
    assert finetune.divide(clips_of("pit", "silo", "gate"), old, LEARN).new_cameras == {"gate"}


def test_footage_that_is_all_held_out_is_nothing_to_train_on() -> None:
    clips = [replace(clip, data_set_split="test") for clip in clips_of("pit")]
    with pytest.raises(ClipError, match="2 clips, all of them held out: nothing to train on; film more"):
        finetune.divide(clips, card(), LEARN)


@pytest.mark.parametrize("knows", [0, 1])
def test_two_models_are_compared_on_what_neither_was_trained_on(knows: int) -> None:
    clips = clips_of("pit", "silo")
    held = [clip.name for clip in finetune.divide(clips, card(), LEARN).held_out]
    assert len(held) == 2
    cards = [card(), card()]
    cards[knows] = card({"clips": held[:1]})
    assert [clip.name for clip in finetune.held_out_of(clips, cards, LEARN).held_out] == held[1:]


def test_figures_tell_each_clips_camera_whether_it_is_new_and_what_could_not_be_read(tmp_path: Path) -> None:
    for k, name in enumerate(("pit/GX010119", "silo/GX010119", "silo/GX010120")):
        filmed(tmp_path / f"gopro/{name}.MP4", seed=k)
    (tmp_path / "gopro/silo/GX010120.MP4").write_bytes(b"no video")
    footage = finetune.Footage((), tuple(list_footage([str(tmp_path / "gopro")])), frozenset({"silo"}))
    dark, bright = (save_model(tmp_path / f"{gain}.safetensors", gain=gain) for gain in (0.3, 0.8))
    figures, problems = finetune.compare(dark, bright, footage, replace(LEARN, recipes="paper"))
    assert [(f.camera, f.new_camera) for f in figures] == [("pit", False), ("silo", True)]
    assert all(max(f.old) < min(f.new) for f in figures)
    assert [p.url.rpartition("/")[2] for p in problems] == ["GX010120.MP4"]


CHANGES: list[dict[str, Any]] = [
    {"clip_mb": 5}, {"all_clips_mb": 5}, {"frames_per_clip": 5}, {"high_speed_frames": 5}, {"vgg": "vgg.pt"},
    {"steps": 5}, {"seed": 5}, {"learning_rate": 0.5}, {"batch_scale": 5}, {"recipes": "paper"},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=[next(iter(change)) for change in CHANGES])
def test_what_decides_a_training_gives_it_a_folder_of_its_own(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(settings: LearnSettings) -> str:
        return finetune._run_key(footage, settings, finetune.train_settings(settings, known))

    monkeypatch.setitem(SIZES, "tiny", TINY)
    known = replace(card(), config=asdict(TINY))
    footage = finetune.divide(clips_of("pit"), known, LEARN)
    assert key(replace(LEARN, **change)) != key(LEARN)
    assert key(replace(LEARN, judged_pairs=5, device="cuda")) == key(LEARN)


def test_a_recipe_of_other_numbers_gives_a_training_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    footage = finetune.divide(clips_of("pit"), card(), LEARN)
    before = finetune._run_key(footage, LEARN, TrainSettings())
    monkeypatch.setitem(RECIPES, "night", replace(RECIPES["night"], gain=(0.1, 0.2)))
    assert finetune._run_key(footage, LEARN, TrainSettings()) != before


def test_footage_that_changed_gives_a_training_a_folder_of_its_own() -> None:
    clips = clips_of("pit", "silo")
    sets = [clips]  # and with each of them changed, those held out too: the card tells figures on them
    for k, clip in enumerate(clips):
        changed = replace(clip, sources=(replace(clip.sources[0], etag="filmed anew"),))
        sets.append([*clips[:k], changed, *clips[k + 1 :]])
    assert finetune.divide(clips, card(), LEARN).held_out
    keys = {finetune._run_key(finetune.divide(c, card(), LEARN), LEARN, TrainSettings()) for c in sets}
    assert len(keys) == len(sets)


@pytest.mark.parametrize("configured", ["small", models.PRODUCTION])
def test_the_first_retraining_starts_from_the_sites_checkpoint_or_the_shipped_one(store: str, configured: str) -> None:
    from flows.retrain import started_from

    start = started_from(store, NightSettings(checkpoint=configured))
    assert start.card.sha256 == checkpoint.read_card(checkpoint.locate("small")).sha256
    assert models.read_production(store).version == ""


def test_footage_given_by_name_comes_beside_that_of_the_site(
    retrain: Retrain, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filmed(tmp_path / "more/gate/GX010119.MP4", seed=7)
    candidate(monkeypatch, tmp_path / "better.safetensors", gain=0.8)
    seen: list[finetune.Footage] = []
    compare = finetune.compare
    monkeypatch.setattr(
        finetune, "compare", lambda a, b, divided, s: (seen.append(divided), compare(a, b, divided, s))[1]
    )
    retrain(footage=[str(tmp_path / "more")])
    assert {c.camera for c in (*seen[0].training, *seen[0].held_out)} == {"gate", "pit", "silo"}


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
        finetune.fine_tune(start, divided, little, finetune.train_settings(little, card), "store")
