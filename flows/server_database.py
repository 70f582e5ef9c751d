"""A Prefect server's empty database, kept from one night to the next: making its tables is half of a server's start.

What is kept is a copy taken when a new server first answers, before any run, by the release of Prefect. A copy that
can't be made or used costs time and nothing else. Not covered: the server (`flows.engine`).
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from tasks.cache import cache_folder

log = logging.getLogger("lednet")

NAME = "prefect.db"
"""As Prefect calls it in its home."""


def fetch(home: Path) -> bool:
    """Put the kept database into a server's home; whether there is one, and it is sound."""
    try:
        shutil.copyfile(_kept(), home / NAME)
        with closing(sqlite3.connect(home / NAME)) as database:
            if database.execute("PRAGMA quick_check").fetchone() == ("ok",):
                return True
    except (OSError, sqlite3.Error) as error:
        log.debug("no kept database: %s", error)
    (home / NAME).unlink(missing_ok=True)
    return False


def keep(home: Path) -> None:
    """Keep a copy of the database of a new server that answers."""
    try:
        copy = _kept().with_suffix(f".{os.getpid()}")
        made = sqlite3.connect(f"{(home / NAME).as_uri()}?mode=ro", uri=True)
        with closing(made), closing(sqlite3.connect(copy)) as target:
            made.backup(target)
        copy.replace(_kept())
    except (OSError, sqlite3.Error) as error:
        log.debug("the database is not kept: %s", error)


def forget(home: Path) -> None:
    """Remove the kept database, of which no server came, and what is left of it in a home."""
    for path in (*home.glob(f"{NAME}*"), _kept()):
        with suppress(OSError):
            path.unlink()


def _kept() -> Path:
    return cache_folder("prefect") / f"{version('prefect')}.db"
