"""The registry: versions are whole or not there, promotion is one atomic write, rolling back restores."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lednet import checkpoint
from tasks import models, storage
from tasks.models import ModelError
from tests.tasks.learning import save_model

WHEN = "2026-01-15T06:00:00+00:00"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path: Path) -> str:
    return storage.normalise(str(tmp_path / "store"))


def add(store: str, tmp_path: Path, seed: int) -> str:
    return models.add_version(store, save_model(tmp_path / f"{seed}.safetensors", seed), WHEN).name


def promote(store: str, version: str) -> models.Production:
    return models.promote(store, version, "me@here", WHEN, "a test")


def test_a_version_is_named_by_its_date_and_its_weights(store: str, tmp_path: Path) -> None:
    name = add(store, tmp_path, 1)
    data = (tmp_path / "1.safetensors").read_bytes()
    assert name == f"2026-01-15-{hashlib.sha256(data).hexdigest()[:12]}"
    assert storage.read(f"{store}/models/{name}/model.safetensors") == data
    assert models.read_version(store, name).card.name == name


def test_the_same_weights_stay_one_version_on_another_day(store: str, tmp_path: Path) -> None:
    name = add(store, tmp_path, 1)
    again = models.add_version(store, tmp_path / "1.safetensors", "2027-03-01T00:00:00+00:00")
    assert again.name == name
    assert models.version_names(store) == [name]


def test_a_version_without_its_card_is_not_there_and_can_be_added_again(store: str, tmp_path: Path) -> None:
    name = add(store, tmp_path, 1)
    (tmp_path / "store/models" / name / "card.json").unlink()
    assert models.version_names(store) == []
    with pytest.raises(ModelError, match="no such version"):
        promote(store, name)
    assert add(store, tmp_path, 1) == name
    assert promote(store, name).version == name


def test_promotions_are_recorded_with_who_when_why_and_what_went(store: str, tmp_path: Path) -> None:
    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    promote(store, a)
    assert models.promote(store, b, "li@site", WHEN, "+0.5 dB") == models.read_production(store)
    last = models.read_production(store).history[-1]
    assert last == models.Promotion(b, a, "promote", "li@site", WHEN, "+0.5 dB")
    assert [p.version for p in models.read_production(store).history] == [a, b]


def test_promoting_what_is_in_production_changes_nothing(store: str, tmp_path: Path) -> None:
    a = add(store, tmp_path, 1)
    assert promote(store, a) == promote(store, a)


def test_rollback_goes_back_step_by_step_and_not_to_and_fro(store: str, tmp_path: Path) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    for version in (a, b, c):
        promote(store, version)
    assert models.rollback(store, "me", WHEN, "worse at night").version == b
    assert models.rollback(store, "me", WHEN, "still").version == a
    with pytest.raises(ModelError, match="nothing was in production before"):
        models.rollback(store, "me", WHEN, "and again")
    assert [p.action for p in models.read_production(store).history] == ["promote"] * 3 + ["rollback"] * 2


def test_a_crash_between_the_version_and_its_promotion_leaves_the_old_production(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    promote(store, a)
    write = storage.write

    def dies(url: str, data: bytes) -> None:
        if url.endswith("production.json"):
            raise OSError("the power went")
        write(url, data)

    monkeypatch.setattr(storage, "write", dies)
    with pytest.raises(OSError, match="power"):
        promote(store, b)
    assert models.read_production(store).version == a
    assert models.resolve("production", store).endswith(a)


def test_production_that_changed_meanwhile_is_not_overwritten(store: str, tmp_path: Path) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    promote(store, a)
    promote(store, c)
    with pytest.raises(ModelError, match="meanwhile"):
        models.promote(store, b, "me", WHEN, "better than a", instead_of=a)
    assert models.read_production(store).version == c


def test_a_version_whose_weights_are_damaged_is_never_promoted(store: str, tmp_path: Path) -> None:
    a = add(store, tmp_path, 1)
    (tmp_path / "store/models" / a / "model.safetensors").write_bytes(b"half of it")
    with pytest.raises(ModelError, match=r"sha256 is .*its card says"):
        promote(store, a)
    assert models.read_production(store).version == ""


@pytest.mark.parametrize("part", ["model.safetensors", "card.json"])
@pytest.mark.parametrize("data", [b"{ half of it", None], ids=["damaged", "gone"])
def test_adding_the_checkpoint_again_mends_a_damaged_version(
    part: str, data: bytes | None, store: str, tmp_path: Path
) -> None:
    a = add(store, tmp_path, 1)
    path = tmp_path / "store/models" / a / part
    whole = path.read_bytes()
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    assert add(store, tmp_path, 1) == a
    assert path.read_bytes() == whole
    assert promote(store, a).version == a


def test_a_version_that_is_whole_is_not_written_again(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = add(store, tmp_path, 1)
    monkeypatch.setattr(storage, "write", lambda *_: pytest.fail("written"))
    assert add(store, tmp_path, 1) == a


def test_a_damaged_card_hides_no_other_version(store: str, tmp_path: Path) -> None:
    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    storage.write(f"{store}/models/{a}/card.json", b"{ half of it")
    versions, damaged = models.read_versions(store)
    assert [v.name for v in versions] == [b]
    assert damaged.keys() == {a}
    assert "add the checkpoint again" in damaged[a]


def test_production_resolves_to_weights_that_a_worker_fetches_once(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = add(store, tmp_path, 1)
    promote(store, a)
    url = models.resolve("production", store)
    path = Path(models.fetch(url))
    assert path.is_relative_to(tmp_path / "cache")
    assert checkpoint.load(path)[1].name == a
    (tmp_path / "store/models" / a / "model.safetensors").unlink()
    assert models.fetch(url) == str(path)


def test_a_damaged_copy_in_the_cache_is_fetched_again(store: str, tmp_path: Path) -> None:
    url = f"{store}/models/{add(store, tmp_path, 1)}"
    path = Path(models.fetch(url))
    path.write_bytes(b"rot")
    assert checkpoint.load(models.fetch(url))


def test_other_checkpoints_are_left_as_they_are(store: str) -> None:
    assert models.resolve("small", store) == models.fetch("small") == "small"


def test_production_before_any_promotion_says_what_to_do(store: str) -> None:
    with pytest.raises(ModelError, match=r"no model is promoted in .*lednet models promote"):
        models.resolve("production", store)


@pytest.mark.parametrize("name", ["../escape", "small", "2026-01-15-XYZ", ""])
def test_what_is_no_versions_name_is_refused(store: str, name: str) -> None:
    with pytest.raises(ModelError, match="lednet models list"):
        models.read_version(store, name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "version": "a", "history": []}'])
def test_a_damaged_record_of_promotions_is_named(store: str, tmp_path: Path, text: str) -> None:
    storage.write(f"{store}/models/production.json", text.encode())
    with pytest.raises(ModelError, match=r"production\.json: not a record"):
        models.read_production(store)


def test_a_night_planned_with_production_holds_the_promoted_weights(store: str, tmp_path: Path) -> None:
    from tests.tasks.planning import SMALL, plan, put

    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    archive = put(tmp_path / "archive", range(0, 100, 10))
    settings = replace(SMALL, checkpoint="production")
    promote(store, a)
    first = plan(archive, settings=settings, store=store)
    promote(store, b)
    second = plan(archive, settings=settings, store=store)
    assert {i.checkpoint for i in first.items} == {f"{store}/models/{a}"}
    assert first.model["name"] == a
    assert first.run != second.run
    models.rollback(store, "me", WHEN, "test")
    assert plan(archive, settings=settings, store=store).run == first.run


def test_the_card_of_another_version_is_refused(store: str, tmp_path: Path) -> None:
    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    card = json.loads(storage.read(f"{store}/models/{b}/card.json"))
    storage.write(f"{store}/models/{a}/card.json", json.dumps(card).encode())
    with pytest.raises(ModelError, match="another version's"):
        models.read_version(store, a)
