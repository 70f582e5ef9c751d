"""Who is at work on a camera's night, so that a second operator is told instead of doing it all again.

A lease is an object beside the runs, written only if there is none, and written again every few seconds. It saves work
and is no lock: a process that is suspended for longer than a lease lives wakes to find another at work. Shards are
written whole and come out the same whoever writes them, so that costs time and never a byte; what can be changed but
once is written by `conditional.replace`, what is deleted, is deleted after a `Lease.check`. Not covered: scheduling.

    <store>/enhanced/<camera>/<night>/lease.<n>.json      the highest n counts; taking over writes n + 1
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tasks import conditional, listing, storage

log = logging.getLogger(__name__)

BEAT_S = 15.0
"""How often a holder renews its lease."""
EXPIRES_S = 60.0
"""A lease that is not renewed for so long, by the watch of the one who waits, is free. Clocks are never compared."""
QUIET_S = 600.0
"""One of another machine that was not renewed for so long is no sign of work, even where clocks differ by minutes."""
WATCH_S = 1.0
"""How often one who waits looks."""

_NAME = re.compile(r"lease\.(\d{1,9})\.json", re.ASCII)


class HeldError(RuntimeError):
    """Somebody else is at work on this night; the message says who."""


@dataclass(frozen=True)
class Seen:
    """Another machine's lease as it was first seen, and when by this process's watch; once it changes, it lives."""

    lease: dict[str, Any]
    since_s: float


@dataclass(frozen=True)
class Lease:
    """A night's lease, as its holder has it."""

    url: str
    """Of the night."""
    token: str

    def check(self) -> None:
        """Raise HeldError if it is this holder's no more: another took it over while this process was suspended."""
        latest = _latest(self.url)[1]
        if latest is None or latest.get("token") != self.token:
            raise HeldError("this process was away for so long that its lease ran out; run the same command again")


class UnsureError(RuntimeError):
    """Whether the holder of this night's lease lives has yet to show."""

    def __init__(self, url: str, seen: Seen) -> None:
        super().__init__(
            f"{url} is leased by {seen.lease.get('host')}; whether it lives shows within {EXPIRES_S:.0f} s"
        )
        self.seen = seen


def folder(store_url: str, camera: str, night: str) -> str:
    """Where a camera's night is leased."""
    return storage.join(store_url, "enhanced", camera, night)


@contextmanager
def held(url: str, seen: Seen | None = None, wait: bool = True) -> Iterator[Lease]:
    """Hold a night's lease while the context lasts.

    A lease left by a process of this machine that is dead is taken over at once; one of another machine after
    `EXPIRES_S` without a beat since it was first seen.

    Args:
        seen: of the `UnsureError` that was raised before.
        wait: until it shows whether another machine's holder lives.

    Raises:
        HeldError: if its holder is alive.
        UnsureError: if that has yet to show, and `wait` is False.
        StorageError: if the store can't be used.
    """
    token = {**_self(), "token": uuid.uuid4().hex}
    number, mark = _take(url, token, seen, wait)
    stop = threading.Event()
    beats = threading.Thread(target=_beat, args=(_url(url, number), token, mark, stop), name="lease", daemon=True)
    beats.start()
    try:
        yield Lease(url, token["token"])
    finally:
        stop.set()
        beats.join()
        _release(url, number, token)


def last_beat_s(url: str) -> float:
    """When a night's lease was last renewed, by the store's clock, in seconds since the Unix epoch; 0 if never."""
    return max((e.modified_s for e in listing.find(url) if _NAME.fullmatch(storage.relative(e.url, url))), default=0.0)


def is_held(url: str) -> bool:
    """Whether somebody seems to be at work on a night, at one look and without waiting: for telling people.

    A holder on this machine is asked for; of one elsewhere the last beat must be recent, by two clocks that may differ.
    """
    latest = _latest(url)[1]
    if latest is None or _is_dead(latest):
        return False
    return _is_here(latest) or time.time() - last_beat_s(url) < QUIET_S


def _url(url: str, number: int) -> str:
    return storage.join(url, f"lease.{number}.json")


def _numbers(url: str) -> list[int]:
    return sorted(int(m[1]) for name in listing.names(url) if (m := _NAME.fullmatch(name)))


