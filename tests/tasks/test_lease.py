"""One works, the other is told; and the lease of one who died is nobody's. In folders and in S3."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ConnectTimeoutError

from tasks import conditional, lease, listing, storage
from tasks.lease import HeldError, UnsureError, held
from tests.tasks.night import without_pauses


@pytest.fixture(params=["file", "s3"])
def night(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(lease, "WATCH_S", 0.01)
    monkeypatch.setattr(lease, "EXPIRES_S", 1.0)
    monkeypatch.setattr(lease, "BEAT_S", 0.2)
    if request.param == "file":
        return storage.normalise(str(tmp_path))
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


def left_by(night: str, **fields: object) -> None:
    """A lease as a killed process leaves it."""
    storage.write(f"{night}/lease.1.json", json.dumps({**lease._self(), "beat": 3, **fields}).encode())


def test_a_lease_is_there_while_it_is_held_and_gone_after(night: str) -> None:
    with held(night):
        assert listing.names(night) == ["lease.1.json"]
    assert listing.names(night) == []


def test_the_second_is_told_who_is_at_work(night: str) -> None:
    with (
        held(night),
        pytest.raises(HeldError, match=r"process \d+ on .* is at work on this night since 20"),
        held(night),
    ):
        pass
    with held(night):
        pass


def test_of_many_at_once_one_works(night: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 60)  # a lease that is renewed while a slow machine reads it is read again
    meeting = threading.Barrier(6)

    def operate(_: int) -> bool:
        meeting.wait()
        try:
            with held(night):
                told.wait(200)  # a busy machine takes long over the refusals
                return True
        except HeldError:
            if len(refused) == 4:
                told.set()
            refused.append(1)
            return False

    told, refused = threading.Event(), list[int]()
    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(operate, range(6))) == [False] * 5 + [True]


@pytest.mark.parametrize(
    "fields",
    [{"started_after_boot_s": 1.0}, {"pid": 1}, {"pid": 2**22 + 1}, {"pid": "x"}, {"pid": None}],
    ids=["an earlier one", "its number is another's now", "no such number", "no number", "none"],
)
def test_the_lease_of_a_dead_process_of_this_machine_is_taken_at_once(night: str, fields: dict[str, object]) -> None:
    left_by(night, **fields)
    with held(night, wait=False):
        assert "lease.2.json" in listing.names(night)
    assert listing.names(night) == []


@pytest.mark.skipif(not psutil.LINUX, reason="reaches into how psutil asks Linux")
@pytest.mark.parametrize("jump_s", [-86_400, -1, 1, 3_600])
def test_a_holder_is_not_taken_for_dead_when_the_clock_is_set(
    night: str, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    from psutil import _pslinux

    booted = _pslinux.boot_time()
    with held(night):
        monkeypatch.setattr(_pslinux, "boot_time", lambda: booted + jump_s)  # the kernel tells it by the wall clock
        with pytest.raises(HeldError), held(night):
            pass


def test_the_lease_of_another_machine_runs_out_when_it_beats_no_more(night: str) -> None:
    left_by(night, machine="elsewhere")
    with held(night):
        assert "lease.2.json" in listing.names(night)
    assert listing.names(night) == []


def test_the_lease_of_another_machine_that_beats_is_held(night: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = lease._self()
    monkeypatch.setattr(lease, "_self", lambda: {**here, "machine": "elsewhere"})
    monkeypatch.setattr(lease, "EXPIRES_S", 20)
    with held(night), pytest.raises(HeldError), held(night):
        pass


def test_one_who_does_not_wait_comes_back_to_a_lease_that_ran_out_meanwhile(night: str) -> None:
    left_by(night, machine="elsewhere")
    with pytest.raises(UnsureError, match="whether it lives shows within") as unsure, held(night, wait=False):
        pass
    assert listing.names(night) == ["lease.1.json"]
    time.sleep(lease.EXPIRES_S)
    with held(night, unsure.value.seen, wait=False):
        assert "lease.2.json" in listing.names(night)


def test_one_who_comes_back_to_a_lease_that_was_renewed_meanwhile_is_told(night: str) -> None:
    left_by(night, machine="elsewhere")
    with pytest.raises(UnsureError) as unsure, held(night, wait=False):
        pass
    left_by(night, machine="elsewhere", beat=4)
    with pytest.raises(HeldError), held(night, unsure.value.seen):
        pass


def others(night: str, number: int) -> bytes:
    """Put another machine's lease there, as one who took it over while this process was suspended; returns it."""
    left_by_another = json.dumps({**lease._self(), "machine": "elsewhere", "token": "another's", "beat": 0}).encode()
    storage.write(f"{night}/lease.{number}.json", left_by_another)
    return left_by_another


