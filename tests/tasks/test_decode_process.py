"""Footage that kills, hangs or bloats its decoder costs itself alone; the rest is what decoding here gives."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import number_of, numbered, write_clip

from lednet import quality
from tasks import decode, decode_process, slots, storage
from tasks.decode import VideoError
from tasks.decode_process import DecoderDiedError, DecoderStartError, fill_slots, prober
from tasks.decode_worker import HEADER
from tasks.faults import UnreadableError
from tasks.settings import NightSettings
from tasks.slots import Damage, SlotFrame
from tasks.types import NANOSECONDS, Grid, Segment

GRID = Grid(0, Fraction(5), 40)
SETTINGS = NightSettings()


def segments(folder: Path, count: int = 2) -> tuple[Segment, ...]:
    """Clips of two seconds, one after the other, frames numbered through."""
    found = []
    for k in range(count):
        path = write_clip(folder / f"{k}.mp4", [Fraction(n, 10) for n in range(20)], first=20 * k)
        found.append(Segment(f"file://{path}", "", 1, 2 * k * NANOSECONDS, "", 2 * (k + 1) * NANOSECONDS))
    return tuple(found)


def run(
    footage: tuple[Segment, ...], settings: NightSettings = SETTINGS, first: int = 0
) -> tuple[list[SlotFrame], list[Damage]]:
    events = list(fill_slots(GRID, first, GRID.slots, footage, settings))
    frames = [e for e in events if isinstance(e, SlotFrame)]
    return frames, [e for e in events if isinstance(e, Damage)]


@pytest.fixture(autouse=True)
def _own_helpers() -> Iterator[None]:
    decode_process.end_helpers()
    yield
    decode_process.end_helpers()


@pytest.fixture
def sabotage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose Python code every helper runs at its start, to stand for what a decoder does of hostile bytes."""
    folder = tmp_path / "sabotage"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', os.getcwd())}")
    return folder / "sitecustomize.py"


def at_frame(what: str, after: int = 3, url: str = "0.mp4") -> str:
    """Code for `sabotage`: do something when so many frames of a file were read."""
    return textwrap.dedent(f"""
        import threading, time
        def wait():
            import sys
            while "tasks.decode" not in sys.modules or not hasattr(sys.modules["tasks.decode"], "read_frames"):
                time.sleep(0.01)
            decode = sys.modules["tasks.decode"]
            real = decode.read_frames
            def reading(url, *args):
                for n, frame in enumerate(real(url, *args)):
                    if url.endswith({url!r}) and n == {after}:
                        {what}
                    yield frame
            decode.read_frames = reading
        threading.Thread(target=wait, daemon=True).start()
        """)


def test_frames_are_those_that_decoding_in_this_process_gives(tmp_path: Path) -> None:
    footage = segments(tmp_path)
    frames, damage = run(footage)
    expected = [e for e in slots.fill_slots(GRID, 0, 40, footage, 10**8) if isinstance(e, SlotFrame)]
    assert damage == []
    assert [f.slot for f in frames] == [e.slot for e in expected] == list(range(20))
    assert all(np.array_equal(f.pixels, e.pixels) and f.url == e.url for f, e in zip(frames, expected, strict=True))


def test_frames_of_growing_size_come_through(tmp_path: Path) -> None:
    footage = segments(tmp_path)
    large = [numbered(k, 240, 320) for k in range(20)]
    write_clip(tmp_path / "1.mp4", [Fraction(n, 10) for n in range(20)], pictures=large)
    frames, _ = run(footage)
    assert [f.pixels.shape[0] for f in frames] == [48] * 10 + [240] * 10
    assert [number_of(f.pixels) for f in frames[10:]] == list(range(0, 20, 2))


