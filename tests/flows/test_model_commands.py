"""The commands of models: what they print, record and refuse; and clips made by real Dask workers."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from typer.testing import CliRunner

from flows.cli import app
from tasks import listing, models, pairs, storage
from tasks.footage import list_footage
from tasks.promotion import Decision
from tests.flows.conftest import Run
from tests.tasks.learning import LEARN, filmed, save_model


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    return str(tmp_path / "store")


def lednet(*arguments: str) -> Any:
    """What a command prints as JSON."""
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def added(store: str, tmp_path: Path, seed: int, **options: Any) -> str:
    path = save_model(tmp_path / f"{seed}.safetensors", seed, **options)
    return str(lednet("models", "add", str(path), "--store", store)["version"])


def test_add_promote_list_and_roll_back(store: str, tmp_path: Path) -> None:
    a, b = added(store, tmp_path, 1), added(store, tmp_path, 2)
    assert models.read_production(storage.normalise(store)).version == ""  # adding promotes nothing
    for version in (a, b):
        lednet("models", "promote", version, "--why", "tried by hand", "--store", store)
    listed = lednet("models", "list", "--store", store)
    assert listed["production"]["version"] == b
    assert {v["version"] for v in listed["versions"]} == {a, b}
    assert "@" in listed["production"]["history"][-1]["who"]
    assert lednet("models", "rollback", "--why", "flicker", "--store", store)["version"] == a
    words = CliRunner().invoke(app, ["models", "list", "--store", store]).stdout
    assert f"rollback {a} in place of {b}" in words
    assert "flicker" in words


def test_a_damaged_version_is_listed_as_such_beside_the_whole_ones(store: str, tmp_path: Path) -> None:
    whole, damaged = added(store, tmp_path, 1), added(store, tmp_path, 2)
    (Path(store) / "models" / damaged / "card.json").write_text("{")
    listed = lednet("models", "list", "--store", store)
    assert [v["version"] for v in listed["versions"]] == [whole]
    assert "add the checkpoint again" in listed["damaged"][damaged]


@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_a_version_whose_weights_are_damaged_is_listed_as_such(damage: str, store: str, tmp_path: Path) -> None:
    whole, damaged = added(store, tmp_path, 1), added(store, tmp_path, 2)
    weights = Path(store) / "models" / damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:99])
    if damage == "gone":
        weights.unlink()
    listed = lednet("models", "list", "--store", store)
    assert [v["version"] for v in listed["versions"]] == [whole]
    assert "add the checkpoint again" in listed["damaged"][damaged]


def test_a_card_whose_training_can_not_be_told_hides_no_other_version(store: str, tmp_path: Path) -> None:
    whole, damaged = added(store, tmp_path, 1), added(store, tmp_path, 2)
    card = Path(store) / "models" / damaged / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"training": {"clips": 3}}))
    result = CliRunner().invoke(app, ["models", "list", "--store", store])
    assert result.exit_code == 0, result.output
    assert whole in result.stdout
    assert "damaged" in result.stdout


def test_production_whose_version_is_gone_is_listed_as_such(store: str, tmp_path: Path) -> None:
    version = added(store, tmp_path, 1)
    lednet("models", "promote", version, "--why", "tried by hand", "--store", store)
    (Path(store) / "models" / version / "card.json").unlink()
    assert "add the checkpoint again" in lednet("models", "list", "--store", store)["damaged"][version]


def test_compare_names_the_better_one_and_promotes_nothing(store: str, tmp_path: Path) -> None:
    for k, name in enumerate(("pit/GX010119", "pit/GX010120", "silo/GX010119", "silo/GX010120")):
        filmed(tmp_path / f"gopro/{name}.MP4", seed=k)
    site = tmp_path / "cameras.toml"
    site.write_text(
        f'[learn]\nfootage = "{tmp_path}/gopro"\nframes_per_clip = 4\njudged_pairs = 2\njudged_crop = 32\n'
        'least_clips = 2\nresamples = 200\ndevice = "cpu"\n'
        '[[camera]]\nid = "pit"\nname = "Pit"\nscene = "outdoor"\ntimezone = "UTC"\npattern = "%Y%m%d_%H%M%S.mp4"\n'
        "rate = 5\n"
    )
    dark, bright = added(store, tmp_path, 1, gain=0.3), added(store, tmp_path, 2, gain=0.8)
    options = ("--site", str(site), "--store", store)
    assert lednet("models", "compare", dark, bright, *options)["promote"]
    assert not lednet("models", "compare", bright, dark, *options)["promote"]
    assert models.read_production(storage.normalise(store)).version == ""


def test_clips_are_made_by_dask_workers_and_a_failing_one_stops_no_other(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import clusters, synthesize

    for k in (1, 2, 3):
        filmed(tmp_path / f"gopro/pit/GX01000{k}.MP4", seed=k)
    clips = list_footage([str(tmp_path / "gopro")])
    plan = pairs.plan_pairs(clips, storage.normalise(store), "d", LEARN)
    pairs.create(plan, "1")
    monkeypatch.setattr(clusters, "workers", lambda: LocalCluster(1, processes=False, dashboard_address=None))
    work, broken = pairs.synthesise_clip, clips[1].name

    def sometimes(plan: pairs.PairsPlan, index: int) -> str:
        if plan.clips[index].name == broken:
            raise storage.StorageError("the store went away")
        return work(plan, index)

    with monkeypatch.context() as patch:
        patch.setattr(pairs, "synthesise_clip", sometimes)
        [failure] = synthesize.make(plan, [0, 1, 2])
    assert failure.startswith(broken)
    assert "went away" in failure
    assert set(pairs.done_clips(plan)) == {c.name for c in clips} - {broken}
    assert synthesize.make(plan, [1]) == []
    assert pairs.finish(plan)[0] == 6


def test_clips_that_can_not_be_read_are_named_and_not_counted(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import clusters, synthesize

    filmed(tmp_path / "gopro/pit/GX010001.MP4", seed=1)
    (tmp_path / "gopro/pit/GX010002.MP4").write_bytes(b"no video")
    site = tmp_path / "cameras.toml"
    site.write_text(
        "[learn]\nframes_per_clip = 4\npairs_per_clip = 2\npair_height = 32\npair_width = 32\n"
        '[[camera]]\nid = "pit"\nname = "Pit"\nscene = "outdoor"\ntimezone = "UTC"\npattern = "%Y%m%d.mp4"\nrate = 1\n'
    )
    monkeypatch.setattr(clusters, "workers", lambda: LocalCluster(1, processes=False, dashboard_address=None))
    made = synthesize.synthesize.fn(str(tmp_path / "gopro"), store, site=str(site))
    assert (made.clips, made.pairs) == (1, 2)
    assert ["GX010002.MP4: not a readable video" in problem for problem in made.problems] == [True]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("synthesize", "/nowhere"), "/nowhere: no clips in it"),
        (("synthesize", "/nowhere", "--site", "none.toml"), "none.toml: not there"),
        (("retrain", "--site", "none.toml"), "none.toml: not there"),
    ],
)
def test_bad_input_is_told_before_any_server_starts(words: tuple[str, ...], told: str, lednet_here: Run) -> None:
    result = lednet_here(*words)
    assert result.returncode == 1
    assert told in result.stderr
    assert "starting" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["synthesize", "retrain"])
def test_the_command_leaves_the_listing_of_footage_to_the_flow(
    command: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import engine, retrain, synthesize

    filmed(tmp_path / "gopro/pit/GX010001.MP4")
    site = tmp_path / "cameras.toml"
    site.write_text(
        f'[learn]\nfootage = "{tmp_path}/gopro"\n'
        '[[camera]]\nid = "pit"\nname = "Pit"\nscene = "outdoor"\ntimezone = "UTC"\npattern = "%Y%m%d.mp4"\nrate = 1\n'
    )
    listed: list[str] = []
    find = listing.find
    monkeypatch.setattr(listing, "find", lambda url: (listed.append(url), find(url))[1])
    monkeypatch.setattr(engine, "prefect_server", nullcontext)
    made = synthesize.Synthesised("zarr", 0, 0, (), "")
    decision = Decision(False, "kept", "old", "", None)
    monkeypatch.setattr(synthesize, "synthesize", lambda *_: made)
    monkeypatch.setattr(retrain, "retrain", lambda *_: decision)
    source = (str(tmp_path / "gopro"),) if command == "synthesize" else ()
    lednet(command, *source, "--site", str(site), "--store", store)
    assert listed == []


def test_training_anew_on_no_footage_is_told_before_any_server_starts(lednet_here: Run, tmp_path: Path) -> None:
    site = tmp_path / "cameras.toml"
    site.write_text(
        '[[camera]]\nid = "pit"\nname = "Pit"\nscene = "outdoor"\ntimezone = "UTC"\npattern = "%Y%m%d.mp4"\nrate = 1\n'
    )
    result = lednet_here("retrain", "--site", str(site))
    assert result.returncode == 1
    assert "no footage named: pass its folder or URL, or write it as footage in [learn]" in result.stderr
    assert "starting" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [("retrain",), ("synthesize", "/nowhere")])
def test_a_recipe_that_is_not_there_is_told_before_any_server_starts(
    words: tuple[str, ...], lednet_here: Run, tmp_path: Path
) -> None:
    site = tmp_path / "cameras.toml"
    site.write_text(
        '[learn]\nrecipes = "dusty.toml"\n'
        '[[camera]]\nid = "pit"\nname = "Pit"\nscene = "outdoor"\ntimezone = "UTC"\npattern = "%Y%m%d.mp4"\nrate = 1\n'
    )
    result = lednet_here(*words, "--site", str(site))
    assert result.returncode == 1
    assert f"recipes of [learn]: {tmp_path}/dusty.toml: not a readable TOML file" in " ".join(result.stderr.split())
    assert "starting" not in result.stderr
    assert "Traceback" not in result.stderr