def _latest(url: str) -> tuple[int, dict[str, Any] | None]:
    """The lease that counts and its number, 0 where there is none."""
    number = max(_numbers(url), default=0)
    return number, _read(_url(url, number)) if number else None


def _take(url: str, token: dict[str, Any], seen: Seen | None, wait: bool) -> tuple[int, str]:
    """Write the lease; returns its number and its mark."""
    while True:
        number, latest = _latest(url)
        if latest is None or _is_dead(latest) or _has_run_out(latest, seen):
            mark = conditional.create(_url(url, number + 1), _bytes(token, 0))
            if mark:
                return number + 1, mark
            continue
        if _is_here(latest) or (seen is not None and latest != seen.lease):
            raise HeldError(
                f"process {latest.get('pid')} on {latest.get('host')} is at work on this night since "
                f"{latest.get('since')}; let it finish, or end it and run the night again"
            )
        if seen is None:
            seen = Seen(latest, time.monotonic())
            log.warning("%s", UnsureError(url, seen))
        if not wait:
            raise UnsureError(url, seen)
        time.sleep(WATCH_S)


def _has_run_out(latest: dict[str, Any], seen: Seen | None) -> bool:
    return seen is not None and latest == seen.lease and time.monotonic() - seen.since_s > EXPIRES_S


def _release(url: str, number: int, token: dict[str, Any]) -> None:
    """Remove this lease and those before it. A lease that can't be removed runs out by itself."""
    for old in range(number, 0, -1):
        try:
            if old == number and not _mine(_url(url, number), token):
                return
            storage.remove(_url(url, old))
            if old - 1 not in _numbers(url):
                return
        except OSError as error:
            log.warning("%s may stay behind: %s", _url(url, old), error)
            return


def _beat(url: str, token: dict[str, Any], mark: str, stop: threading.Event) -> None:
    """Renew a lease until it is given back, or turns out to be another's."""
    count = 0
    while not stop.wait(BEAT_S):
        count += 1
        with suppress(OSError):  # the next beat may succeed; without any the lease runs out, which costs work alone
            mark = conditional.replace(url, _bytes(token, count), mark) or _mine(url, token)
            if not mark:
                log.warning("%s: ran out while this process was away; another may be at work as well", url)
                return


def _mine(url: str, token: dict[str, Any]) -> str:
    """The mark of a lease if it is this holder's, be it by a beat whose answer was lost; else nothing."""
    try:
        data, mark = conditional.read_marked(url)
    except FileNotFoundError:
        return ""
    return mark if token["token"].encode() in data else ""


def _bytes(token: dict[str, Any], beat: int) -> bytes:
    return (json.dumps({**token, "beat": beat}, sort_keys=True) + "\n").encode()


def _read(url: str) -> dict[str, Any] | None:
    """A lease; None if it is gone or damaged, and so nobody's."""
    try:
        lease = json.loads(storage.read(url))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return lease if isinstance(lease, dict) else None


def _self() -> dict[str, Any]:
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(),
            "started_after_boot_s": _started_after_boot_s(psutil.Process()), "since": now}  # fmt: skip


def _started_after_boot_s(process: psutil.Process) -> float:
    """When a process was started, in seconds since the machine was: that stays, whatever the wall clock is set to."""
    return round(float(process.create_time() - psutil.boot_time()), 2)


def _machine() -> str:
    """Names the set of processes among which a process id means one process; empty where the system doesn't tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_here(lease: dict[str, Any]) -> bool:
    """Whether this machine can tell that the holder lives: it does, and runs here."""
    return bool(_machine()) and lease.get("machine") == _machine() and not _is_dead(lease)


def _is_dead(lease: dict[str, Any]) -> bool:
    """Whether the holder ran on this machine and has ended; False where that can't be known."""
    if not _machine() or lease.get("machine") != _machine():
        return False
    try:
        process = psutil.Process(int(lease["pid"]))
        alive = (
            process.status() != psutil.STATUS_ZOMBIE and _started_after_boot_s(process) == lease["started_after_boot_s"]
        )
        return not alive
    except psutil.AccessDenied:
        return False
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return True