def test_frames_that_wait_to_be_taken_are_not_overwritten_by_larger_ones(tmp_path: Path) -> None:
    footage = segments(tmp_path)
    write_clip(tmp_path / "0.mp4", [Fraction(n, 5) for n in range(4)])
    large = [numbered(k, 240, 320) for k in range(10, 16)]
    write_clip(tmp_path / "1.mp4", [Fraction(n, 5) for n in range(6)], pictures=large)
    events = fill_slots(GRID, 0, GRID.slots, footage, SETTINGS)
    first = next(events)
    time.sleep(0.3)  # until the decoder is as far ahead as it goes
    numbers = [number_of(e.pixels) for e in (first, *events) if isinstance(e, SlotFrame)]
    assert numbers == [*range(4), *range(10, 16)]


def test_frames_that_wait_to_be_taken_are_not_overwritten_by_later_ones(tmp_path: Path) -> None:
    events = fill_slots(GRID, 0, GRID.slots, segments(tmp_path), SETTINGS)
    seen = [next(events)]
    time.sleep(0.3)  # until the decoder is as far ahead as it goes
    seen += events
    assert [number_of(e.pixels) for e in seen if isinstance(e, SlotFrame)] == list(range(0, 40, 2))


def test_a_process_of_many_open_files_can_decode(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = min(2048, hard)
    if many < 1100:
        pytest.skip("this machine allows few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1030)]
    try:
        assert len(run(segments(tmp_path, 1))[0]) == 10
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_frames_asked_for_in_a_size_come_in_it_with_their_figures(tmp_path: Path) -> None:
    frames = [e for e in fill_slots(GRID, 0, 5, segments(tmp_path), SETTINGS, (24, 40)) if isinstance(e, SlotFrame)]
    assert [f.pixels.shape for f in frames] == [(24, 40, 3)] * 5
    assert [f.figures for f in frames] == [quality.measure(f.pixels) for f in frames]


def test_frames_of_another_size_than_was_asked_for_cost_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = decode_process._Helper.answer

    def lying(*args: Any) -> dict[str, Any]:
        event = answer(*args)
        return event | {"height": 48, "width": 20} if event["kind"] == "frame" else event

    monkeypatch.setattr(decode_process._Helper, "answer", lying)
    events = list(fill_slots(GRID, 0, GRID.slots, segments(tmp_path), SETTINGS, (24, 40)))
    assert {type(e) for e in events} == {Damage}
    assert all("nonsense" in e.cause for e in events if isinstance(e, Damage))


@pytest.mark.parametrize("figures", [[1], 7, ["a"] * len(quality.Quality._fields), [None] * 7])
def test_figures_that_are_none_are_a_decoder_gone_wrong(figures: object) -> None:
    with pytest.raises(decode_process.DecoderDiedError, match="nonsense"):
        decode_process.figures_of({"figures": figures})


def test_one_helper_does_the_next_job_as_well(tmp_path: Path) -> None:
    footage = segments(tmp_path)
    run(footage)
    (helper,) = decode_process._idle
    assert run(footage, first=5)[0][0].slot == 5
    assert prober(SETTINGS)(footage[0].url) == decode.probe(footage[0].url)
    assert decode_process._idle == [helper]


def test_a_helper_takes_the_patience_of_the_job_at_hand(tmp_path: Path) -> None:
    (footage,) = segments(tmp_path, 1)
    prober(SETTINGS)(footage.url)
    prober(replace(SETTINGS, decode_stall_s=77))(footage.url)
    (helper,) = decode_process._idle
    assert helper.stall_s == 77


@pytest.mark.parametrize("change", ["memory", "key"])
def test_a_helper_of_another_memory_or_key_is_ended_and_one_of_these_started(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (footage,) = segments(tmp_path, 1)
    prober(SETTINGS)(footage.url)
    (before,) = children()
    if change == "key":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    prober(replace(SETTINGS, decode_memory_mb=SETTINGS.decode_memory_mb + (change == "memory")))(footage.url)
    (after,) = children()
    assert before != after


def test_a_helper_that_died_while_it_waited_for_work_is_not_used_again(tmp_path: Path) -> None:
    footage = segments(tmp_path, 1)
    run(footage)
    (helper,) = decode_process._idle
    helper.process.kill()
    helper.process.wait()
    assert [f.slot for f in run(footage)[0]] == list(range(10))


def test_a_forked_process_leaves_its_parents_helpers_alone(tmp_path: Path) -> None:
    run(segments(tmp_path, 1))
    child = os.fork()
    if child == 0:
        os._exit(len(decode_process._idle))  # two that speak to one helper would take each other's answers
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(decode_process._idle) == 1


def test_a_helper_may_take_as_much_memory_as_is_set_and_leaves_no_core(tmp_path: Path) -> None:
    prober(SETTINGS)(segments(tmp_path, 1)[0].url)
    (helper,) = children()
    limits = Path(f"/proc/{helper}/limits").read_text().splitlines()
    (space,) = (line.split()[3:5] for line in limits if line.startswith("Max address space"))
    (core,) = (line.split()[4:6] for line in limits if line.startswith("Max core file size"))
    assert space == [str(SETTINGS.decode_memory_mb * 2**20)] * 2
    assert core == ["0", "0"]


def test_a_keyboards_interrupt_reaches_no_helper(tmp_path: Path) -> None:
    (footage,) = segments(tmp_path, 1)
    prober(SETTINGS)(footage.url)
    (helper,) = decode_process._idle
    helper.process.send_signal(signal.SIGINT)  # as the terminal does to all of its processes
    prober(SETTINGS)(footage.url)
    assert decode_process._idle == [helper]


def test_a_helper_that_hangs_ends_with_the_process_that_it_works_for(tmp_path: Path, sabotage: Path) -> None:
    hangs = tmp_path / "hangs"
    sabotage.write_text(at_frame(f"open({str(hangs)!r}, 'w').close(); time.sleep(600)"))
    footage = segments(tmp_path)
    worker = os.fork()
    if worker == 0:
        try:
            run(footage)
        finally:
            os._exit(0)
    wait_until(hangs.exists)
    (helper,) = children(worker)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    wait_until(lambda: not alive(helper))


def wait_until(true: Callable[[], bool]) -> None:
    """Long enough for a busy machine."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("nothing came of it")


def alive(process: int) -> bool:
    """Whether a process of any parent is there and does something; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_frames_above_the_limit_of_the_settings_are_told(tmp_path: Path) -> None:
    frames, damage = run(segments(tmp_path, 1), replace(SETTINGS, most_pixels=64 * 48 - 1))
    assert frames == []
    assert [d.cause for d in damage] == ["its frames of 64x48 are above the limit of 3071 pixels"]


def test_what_a_library_prints_is_no_answer(tmp_path: Path, sabotage: Path) -> None:
    sabotage.write_text(at_frame("import os; os.write(1, b'[h264] a warning')"))
    frames, damage = run(segments(tmp_path))
    assert ([f.slot for f in frames], damage) == (list(range(20)), [])


def test_a_helper_that_gets_on_is_not_hung_however_long_the_next_answer_takes(tmp_path: Path) -> None:
    (footage,) = segments(tmp_path, 1)
    prober(SETTINGS)(footage.url)
    helper = decode_process._borrow(replace(SETTINGS, decode_stall_s=0.5))

    def get_on() -> None:  # as if it decoded frames that nobody asked for
        for k in range(15):
            time.sleep(0.1)
            HEADER.pack_into(helper.map, 0, 0, 1000 + k)
        helper.tell("{}")

    working = threading.Thread(target=get_on)
    working.start()
    assert helper.answer()["kind"] == "failed"  # which is what it has to say of such a job
    working.join()
    helper.end()


def test_frames_that_are_decoded_on_the_way_to_the_wanted_ones_count_as_getting_on(tmp_path: Path) -> None:
    times = [Fraction(n, 10) for n in range(80)]  # of which the first alone is a key frame
    path = write_clip(tmp_path / "a.mkv", times, gop=1000)
    footage = (Segment(f"file://{path}", "", 1, 0, "", 8 * NANOSECONDS),)
    assert len(run(footage, first=35)[0]) == 5
    helper = decode_process._borrow(SETTINGS)
    assert helper.progress()[1] >= 80
    helper.end()


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        ("time.sleep(600)", "hung (no sign of life for 2 s)"),
        ("bytearray(2**40)", "ran out of memory"),
        ("raise KeyError(url)", "failed (KeyError)"),
    ],
    ids=["crash", "hang", "bloat", "bug"],
)
def test_a_file_that_ends_its_decoder_is_left_out_and_told_with_its_reason(
    what: str, cause: str, tmp_path: Path, sabotage: Path
) -> None:
    sabotage.write_text(at_frame(what))
    footage = segments(tmp_path)
    frames, damage = run(footage, replace(SETTINGS, decode_stall_s=2))
    assert [(d.url, d.cause) for d in damage] == [(footage[0].url, f"the decoder {cause} on it")]
    assert [f.slot for f in frames if f.url == footage[1].url] == list(range(10, 20))


def test_a_decoder_that_somebody_killed_once_costs_no_frame(tmp_path: Path) -> None:
    footage = segments(tmp_path)
    events = fill_slots(GRID, 0, 40, footage, SETTINGS)
    seen = [next(events) for _ in range(5)]
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    seen += list(events)
    assert [(type(e), e.slot) for e in seen] == [(SlotFrame, k) for k in range(20)]
    assert [number_of(e.pixels) for e in seen if isinstance(e, SlotFrame)] == list(range(0, 40, 2))


def test_damage_is_told_once_though_a_new_helper_meets_it_again(tmp_path: Path) -> None:
    footage = segments(tmp_path)
    (tmp_path / "0.mp4").write_bytes(b"no video " * 500)
    events = fill_slots(GRID, 0, 40, footage, SETTINGS)
    seen = [next(events) for _ in range(3)]
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    seen += list(events)
    assert [type(e) for e in seen] == [Damage] + [SlotFrame] * 10


def dying(monkeypatch: pytest.MonkeyPatch, times: float) -> None:
    """So many times a helper is dead before it has read its job."""
    tell: Callable[..., None] = decode_process._Helper.tell
    jobs = count()

    def to_nobody(helper: decode_process._Helper, line: str) -> None:
        if next(jobs) < times:
            helper.process.kill()
            helper.process.wait()
        tell(helper, line)

    monkeypatch.setattr(decode_process._Helper, "tell", to_nobody)


def test_a_decoder_that_dies_before_it_reads_anything_is_no_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(monkeypatch, inf)
    with pytest.raises(DecoderDiedError, match=r"crashed .SIGKILL.; look at the worker's memory and log"):
        run(segments(tmp_path, 1))


def test_a_look_at_a_header_that_somebody_killed_once_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (footage,) = segments(tmp_path, 1)
    dying(monkeypatch, 1)
    assert prober(SETTINGS)(footage.url) == decode.probe(footage.url)


def test_the_time_at_which_a_file_was_created_comes_through(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [0, 0.1], metadata={"creation_time": "2026-01-15T22:00:05.000000Z"})
    header = prober(SETTINGS)(f"file://{path}")
    assert header.created is not None
    assert header == decode.probe(f"file://{path}")


def test_a_header_that_is_out_of_reach_is_told_as_such_and_not_as_a_broken_decoder(tmp_path: Path) -> None:
    segments(tmp_path, 1)
    with pytest.raises(UnreadableError, match=r"gone\.mp4"):
        prober(SETTINGS)(f"file://{tmp_path}/gone.mp4")


def test_headers_of_many_files_are_looked_at_by_few_helpers(tmp_path: Path) -> None:
    (footage,) = segments(tmp_path, 1)
    with ThreadPoolExecutor(6) as pool:
        headers = list(pool.map(prober(SETTINGS), [footage.url] * 6))
    assert headers == [decode.probe(footage.url)] * 6
    assert len(children()) <= decode_process.MOST_PROBES


def children(parent: int | None = None) -> list[int]:
    """Helper processes of this one, or of another."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields, line = status.read_text(), (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields.rpartition(")")[2].split()[1]) == (parent or os.getpid()) and b"tasks.decode_worker" in line:
            found.append(int(status.parent.name))
    return found


def test_a_stores_outage_stays_the_stores(tmp_path: Path) -> None:
    footage = segments(tmp_path / "archive")
    (tmp_path / "archive").rename(tmp_path / "unmounted")
    with pytest.raises(storage.StorageError, match="check the archive"):
        run(footage)


def test_a_file_that_crashes_the_look_at_its_header_is_unusable(tmp_path: Path, sabotage: Path) -> None:
    sabotage.write_text(
        "import threading, time\ndef wait():\n  import sys, os\n  while 'tasks.decode_worker' not in sys.modules and "
        "not hasattr(sys.modules.get('tasks.decode'), 'probe'): time.sleep(0.01)\n  "
        "sys.modules['tasks.decode'].probe = lambda url: os.abort()\nthreading.Thread(target=wait, daemon=True).start()"
    )
    with pytest.raises(VideoError, match=r"the decoder crashed .SIGABRT. on it"):
        prober(SETTINGS)(segments(tmp_path)[0].url)


def short_of_memory(monkeypatch: pytest.MonkeyPatch, times: float) -> None:
    """So many times the system can't start another process; no pause between tries."""
    monkeypatch.setattr(decode_process, "START_PAUSE_S", 0)
    tries = count()

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **named: Any) -> None:
            if next(tries) < times:
                raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
            super().__init__(*args, **named)

    monkeypatch.setattr(subprocess, "Popen", Popen)


