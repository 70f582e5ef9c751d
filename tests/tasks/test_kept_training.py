"""A retraining's state in the store: another machine, which is another cache here, goes on from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lednet import checkpoint
from lednet.clips import Clip
from lednet.model import SIZES
from lednet.train_settings import Stage
from lednet.trainer import Trainer
from tasks import finetune, kept_training, listing, storage
from tasks.decode import VideoError
from tasks.footage import FootageClip, list_footage
from tasks.settings import LearnSettings
from tests.tasks.learning import LEARN, TINY, filmed, save_model
from tests.tasks.night import s3_bucket

STEPS, SAVED = 4, 2

FineTune = Callable[[str, str], Path]


@pytest.fixture
def fine_tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FineTune:
    """A retraining of some steps on a machine of its own: (store, machine) -> the new checkpoint."""
    monkeypatch.setitem(SIZES, "tiny", TINY)
    for k in (1, 2):
        filmed(tmp_path / f"gopro/pit/GX01011{k}.MP4", seed=k)
    old = save_model(tmp_path / "old.safetensors")
    card = checkpoint.read_card(old)
    footage = finetune.divide(list_footage([str(tmp_path / "gopro")]), card, LEARN)
    plan = replace(
        finetune.train_settings(replace(LEARN, steps=STEPS), card),
        stages=(Stage(1.0, 32, 32, 1),), validation_pairs=4, validation_crop=32, gamma_pairs=16, save_every=SAVED,
    )  # fmt: skip

    def run(store: str, machine: str) -> Path:
        monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / machine))
        return finetune.fine_tune(old, footage, LEARN, plan, store)[0]

    return run


@pytest.fixture
def store(tmp_path: Path) -> str:
    return storage.normalise(str(tmp_path / "store"))


def steps_of(monkeypatch: pytest.MonkeyPatch, last: int = STEPS) -> list[int]:
    """The steps that trainers do from here on; the machine is lost where it would do more than `last`."""
    done: list[int] = []
    step = Trainer.train_step

    def counted(trainer: Trainer) -> tuple[float, float, float]:
        if trainer.step >= last:
            raise KeyboardInterrupt
        done.append(trainer.step)
        return step(trainer)

    monkeypatch.setattr(Trainer, "train_step", counted)
    return done


def interrupt(fine_tune: FineTune, store: str) -> None:
    """Lose a machine in the step after a save."""
    with pytest.MonkeyPatch.context() as patch:
        steps_of(patch, SAVED + 1)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(store, "lost")


def test_another_machine_goes_on_and_makes_the_same_model(
    fine_tune: FineTune, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = fine_tune(f"{store}/unbroken", "unbroken")
    interrupt(fine_tune, store)
    done = steps_of(monkeypatch)
    assert fine_tune(store, "another").read_bytes() == unbroken.read_bytes()
    assert done == list(range(SAVED, STEPS))


def test_a_state_on_object_storage_is_gone_on_from(fine_tune: FineTune, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket() as bucket:
        interrupt(fine_tune, f"{bucket}/store")
        done = steps_of(monkeypatch)
        fine_tune(f"{bucket}/store", "another")
        assert done == list(range(SAVED, STEPS))


def test_a_machine_lost_before_the_version_is_stored_costs_no_step(
    fine_tune: FineTune, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fine_tune(store, "lost")
    done = steps_of(monkeypatch)
    again = fine_tune(store, "another")
    assert done == []
    assert again.read_bytes() == made.read_bytes()


def test_a_checkpoint_left_here_is_not_taken_for_that_of_a_fetched_state(
    fine_tune: FineTune, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(fine_tune, f"{store}/of/its/own")
    [state] = tmp_path.glob("lost/retrain/*/state.pt")
    early = (state.parent / "tiny.safetensors").read_bytes()
    state.unlink()  # as one does with a damaged one
    made = fine_tune(store, "another").read_bytes()
    assert made != early
    assert fine_tune(store, "lost").read_bytes() == made


def test_this_machines_own_state_comes_first(fine_tune: FineTune, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(fine_tune, store)
    done = steps_of(monkeypatch)
    fine_tune(f"{store}/that/knows/nothing", "lost")
    assert done == list(range(SAVED, STEPS))


def test_a_clip_that_is_mended_before_a_training_goes_on_makes_it_another(
    fine_tune: FineTune, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = finetune.read_clip

    def one_alone(clip: FootageClip, settings: LearnSettings) -> Clip:
        if clip.name == "pit-GX0111":  # the one that is held out
            raise VideoError(clip.sources[0].url, "no permission")
        return read(clip, settings)

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "read_clip", one_alone)
        interrupt(fine_tune, store)
    done = steps_of(monkeypatch)
    made = checkpoint.read_card(fine_tune(store, "lost"))
    assert done == list(range(STEPS))
    assert made.validation["clips"] == ["pit-GX0111"]


def test_a_store_that_takes_no_state_does_not_stop_the_training(
    fine_tune: FineTune, store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(url: str, _: bytes) -> None:
        raise storage.StorageError(f"{url}: no space left")

    monkeypatch.setattr(storage, "write", full)
    assert fine_tune(store, "here").exists()
    assert "the training's state is on this machine alone" in caplog.text
    assert "no space left" in caplog.text


def test_a_damaged_state_is_named_and_once_deleted_training_starts_anew(
    fine_tune: FineTune, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(fine_tune, store)
    [name] = listing.names(kept_training.states_url(store))
    url = storage.join(kept_training.states_url(store), name)
    storage.write(url, storage.read(url)[:999])
    with pytest.raises(ValueError, match=rf"{name}, fetched as .*: not a whole training state .* delete it"):
        fine_tune(store, "another")
    storage.remove(url)
    done = steps_of(monkeypatch)
    fine_tune(store, "another")
    assert done == list(range(STEPS))


def test_states_are_forgotten_together(store: str) -> None:
    for name in ("a-cpu.pt", "b-cuda.pt"):
        storage.write(storage.join(kept_training.states_url(store), name), b"state")
    kept_training.forget(store)
    assert listing.names(kept_training.states_url(store)) == []
    kept_training.forget(store)  # there are none, and that is all right
