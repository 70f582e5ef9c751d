"""The kept database of a Prefect server: equal to the one it was copied from, and never the reason that none starts.

That a server starts on it is shown by whichever test asks for the second server of a machine.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flows import engine, server_database


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEDNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prefect"


def home_with(folder: Path, words: str) -> Path:
    folder.mkdir()
    with closing(sqlite3.connect(folder / server_database.NAME)) as database, database:
        database.execute("CREATE TABLE told (words TEXT)")
        database.execute("INSERT INTO told VALUES (?)", [words])
    return folder


def test_what_is_kept_is_fetched_equal(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    assert not server_database.fetch(new)
    server_database.keep(home_with(tmp_path / "first", "one"))
    assert server_database.fetch(new)
    with closing(sqlite3.connect(new / server_database.NAME)) as database:
        assert database.execute("SELECT words FROM told").fetchall() == [("one",)]


def test_a_home_without_a_database_leaves_nothing_to_fetch(tmp_path: Path) -> None:
    server_database.keep(tmp_path)  # the site has its server's database elsewhere
    assert not server_database.fetch(tmp_path)


def test_a_damaged_one_is_not_used(tmp_path: Path, cache: Path) -> None:
    server_database.keep(home_with(tmp_path / "first", "one"))
    [kept] = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:5000])
    new = tmp_path / "new"
    new.mkdir()
    assert not server_database.fetch(new)
    assert not list(new.iterdir())


def test_where_no_server_starts_on_it_another_is_tried_without(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_database.keep(home_with(tmp_path / "first", "of a release that never was"))
    found: list[bool] = []

    def ending(port: int, home: Path) -> subprocess.Popen[bytes]:
        found.append((home / server_database.NAME).exists())
        (home / "server.log").write_text("no such revision")
        return subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(engine, "_start_server", ending)
    with pytest.raises(engine.EngineError, match="no such revision"), engine.prefect_server():
        pass
    assert found == [True, False]
    assert not list(cache.iterdir())