def test_a_shortage_that_passes_costs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (footage,) = segments(tmp_path, 1)
    short_of_memory(monkeypatch, 1)
    assert prober(SETTINGS)(footage.url) == decode.probe(footage.url)


def test_a_shortage_that_stays_is_told_as_such_and_not_as_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, inf)
    with pytest.raises(DecoderStartError, match=r"Cannot allocate memory.*open files"):
        run(segments(tmp_path))


@pytest.mark.parametrize(
    ("at_start", "cause"),
    [("import os; os._exit(3)", "exit code 3"), ("import time; time.sleep(600)", "hung")],
    ids=["ends", "hangs"],
)
def test_a_decoder_that_does_not_get_ready_is_no_files_fault(
    at_start: str, cause: str, tmp_path: Path, sabotage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage.write_text(at_start)
    monkeypatch.setattr(decode_process, "START_S", 1)
    monkeypatch.setattr(decode_process, "START_PAUSE_S", 0)
    with pytest.raises(DecoderStartError, match=cause):
        prober(SETTINGS)(segments(tmp_path, 1)[0].url)


@pytest.mark.parametrize("fault", ["no process", "never ready"])
def test_a_decoder_that_could_not_be_started_leaves_nothing_behind(
    fault: str, tmp_path: Path, sabotage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (footage,) = segments(tmp_path, 1)
    prober(SETTINGS)(footage.url)
    decode_process.end_helpers()
    open_before = len(os.listdir("/proc/self/fd"))
    sabotage.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(decode_process, "START_S", 1)
    short_of_memory(monkeypatch, inf if fault == "no process" else 0)
    with pytest.raises(DecoderStartError):
        prober(SETTINGS)(footage.url)
    assert children() == []
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_damage_and_refusals_come_through(tmp_path: Path) -> None:
    footage = segments(tmp_path)
    (tmp_path / "0.mp4").write_bytes(b"no video " * 500)
    frames, damage = run(footage)
    assert [d.url for d in damage] == [footage[0].url]
    assert damage[0].cause.startswith("not a readable video")
    assert len(frames) == 10
    with pytest.raises(VideoError, match="not a readable video"):
        prober(SETTINGS)(footage[0].url)


def test_stopping_early_leaves_no_helper_behind(tmp_path: Path) -> None:
    events = fill_slots(GRID, 0, 40, segments(tmp_path), SETTINGS)
    next(events)
    assert len(children()) == 1
    events.close()
    assert children() == []
