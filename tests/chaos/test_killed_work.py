"""The work of a night, in a process of its own against a real HTTP object store, killed -9 at seeded moments.

After running it again the store is byte for byte what an undisturbed run writes. The kernel kills it too, for want of
memory, in a control group of its own; that needs the right to make one (root, and version 1's memory controller).
Flows, Dask and Prefect are killed in `test_killed_stack`. LEDNET_CHAOS_SEEDS=7,8,200-299 makes the slow test try other
seeds.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from lednet import __version__
from tasks import decode_process, lease, store
from tasks.enhance import enhance_item
from tasks.plan import plan_night
from tasks.publish import publish
from tasks.settings import NightSettings
from tasks.site import read_site
from tests.chaos.night import (
    ARCHIVE,
    STORE,
    Writes,
    counted_writes,
    differing,
    empty_store,
    fill_archive,
    seeds,
    stored,
)
from tests.tasks.night import NIGHT, s3_bucket

SHORT, LONG = range(2), seeds(range(5, 105))
LIMIT_S = 400
"""A run takes some seconds; a busy machine minutes."""


class Night(NamedTuple):
    """A night in the object store, what an undisturbed run of it writes, and in how many writes and seconds."""

    run: Callable[..., int]
    writes: Writes
    expected: dict[str, bytes]
    count: int
    seconds: float


def work(site_file: str) -> None:
    """What the flow does, in one process."""
    site = read_site(site_file)
    (camera,) = site.cameras
    plan = plan_night(camera, NIGHT, ARCHIVE, STORE, site.settings)
    with lease.held(lease.folder(STORE, camera.id, NIGHT)):
        store.create_run(plan, site.settings, __version__)
        for item in plan.items:
            enhance_item(item, site.settings)
        assert publish(plan, STORE, site.settings).status == "published"


def start(site_file: str, first: Callable[[], object] = lambda: None) -> int:
    """Run the work in a child, after `first`; returns its process id. The parent must not have used the store's
    client."""
    child = os.fork()
    if child == 0:
        code = 1
        faulthandler.enable(2)
        try:
            first()
            work(site_file)
            code = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())  # nobody else will: the process ends here
        finally:
            os._exit(code)
    return child


def wait(child: int) -> int:
    """A child's exit status, 0 if all is well; a child that hangs is killed."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGABRT)  # it says where its threads stand
    os.waitpid(child, 0)
    raise AssertionError(f"the work did not end within {LIMIT_S} s")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with s3_bucket(), counted_writes() as writes:
        site = str(fill_archive(tmp_path_factory.mktemp("killed")))
        began = time.monotonic()
        assert wait(start(site)) == 0
        seconds = time.monotonic() - began
        yield Night(partial(start, site), writes, stored(), writes.count, seconds)


def kill_and_finish(night: Night, seed: int) -> None:
    rng = random.Random(seed)
    empty_store()
    for _ in range(rng.randint(1, 2)):  # the second run is killed as well, at times
        late = rng.uniform(0, night.seconds / night.count)
        child = night.run()

        def kill(child: int = child, late: float = late) -> None:
            time.sleep(late)
            with suppress(ProcessLookupError):  # it was the last write, and the night is done
                os.kill(child, signal.SIGKILL)

        night.writes.trigger(rng.randrange(night.count), kill)
        status = wait(child)
        night.writes.trigger(-1, lambda: None)
        if any(name.endswith("manifest.json") for name in stored()):
            break
        assert os.WIFSIGNALED(status)
    finish(night)


def finish(night: Night) -> None:
    """What is visible is whole; running it again ends the night."""
    before = {name: data for name, data in stored().items() if "/lease." not in name}
    assert all(night.expected[name] == data for name, data in before.items()), "something half-written is visible"
    assert wait(night.run()) == 0
    assert differing(night.expected) == []


@pytest.mark.parametrize("seed", SHORT)
def test_a_night_killed_at_any_moment_ends_as_if_undisturbed(night: Night, seed: int) -> None:
    kill_and_finish(night, seed)


@pytest.mark.slow
@pytest.mark.timeout(4 * LIMIT_S)
@pytest.mark.parametrize("seed", LONG)
def test_a_hundred_nights_killed_at_any_moment_end_as_if_undisturbed(night: Night, seed: int) -> None:
    kill_and_finish(night, seed)


def test_of_two_that_start_the_same_night_one_works_and_the_other_is_told(night: Night) -> None:
    empty_store()
    children = [night.run(), night.run()]
    statuses = sorted(wait(child) for child in children)
    assert statuses == [0, 1 << 8]  # how waitpid tells of exit code 1
    assert differing(night.expected) == []


MEMORY = Path("/sys/fs/cgroup/memory")
"""Of version 1 of control groups."""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of our own."""
    folder = MEMORY / f"lednet-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    if not (folder / "memory.limit_in_bytes").exists():
        pytest.skip(f"{MEMORY} is no memory controller")
    yield folder
    folder.rmdir()


def join(group: Path) -> None:
    """Let what this process needs from now on count as the group's. Its decoder is started before, and stays outside:
    the kernel would choose that one, and a file that costs the decoder its life twice is left out."""
    settings = NightSettings()
    decode_process._give_back(decode_process._borrow(settings))
    (group / "cgroup.procs").write_text(str(os.getpid()))


@pytest.mark.slow
def test_a_night_that_the_kernel_kills_for_want_of_memory_ends_as_if_undisturbed(night: Night, group: Path) -> None:
    empty_store()
    assert wait(night.run(partial(join, group))) == 0
    most = int((group / "memory.max_usage_in_bytes").read_text())
    for share in (0.2, 0.45, 0.7):
        empty_store()
        (group / "memory.limit_in_bytes").write_text(str(int(most * share)))
        status = wait(night.run(partial(join, group)))
        assert os.WIFSIGNALED(status), f"it lived on {share:.0%} of {most} bytes"
        assert os.WTERMSIG(status) == signal.SIGKILL
        finish(night)
    killed = dict(line.split() for line in (group / "memory.oom_control").read_text().splitlines())
    assert int(killed["oom_kill"]) == 3
