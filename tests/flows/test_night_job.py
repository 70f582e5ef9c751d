"""A night with a deadline, work items and store real, workers, network and clock stood in for: wherever the deadline
falls, what is published is even over cameras and night, and the next run finishes the rest without doing it again."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from torch import Tensor

from flows import night_job
from flows.feeding import ItemFeed
from flows.night_job import NightJob, Publish
from flows.progress import NightProgress
from lednet import Restorer
from tasks import enhance, lease, storage, store
from tasks.publish import publish
from tasks.settings import FRAME_WISE, NightSettings
from tasks.shelf import PlanShelf
from tasks.types import Camera, CameraNight, NightPlan, WorkItem
from tests.tasks import night
from tests.tasks.night import CAMERA, NIGHT, Site

CAMERAS = [replace(CAMERA, id=name) for name in ("first", "second", "third")]
"""In order of priority."""
BEGIN = datetime(2026, 1, 16, 6, tzinfo=UTC)


class Clock:
    """A second passes for every frame that is restored."""

    def __init__(self) -> None:
        self.now = BEGIN.timestamp()

    def time(self) -> float:
        return self.now

    monotonic = time

    def pass_frames(self, count: int) -> None:
        self.now += count


class Done:
    """A future of a work item that was done at once."""

    status = "finished"

    def add_done_callback(self, call: Callable[[Done], object]) -> None:
        call(self)


class AtOnce:
    """Stands in for the workers: does what it is handed at once."""

    def __init__(self, settings: NightSettings) -> None:
        self.settings = settings

    def submit(self, item: WorkItem, until_s: float) -> Done:
        enhance.enhance_item(item, self.settings, until_s)
        return Done()

    def most(self) -> int:
        return 1

    def hindrance(self) -> str:
        return ""

    def alive(self) -> bool:
        return True


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """A clock that is moved by frames alone, and a network that leaves them as they are."""
    clock, loaded = Clock(), enhance.load_restorer

    def ticking(*known: object) -> Restorer:
        restorer = copy(loaded(*known))  # type: ignore[arg-type]

        def restore_image(x: Tensor, _known: Sequence[Tensor] = ()) -> Tensor:
            clock.pass_frames(len(x))
            return x

        restorer.restore_image = restore_image  # type: ignore[method-assign]
        return restorer

    patch.setattr(enhance, "time", clock)
    patch.setattr(night_job, "time", clock)
    patch.setattr(enhance, "load_restorer", ticking)


def make_site(folder: Path) -> Site:
    """Footage that all three cameras share."""
    made = night.make_site(folder)
    return made._replace(settings=replace(made.settings, deadline_coarsest=4, video=FRAME_WISE))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Nothing done yet."""
    stand_in(monkeypatch)
    return make_site(tmp_path)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Published in full. Only to be looked at, by tests that ask for `site`, too, for its clock."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        made = make_site(tmp_path_factory.mktemp("full"))
        run(made, None)
    return made


def run(
    site: Site, seconds: float | None, publish: Publish = publish, cameras: Sequence[Camera] = CAMERAS
) -> dict[str, CameraNight]:
    until = datetime.fromtimestamp(enhance.time.time(), UTC) + timedelta(seconds=seconds) if seconds else None
    with (
        ExitStack() as held,
        PlanShelf(site.archive, site.store, site.settings) as shelf,
        ItemFeed(AtOnce(site.settings)) as feed,  # type: ignore[arg-type]
    ):
        job = NightJob(NIGHT, site.archive, site.store, site.settings, until, NightProgress(), shelf, feed, publish)
        job.begin(cameras, held)
        return {outcome.camera: outcome for outcome in job.finish()}