def test_a_lease_that_is_held_passes_its_check_however_often_it_was_renewed(night: str) -> None:
    with held(night) as mine:
        mine.check()
        time.sleep(3 * lease.BEAT_S)
        mine.check()


@pytest.mark.parametrize("number", [1, 2], ids=["given back since and taken again", "held by another"])
def test_one_who_wakes_after_another_took_the_lease_is_told(
    night: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 60)
    with held(night) as mine:
        others(night, number)
        with pytest.raises(HeldError, match="its lease ran out; run the same command again"):
            mine.check()


def test_one_who_wakes_leaves_the_lease_that_another_took_meanwhile(
    night: str, caplog: pytest.LogCaptureFixture
) -> None:
    with held(night):
        theirs = others(night, 1)
        until = time.monotonic() + 20
        while "ran out while this process was away" not in caplog.text and time.monotonic() < until:
            time.sleep(0.05)
    assert "another may be at work as well" in caplog.text
    assert storage.read(f"{night}/lease.1.json") == theirs


def test_a_beat_whose_answer_was_lost_costs_no_lease(night: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, lost = conditional.replace, 0

    def answer_lost(url: str, data: bytes, mark: str) -> str:
        nonlocal lost
        new = replace(url, data, mark)
        if mark and not lost:
            lost += 1
            raise storage.StorageError("the store is gone")
        return new

    monkeypatch.setattr(conditional, "replace", answer_lost)
    with held(night) as mine:
        time.sleep(4 * lease.BEAT_S)
        first = storage.read(f"{night}/lease.1.json")
        time.sleep(4 * lease.BEAT_S)
        assert storage.read(f"{night}/lease.1.json") != first
        mine.check()
    assert lost


def test_a_store_that_fails_when_a_lease_is_given_back_costs_no_work(
    night: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: str) -> list[str]:
        raise storage.StorageError("the store is gone")

    with held(night):
        monkeypatch.setattr(listing, "names", failing)
    assert "may stay behind: the store is gone" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_lease_is_nobodys(night: str, content: bytes) -> None:
    storage.write(f"{night}/lease.1.json", content)
    with held(night):
        pass
    assert listing.names(night) == []


def test_an_object_is_created_once(night: str) -> None:
    assert conditional.create(f"{night}/a", b"1")
    assert not conditional.create(f"{night}/a", b"2")
    assert storage.read(f"{night}/a") == b"1"
    assert listing.names(night) == ["a"]


def test_what_was_anothers_and_is_gone_again_was_not_created(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = storage.call

    def refused(fs: object, method: str, *args: object, **options: object) -> object:
        if method == "pipe_file":
            raise FileExistsError("the precondition did not hold")
        return call(fs, method, *args, **options)

    monkeypatch.setattr(storage, "call", refused)
    assert not conditional.create(f"{bucket}/gone", b"1")


@pytest.mark.parametrize("arrives", [False, True], ids=["asked in vain", "answer lost"])
def test_a_fault_that_passes_costs_no_lease(bucket: str, monkeypatch: pytest.MonkeyPatch, arrives: bool) -> None:
    call, faults = storage.call, 2

    def faulty(fs: object, method: str, *args: object, **options: object) -> object:
        nonlocal faults
        if method != "pipe_file" or not faults:
            return call(fs, method, *args, **options)
        faults -= 1
        if arrives:
            call(fs, method, *args, **options)
        raise ConnectTimeoutError(endpoint_url="http://127.0.0.1")

    without_pauses(monkeypatch)
    monkeypatch.setattr(storage, "call", faulty)
    assert conditional.create(f"{bucket}/night/lease", b"1")
    assert not conditional.create(f"{bucket}/night/lease", b"2")
