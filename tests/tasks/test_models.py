"""The registry: versions are whole or not there, promotion is one atomic write, rolling back restores."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lednet import checkpoint
from tasks import conditional, lease, listing, models, storage
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


def test_a_version_whose_weights_could_not_be_written_is_not_there(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = storage.write

    def dies(url: str, data: bytes) -> None:
        if url.endswith("model.safetensors"):
            raise OSError("the power went")
        write(url, data)

    monkeypatch.setattr(storage, "write", dies)
    with pytest.raises(OSError, match="power"):
        add(store, tmp_path, 1)
    assert models.version_names(store) == []


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


def test_rollback_goes_back_to_what_was_there_before_the_last_promotion_of_the_same_version(
    store: str, tmp_path: Path
) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    for version in (a, b, c, b):
        promote(store, version)
    assert models.rollback(store, "me", WHEN, "worse").version == c


def test_a_version_counts_as_rolled_back_until_somebody_promotes_it_again(store: str, tmp_path: Path) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))

    def told(version: str) -> str:
        taken_out = models.rolled_back(models.read_production(store), version)
        return taken_out.why if taken_out else ""

    for version in (a, b):
        promote(store, version)
    assert (told(a), told(b), told(c)) == ("", "", "")  # a made room for a better one
    models.rollback(store, "me", WHEN, "flicker")
    assert (told(a), told(b)) == ("", "flicker")
    promote(store, c)
    assert told(b) == "flicker"
    promote(store, b)
    assert told(b) == ""


def test_rollback_goes_back_step_by_step_and_not_to_and_fro(store: str, tmp_path: Path) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    for version in (a, b, c):
        promote(store, version)
    assert models.rollback(store, "me", WHEN, "worse at night").version == b
    assert models.rollback(store, "me", WHEN, "still").version == a
    with pytest.raises(ModelError, match="nothing was in production before"):
        models.rollback(store, "me", WHEN, "and again")
    assert [p.action for p in models.read_production(store).history] == ["promote"] * 3 + ["rollback"] * 2


def test_rollback_of_a_version_that_was_promoted_twice_does_not_go_to_and_fro(store: str, tmp_path: Path) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    for version in (a, b, c, b):
        promote(store, version)
    assert [models.rollback(store, "me", WHEN, "worse").version for _ in range(3)] == [c, b, a]


def test_a_crash_between_the_version_and_its_promotion_leaves_the_old_production(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    promote(store, a)
    replace = conditional.replace

    def dies(url: str, data: bytes, mark: str) -> str:
        if url.endswith("production.json"):
            raise OSError("the power went")
        return replace(url, data, mark)

    monkeypatch.setattr(conditional, "replace", dies)
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


def test_the_first_promotion_is_not_made_where_another_was_first(store: str, tmp_path: Path) -> None:
    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    promote(store, a)
    with pytest.raises(ModelError, match=r"production became .* and it was compared with none"):
        models.promote(store, b, "me", WHEN, "the first", instead_of="")
    assert models.read_production(store).version == a


def all_have_read(store: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let changes of production meet: each of `count` has read the record before any goes on, if they let each other.

    Where they do not, the one that reads goes on after a moment, and nobody waits any more.
    """
    read, met = conditional.read_marked, threading.Barrier(count)

    def read_and_wait(url: str) -> tuple[bytes, str]:
        try:
            return read(url)
        finally:
            if url.endswith("production.json") and not met.broken:
                with suppress(threading.BrokenBarrierError):
                    met.wait(0.3)

    monkeypatch.setattr(conditional, "read_marked", read_and_wait)


def at_once(*changes: Callable[[], object]) -> list[BaseException | None]:
    """Make changes of production in a thread each; returns what each of them raised."""
    with ThreadPoolExecutor(len(changes)) as pool:
        return [future.exception(60) for future in [pool.submit(change) for change in changes]]