def steps(site: Site) -> list[int]:
    """How coarse each camera is published, 0 for one that is not; each published run has all its shards."""
    found = []
    for camera in CAMERAS:
        manifest = store.read_manifest(site.store, camera.id, NIGHT)
        found.append(0 if manifest is None else 35 // manifest["slots"])
        if manifest is not None:
            run_url = f"{site.store}/enhanced/{camera.id}/{NIGHT}/{manifest['run']}"
            assert set(manifest["shards"]) == store.done_shards(run_url)
    return found


@pytest.mark.parametrize(
    ("seconds", "published"),
    [(15, [4, 4, 0]), (80, [1, 2, 2])],  # the passes take 18, 36 and 72 s
)
def test_wherever_the_deadline_falls_what_is_published_is_even_and_the_rest_is_done_once(
    site: Site, seconds: int, published: list[int]
) -> None:
    outcomes = run(site, seconds)
    assert steps(site) == published
    for camera, step in zip(CAMERAS, published, strict=True):
        outcome = outcomes[camera.id]
        assert outcome.status == ("published" if step else "partial")
        assert (f"one slot in {step}," in outcome.reason) == (step > 1)
        assert step or "the deadline" in outcome.reason
    full = {c.id: night.plan(site.archive, site.store, site.settings, c) for c in CAMERAS}
    kept = {c: store.done_shards(p.run_url) for c, p in full.items()}
    objects = {c: night.files(site.folder / "enhanced" / c / NIGHT / p.run / "receipts") for c, p in full.items()}
    later = run(site, None)
    assert steps(site) == [1, 1, 1]
    assert {o.reason for o in later.values()} == {""}
    for camera, planned in full.items():
        assert kept[camera] <= store.done_shards(planned.run_url)
        after = night.files(site.folder / "enhanced" / camera / NIGHT / planned.run / "receipts")
        assert {name: after[name] for name in objects[camera]} == objects[camera]


@pytest.mark.usefixtures("site")
def test_a_night_that_was_published_in_full_is_never_made_coarser(full: Site) -> None:
    before = night.files(full.folder)
    assert {o.status for o in run(full, 10).values()} == {"already published"}
    assert night.files(full.folder) == before


def test_a_full_night_stays_until_late_footage_is_done_in_full(site: Site) -> None:
    run(site, None)
    before = [store.read_manifest(site.store, c.id, NIGHT) for c in CAMERAS]
    night.write_clip(site.footage("220003.mp4"), night.pictures(4))
    outcomes = run(site, 20)
    assert [store.read_manifest(site.store, c.id, NIGHT) for c in CAMERAS] == before
    assert {(o.status, o.frames) for o in outcomes.values()} == {("partial", 25)}
    assert all("the deadline" in o.reason and "published before stays" in o.reason for o in outcomes.values())
    run(site, None)
    assert [store.read_manifest(site.store, c.id, NIGHT)["frames"] for c in CAMERAS] == [27] * 3  # type: ignore[index]


def test_a_coarse_night_with_late_footage_is_followed_by_passes_that_are_no_coarser(site: Site) -> None:
    run(site, 70)
    assert steps(site) == [2, 2, 2]
    night.write_clip(site.footage("220003.mp4"), night.pictures(4))
    run(site, 50)
    assert steps(site) == [2, 2, 2]
    assert [len(store.read_manifest(site.store, c.id, NIGHT)["segments"]) for c in CAMERAS] == [4] * 3  # type: ignore[index]


def test_a_second_run_before_the_deadline_goes_on_from_the_pass_that_is_published(site: Site) -> None:
    run(site, 25)
    assert steps(site) == [4, 4, 4]
    outcomes = run(site, 90)
    assert steps(site) == [1, 1, 2]  # 36 s for one slot in 2, then 24 s a camera
    assert [o.reason.partition(",")[0] for o in outcomes.values()] == ["", "", "one slot in 2"]


def test_a_finer_pass_that_fails_leaves_the_coarse_one_published_and_says_so(site: Site) -> None:
    def failing(plan: NightPlan, store_url: str, settings: NightSettings) -> CameraNight:
        if plan.camera.id == "second" and plan.camera.rate == CAMERA.rate:
            raise OSError("the store is full")
        return publish(plan, store_url, settings)

    outcomes = run(site, 250, failing)
    assert steps(site)[0] == steps(site)[2] == 1
    assert steps(site)[1] > 1
    assert outcomes["second"].status == "partial"
    assert "the store is full" in outcomes["second"].reason
    assert outcomes["second"].manifest_url


def test_the_coordinator_keeps_no_plan_of_the_cameras_that_wait(site: Site) -> None:
    class Stopped(AtOnce):
        def most(self) -> int:
            begun.wait(60)
            return 1

    begun = threading.Event()
    with (
        ExitStack() as held,
        PlanShelf(site.archive, site.store, site.settings) as shelf,
        ItemFeed(Stopped(site.settings)) as feed,  # type: ignore[arg-type]
    ):
        job = NightJob(NIGHT, site.archive, site.store, site.settings, None, NightProgress(), shelf, feed)
        job.begin(CAMERAS, held)
        gc.collect()
        plans = [o for o in gc.get_objects() if isinstance(o, NightPlan)]
        assert len(plans) <= 1  # of the camera that is being fed
        del plans
        begun.set()
        assert {o.status for o in job.finish()} == {"published"}


def test_items_whose_shards_are_all_stored_are_not_handed_over_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = night.plan(site.archive, site.store, site.settings, CAMERAS[0])
    store.create_run(planned, site.settings, "0")
    enhance.enhance_item(planned.items[0], site.settings)
    handed, submit = [], AtOnce.submit

    def noted(self: AtOnce, item: WorkItem, until_s: float) -> Done:
        handed.append((item.camera, item.shards[0].index))
        return submit(self, item, until_s)

    monkeypatch.setattr(AtOnce, "submit", noted)
    run(site, None)
    assert [first for camera, first in handed if camera == "first"] == [i.shards[0].index for i in planned.items[1:]]


def test_leases_that_a_power_loss_left_are_waited_for_together_after_the_free_cameras(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed, slept = list[str](), list[float]()
    submit = AtOnce.submit

    def noted(self: AtOnce, item: WorkItem, until_s: float) -> Done:
        handed.append(item.camera)
        return submit(self, item, until_s)

    class Watch(ModuleType):
        """Waits cost nothing, and are counted."""

        strftime, gmtime, time = time.strftime, time.gmtime, time.time

        def monotonic(self) -> float:
            return sum(slept)

        def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    monkeypatch.setattr(AtOnce, "submit", noted)
    monkeypatch.setattr(lease, "time", Watch("time"))
    first, second, third = (camera.id for camera in CAMERAS)
    for camera in (first, second):
        url = lease.folder(site.store, camera, NIGHT)
        storage.write(f"{url}/lease.1.json", json.dumps({**lease._self(), "machine": "elsewhere", "beat": 3}).encode())
    outcomes = run(site, None)
    assert {o.status for o in outcomes.values()} == {"published"}
    assert list(dict.fromkeys(handed)) == [third, first, second]
    assert lease.EXPIRES_S < sum(slept) < 1.2 * lease.EXPIRES_S


@pytest.mark.usefixtures("site")
def test_a_run_that_cant_have_as_many_frames_as_the_published_one_is_refused_before_any_work(full: Site) -> None:
    before = night.files(full.folder)
    fewer = [replace(camera, rate=camera.rate / 2) for camera in CAMERAS]
    outcomes = run(full, None, cameras=fewer)
    assert {o.status for o in outcomes.values()} == {"failed"}
    assert all("25 frames of 3 files" in o.reason and "did not take its place" in o.reason for o in outcomes.values())
    assert night.files(full.folder) == before
