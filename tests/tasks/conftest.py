"""What the tests of the tasks room share: settings that keep them fast and repeatable, and empty stores to write to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tasks import storage
from tests.tasks.night import s3_bucket

hypothesis.settings.register_profile("tasks", deadline=None, max_examples=12, derandomize=True, database=None)
hypothesis.settings.load_profile("tasks")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """URL of an empty bucket of an S3 server, spoken to over HTTP."""
    with s3_bucket() as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store's folder, which is not there yet."""
    return tmp_path / "store"


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder in each kind of store."""
    if request.param == "file":
        return storage.normalise(str(tmp_path / "store"))
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