def test_promotions_that_meet_are_all_in_the_history(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    promote(store, a)
    all_have_read(store, 2, monkeypatch)
    assert at_once(lambda: promote(store, b), lambda: promote(store, c)) == [None, None]
    first, *rest = models.read_production(store).history
    assert {p.version for p in rest} == {b, c}
    assert [p.previous for p in rest] == [first.version, rest[0].version]


def test_a_retrainings_promotion_that_meets_one_by_hand_is_refused_or_comes_first(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    promote(store, a)
    all_have_read(store, 2, monkeypatch)
    retrained, by_hand = at_once(
        lambda: models.promote(store, b, "me", WHEN, "better than a", instead_of=a), lambda: promote(store, c)
    )
    assert by_hand is None
    versions = [p.version for p in models.read_production(store).history]
    assert versions == ([a, b, c] if retrained is None else [a, c])


SUSPENDED = """
import os, signal, sys
from tasks import conditional, lease, models

store, version = sys.argv[1:]
here, replace = lease._self(), conditional.replace

def suspended(url, data, mark):
    if url.endswith("production.json"):
        os.kill(os.getpid(), signal.SIGSTOP)
    return replace(url, data, mark)

lease._self = lambda: {**here, "machine": "elsewhere"}  # where nobody can see that it lives
conditional.replace = suspended
try:
    models.promote(store, version, "me@elsewhere", "2026-01-15T06:00:00+00:00", "a test")
except models.ModelError as error:
    print(error)
"""
"""Promotes a version; its process is suspended when all is checked and the record is yet to be written."""


def test_one_who_is_suspended_over_a_promotion_does_not_undo_anothers_when_it_wakes(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (add(root, tmp_path, seed) for seed in (1, 2, 3))
    promote(root, a)
    monkeypatch.setattr(lease, "EXPIRES_S", 1.0)
    monkeypatch.setattr(lease, "WATCH_S", 0.1)
    asleep = subprocess.Popen([sys.executable, "-c", SUSPENDED, root, b], stdout=subprocess.PIPE, text=True)
    try:
        os.waitid(os.P_PID, asleep.pid, os.WSTOPPED)
        promote(root, c)
        asleep.send_signal(signal.SIGCONT)
        said = asleep.communicate(timeout=60)[0]
    finally:
        asleep.kill()
        asleep.wait()
    assert f"{b}: no promote, since another changed production while this process was away" in said
    assert [p.version for p in models.read_production(root).history] == [a, c]
    assert "production.json" in listing.names(models.models_url(root))
    assert not [name for name in listing.names(models.models_url(root)) if name.startswith("lease.")]


def test_rollbacks_that_meet_go_back_one_version(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = (add(store, tmp_path, seed) for seed in (1, 2, 3))
    for version in (a, b, c):
        promote(store, version)
    all_have_read(store, 2, monkeypatch)
    raised = at_once(*[lambda: models.rollback(store, "me", WHEN, "flicker")] * 2)
    assert {str(error).partition(",")[0] for error in raised} == {"None", f"{c}: not rolled back"}
    assert models.read_production(store).version == b


def test_a_change_that_another_holds_up_for_too_long_is_told(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = add(store, tmp_path, 1)
    monkeypatch.setattr(models, "PATIENCE_S", 0.05)
    with lease.held(models.models_url(store)), pytest.raises(ModelError, match=r"another has been changing production"):
        promote(store, a)
    assert promote(store, a).version == a


def test_a_promotion_leaves_nothing_but_its_record(store: str, tmp_path: Path) -> None:
    a = add(store, tmp_path, 1)
    promote(store, a)
    assert {p.name for p in (tmp_path / "store/models").iterdir()} == {a, "production.json"}


@pytest.mark.parametrize("data", [b"half of it", None], ids=["damaged", "gone"])
def test_a_copy_in_this_machines_cache_does_not_stand_for_weights_that_the_store_lost(
    data: bytes | None, store: str, tmp_path: Path
) -> None:
    a, b = add(store, tmp_path, 1), add(store, tmp_path, 2)
    promote(store, a)
    promote(store, b)  # both are in the cache now
    path = tmp_path / "store/models" / a / "model.safetensors"
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    for change in (lambda: promote(store, a), lambda: models.rollback(store, "me", WHEN, "worse")):
        with pytest.raises(ModelError, match="add the checkpoint again, or promote another"):
            change()
    assert models.read_production(store).version == b


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


def test_a_version_that_lost_its_card_keeps_its_name_when_it_is_added_another_day(store: str, tmp_path: Path) -> None:
    a = add(store, tmp_path, 1)
    promote(store, a)
    (tmp_path / "store/models" / a / "card.json").unlink()
    assert models.add_version(store, tmp_path / "1.safetensors", "2027-03-01T00:00:00+00:00").name == a
    assert checkpoint.load(models.fetch(models.resolve("production", store)))


def test_of_two_folders_of_the_same_weights_the_whole_one_is_the_version(store: str, tmp_path: Path) -> None:
    a = add(store, tmp_path, 1)
    begun = f"2026-01-01-{a[-12:]}"
    storage.write(f"{store}/models/{begun}/model.safetensors", b"half of it")
    assert models.add_version(store, tmp_path / "1.safetensors", "2027-03-01T00:00:00+00:00").name == a
    assert models.version_names(store) == [a]


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


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"sha256": 3, "config": {}}', b"[" * 100_000])
def test_a_damaged_card_is_told_as_such(store: str, tmp_path: Path, data: bytes) -> None:
    a = add(store, tmp_path, 1)
    storage.write(f"{store}/models/{a}/card.json", data)
    with pytest.raises(ModelError, match=r"card\.json: not a card .*add the checkpoint again"):
        models.read_version(store, a)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_decision_counts_as_none(store: str, tmp_path: Path, data: bytes) -> None:
    a = add(store, tmp_path, 1)
    models.record_decision(models.read_version(store, a), {"why": "better"})
    assert models.read_version(store, a).decision == {"why": "better"}
    storage.write(f"{store}/models/{a}/decision.json", data)
    assert models.read_version(store, a).decision is None


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


@pytest.mark.parametrize(("folder", "end"), [("models/site", ""), ("store", "/")])
def test_a_versions_url_is_understood_wherever_its_store_is_and_with_a_slash_at_its_end(
    tmp_path: Path, folder: str, end: str
) -> None:
    store = storage.normalise(str(tmp_path / folder))
    a = add(store, tmp_path, 1)
    assert checkpoint.load(models.fetch(f"{store}/models/{a}{end}"))[1].name == a


def test_other_checkpoints_are_left_as_they_are(store: str) -> None:
    assert models.resolve("small", store) == models.fetch("small") == "small"


def test_production_before_any_promotion_says_what_to_do(store: str) -> None:
    with pytest.raises(ModelError, match=r"no model is promoted in .*lednet models promote"):
        models.resolve("production", store)


@pytest.mark.parametrize("name", ["../escape", "small", "2026-01-15-XYZ", "2026-01-15-0123456789ab/x", ""])
def test_what_is_no_versions_name_is_refused(store: str, name: str) -> None:
    with pytest.raises(ModelError, match="lednet models list"):
        models.read_version(store, name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "version": "a", "history": []}', "[" * 100_000])
def test_a_damaged_record_of_promotions_is_named(store: str, tmp_path: Path, text: str) -> None:
    storage.write(f"{store}/models/production.json", text.encode())
    with pytest.raises(ModelError, match=r"production\.json: not a record"):
        models.read_production(store)


@pytest.mark.parametrize("change", [{"format": 2}, {"version": "2026-01-15-0123456789ab"}])
def test_a_record_of_another_format_or_whose_history_ends_otherwise_is_not_believed(
    store: str, tmp_path: Path, change: dict[str, object]
) -> None:
    promote(store, add(store, tmp_path, 1))
    url = f"{store}/models/production.json"
    storage.write(url, json.dumps(json.loads(storage.read(url)) | change).encode())
    with pytest.raises(ModelError, match=r"production\.json: not a record"):
        models.read_production(store)


def test_a_store_that_can_not_be_read_is_not_taken_for_one_without_promotions(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(url: str) -> tuple[bytes, str]:
        raise storage.StorageError(f"{url}: failed 8 times")

    monkeypatch.setattr(conditional, "read_marked", fails)
    with pytest.raises(storage.StorageError, match="failed 8 times"):
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
