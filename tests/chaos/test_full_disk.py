"""A disk that is full, for real: the store on a file system of some kilobytes, which needs the right to mount one.

The work fails by name, what is visible is whole, and when there is space again the same command ends the night.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import listing, store
from tests.tasks.night import CAMERA, NIGHT, Site, files, make_site, without_pauses

PAGE = 4096
PLENTY = "64m"


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, whose size can be set."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={PLENTY}", "none", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {getattr(error, 'stderr', b'').decode() or error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def visible(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if not Path(name).name.startswith(".")}


def test_a_disk_that_fills_up_costs_no_frame(tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_site(tmp_path)
    site = Site(made.archive, f"file://{disk}/store", made.settings)
    site.run()
    whole = files(site.folder)
    shutil.rmtree(site.folder)
    pages = sum(-(-len(data) // PAGE) for data in whole.values())
    without_pauses(monkeypatch)
    for share in (0.2, 0.4, 0.6, 0.8):
        mount("-o", f"remount,size={int(pages * share) * PAGE}", str(disk))
        with pytest.raises(OSError, match="No space left on device"):
            site.run()
        kept = visible(site.folder)
        assert all(whole[name] == data for name, data in kept.items()), f"half-written at {share:.0%}"
        assert store.read_manifest(site.store, CAMERA.id, NIGHT) is None
    mount("-o", f"remount,size={PLENTY}", str(disk))
    site.run()
    assert visible(site.folder) == whole
    assert not list(listing.unfinished(site.store))
