"""The command line: help, bad input, exit codes. Nights themselves are run by the `test_night_of_*` files."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from rich.console import Console

from flows.cli import log_handler
from flows.night_commands import exit_code, quarantined, show_outcomes
from tasks import listing
from tasks.types import CameraNight
from tests.flows.conftest import Run

SITE = """
[[camera]]
id = "pit"
name = "Pit"
scene = "outdoor"
timezone = "Asia/Shanghai"
pattern = "pit/%Y%m%d_%H%M%S.mp4"
rate = 5
start = "22:00"
end = "22:01"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of one camera, with two seconds of footage."""
    path = tmp_path / "cameras.toml"
    path.write_text(SITE)
    (tmp_path / "archive/pit").mkdir(parents=True)
    write_clip(tmp_path / "archive/pit/20260115_220010.mp4")
    return path


def write_clip(path: Path, frames: int = 20, fps: int = 10, width: int = 64) -> None:
    """A dark clip, 48 high."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
        for i in range(frames):
            picture = np.full((48, width, 3), 20 + i, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def where(site: Path) -> tuple[str, ...]:
    """The options that name a site's places."""
    return ("--site", str(site), "--archive", str(site.parent / "archive"), "--store", str(site.parent / "store"))


def test_help_names_every_command(lednet: Run) -> None:
    text = lednet("--help").stdout
    commands = "demo", "clip", "plan", "enhance", "evaluate", "report", "status", "show", "deploy", "train", "bench"
    for command in commands:
        assert command in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("enhance", "2026-02-30"), "YYYY-MM-DD"),
        (("enhance", "2026-01-15", "--site", "nowhere.toml"), "nowhere.toml: not there"),
        (("plan", "2026-01-15", "--site", "nowhere.toml"), "nowhere.toml: not there"),
        (("report", "2026-01-15", "--site", "nowhere.toml"), "nowhere.toml: not there"),
        (("gc", "--store", "/nowhere"), "store /nowhere: not there"),
        (("show", "pit", "2026-01-15T22:00", "out.png", "--store", "/nowhere"), "store /nowhere: not there"),
        (("clip", "nothing.mp4", "out.mp4"), "nothing.mp4"),
        (("clip", __file__, "out.mp4", "--model", "huge"), "huge"),
    ],
)
def test_bad_input_ends_with_1_and_says_what_is_wrong_without_a_traceback(
    lednet_here: Run, arguments: tuple[str, ...], words: str
) -> None:
    result = lednet_here(*arguments)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "starting" not in result.stderr


@pytest.mark.parametrize("command", ["report", "evaluate"])
def test_a_store_that_is_not_there_is_no_night_of_which_nothing_was_restored(
    command: str, lednet_here: Run, site: Path, tmp_path: Path
) -> None:
    result = lednet_here(command, "2026-01-15", "--site", str(site), "--store", str(tmp_path / "nas"))
    assert result.returncode == 1
    assert f"store {tmp_path}/nas: not there; mount it" in result.stderr
    assert "starting" not in result.stderr


def test_an_unknown_camera_is_told_before_anything_starts(lednet_here: Run, site: Path) -> None:
    result = lednet_here("enhance", "2026-01-15", *where(site), "--camera", "moon")
    assert result.returncode == 1
    assert "no camera moon" in result.stderr
    assert "Prefect" not in result.stderr


def test_workers_that_can_not_be_had_are_told_before_anything_starts(lednet_here: Run, site: Path) -> None:
    result = lednet_here("enhance", "2026-01-15", *where(site), "--scheduler", "localhost:8786")
    assert result.returncode == 1
    assert "LEDNET_SCHEDULER=localhost:8786" in result.stderr
    assert "starting" not in result.stderr


@pytest.mark.parametrize("command", ["plan", "enhance"])
def test_an_archive_that_is_not_there_is_no_night_without_footage(command: str, lednet_here: Run, site: Path) -> None:
    result = lednet_here(command, "2026-01-15", *where(site), "--archive", "/nowhere")
    assert result.returncode == 1
    assert "archive /nowhere: not there" in result.stderr


def test_a_store_or_night_that_holds_nothing_does_not_pass_for_intact(lednet_here: Run, tmp_path: Path) -> None:
    result = lednet_here("verify", "2026-01-16", "--store", str(tmp_path / "none"), "--camera", "pit")
    assert result.returncode == 1
    assert "none: holds no published nights of 2026-01-16 of camera pit; nothing was verified" in result.stderr


def test_a_quarantined_file_is_named_with_its_reason(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    problems = [{"url": "file:///a/b c.mp4", "reason": "cut off", "frames": 3}] * 21
    manifest.write_text(json.dumps({"problems": problems}))
    lines = quarantined([CameraNight("pit", "published", quarantined=21, manifest_url=f"file://{manifest}")])
    assert lines[0] == "pit: quarantined b c.mp4: cut off (3 frames of it are used)"
    assert lines[20:] == ["... and 1 more files; the report names all"]


def test_a_prefect_server_that_does_not_answer_is_named(lednet_here: Run, site: Path) -> None:
    result = lednet_here("enhance", "2026-01-15", *where(site), PREFECT_API_URL="http://127.0.0.1:9/api")
    assert result.returncode == 1
    assert "no Prefect server answers" in result.stderr


def test_a_plan_says_what_would_run_and_writes_nothing(lednet_here: Run, site: Path) -> None:
    result = lednet_here("plan", "2026-01-15", *where(site), "--json")
    (camera,) = json.loads(result.stdout)["cameras"]
    assert (camera["segments"], camera["slots"], camera["footage_slots"], camera["gaps"]) == (1, 300, 10, 2)
    assert camera["frames_per_s"] > 0
    assert not (site.parent / "store").exists()


def test_a_plan_shows_what_each_codec_takes_the_chosen_one_first(lednet_here: Run, site: Path) -> None:
    site.write_text('[settings]\ncodec = "jpeg"\n' + SITE)
    shown = lednet_here("plan", "2026-01-15", *where(site)).stdout
    places = [shown.index(codec) for codec in ("jpeg 95", "zstd 1", "zstd 3", "zstd 9", "jpegxl-lossless")]
    assert places == sorted(places)


def test_without_imagecodecs_a_night_of_jpeg_is_refused_before_anything_starts(
    lednet_here: Run, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write_text('[settings]\ncodec = "jpeg"\n' + SITE)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    result = lednet_here("enhance", "2026-01-15", *where(site))
    assert result.returncode == 1
    assert 'codec = "jpeg" in [settings] of cameras.toml needs imagecodecs' in result.stderr
    assert not (site.parent / "store").exists()


def test_a_checkpoint_that_is_not_there_is_told_before_anything_starts(lednet_here: Run, site: Path) -> None:
    site.write_text('[settings]\ncheckpoint = "smal"\n' + SITE)
    result = lednet_here("enhance", "2026-01-15", *where(site))
    assert result.returncode == 1
    assert "checkpoint smal: no such file" in result.stderr
    assert "starting" not in result.stderr


def test_a_deadline_that_can_not_be_met_is_partial_and_says_what_would(lednet_here: Run, site: Path) -> None:
    result = lednet_here("plan", "2026-01-15", *where(site), "--rate", "0.00001", "--deadline", "06:00", "--json")
    told = json.loads(result.stdout)["deadline"]
    assert result.returncode == 2
    assert not told["met"]
    assert told["workers_needed"] > 10  # 10 frames, 10^5 s each, in a day at most
    assert told["deadline"].endswith("06:00+08:00")


def test_a_plan_of_a_night_without_footage_is_partial(lednet_here: Run, site: Path) -> None:
    result = lednet_here("plan", "2026-03-01", *where(site), "--json")
    assert result.returncode == 2
    (reason,) = json.loads(result.stdout)["without_footage"].values()
    assert reason.startswith("no file of it in the archive: none of this night's hours fits pit/%Y%m%d_%H%M%S.mp4")


def test_a_plan_of_nothing_at_all_says_so_in_place_of_an_empty_table(lednet_here: Run, site: Path) -> None:
    shown = lednet_here("plan", "2026-03-01", *where(site)).stdout
    assert shown.startswith("Night of 2026-03-01: nothing to do for any camera\n")
    assert "done by" not in shown


def test_a_plan_names_what_can_not_be_read_and_its_times_zone(lednet_here: Run, site: Path) -> None:
    (site.parent / "archive/pit/20260115_220030.mp4").write_bytes(b"no video")
    shown = " ".join(lednet_here("plan", "2026-01-15", *where(site)).stdout.split())
    assert re.search(r"unreadable: file://\S+/pit/20260115_220030.mp4: \S+", shown)
    assert "(Asia/Shanghai)" in shown


def second_camera(site: Path, clip: bytes) -> None:
    """A camera `silo` beside `pit`, with one file."""
    site.write_text(SITE + SITE.replace('"pit"', '"silo"').replace("pit/", "silo/"))
    (site.parent / "archive/silo").mkdir()
    (site.parent / "archive/silo/20260115_220010.mp4").write_bytes(clip)


def test_a_camera_whose_frames_are_refused_stops_no_other_cameras_plan(lednet_here: Run, site: Path) -> None:
    write_clip(site.parent / "large.mp4", width=128)
    second_camera(site, (site.parent / "large.mp4").read_bytes())
    site.write_text("[settings]\nmost_pixels = 4000\n" + site.read_text())
    result = lednet_here("plan", "2026-01-15", *where(site), "--json")
    told = json.loads(result.stdout)
    assert result.returncode == 2
    assert [camera["camera"] for camera in told["cameras"]] == ["pit"]
    assert "128x48" in told["without_footage"]["silo"]


def test_a_camera_whose_footage_may_not_be_read_stops_no_other_cameras_plan(
    lednet_here: Run, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_camera(site, b"a video")

    def find(url: str, *more: int) -> Iterator[listing.Entry]:
        if url.endswith("/silo"):
            raise PermissionError(f"{url}: check the rights of this user or key")
        return found(url, *more)

    found = listing.find
    monkeypatch.setattr(listing, "find", find)
    told = json.loads(lednet_here("plan", "2026-01-15", *where(site), "--json").stdout)
    assert [camera["camera"] for camera in told["cameras"]] == ["pit"]
    assert "check the rights" in told["without_footage"]["silo"]


def test_the_status_of_an_empty_store_is_empty(lednet_here: Run, tmp_path: Path) -> None:
    result = lednet_here("status", "--store", str(tmp_path / "none"), "--json")
    assert json.loads(result.stdout) == []


def test_a_clip_is_restored(lednet: Run, tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4")
    result = lednet("clip", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), "--json")
    assert json.loads(result.stdout)["frames"] == 20
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 10)


def test_a_clip_is_never_written_over_its_source(lednet_here: Run, tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4")
    before = (tmp_path / "in.mp4").read_bytes()
    assert lednet_here("clip", str(tmp_path / "in.mp4"), str(tmp_path / "in.mp4")).returncode == 1
    assert (tmp_path / "in.mp4").read_bytes() == before


def night(*outcomes: tuple[str, int, bool]) -> list[CameraNight]:
    """Outcomes as (status, quarantined files, published)."""
    return [CameraNight("c", s, quarantined=q, manifest_url="there" if p else "") for s, q, p in outcomes]


def test_exit_codes_tell_whole_nights_from_partial_and_failed_ones() -> None:
    assert exit_code(night(("published", 0, True), ("already published", 0, True))) == 0
    assert exit_code(night(("published", 1, True))) == 2
    assert exit_code(night(("published", 0, True), ("no footage", 0, False))) == 2
    assert exit_code(night(("failed", 0, False))) == 1
    assert exit_code(night(("failed", 0, True))) == 2  # what was published before stays


def test_a_training_that_diverges_is_told_without_a_traceback(
    lednet_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*_: object) -> int:
        raise FloatingPointError("the gradients are not finite at step 3")

    write_clip(tmp_path / "in.mp4", frames=1)
    monkeypatch.setattr("tasks.video.restore_clip", diverges)  # as it comes out of `lednet retrain`
    result = lednet_here("clip", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("the gradients are not finite at step 3")
    assert "Traceback" not in result.stderr


def test_only_a_whole_night_ends_with_100_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcomes([CameraNight("pit", "published", frames=9, coverage=0.999995)], "")
    assert "99.9%" in capsys.readouterr().out


def test_ctrl_c_is_told_and_ends_as_shells_expect(
    lednet_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    write_clip(tmp_path / "in.mp4", frames=1)
    monkeypatch.setattr("tasks.video.restore_clip", interrupted)
    result = lednet_here("clip", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"))
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1].endswith("run the same command again to go on")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("logger", "debug", "traced"),
    [("prefect.flow_runs", False, False), ("prefect", True, True), ("lednet", False, True)],
)
def test_what_a_command_says_at_its_end_has_no_traceback_before(
    logger: str, debug: bool, traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDNET_DEBUG", "1" if debug else "")
    told = io.StringIO()
    log = logging.Logger(logger)
    log.addHandler(log_handler(Console(file=told, force_terminal=True, width=80)))
    try:
        raise ValueError("no clips in it")
    except ValueError:
        log.exception("Encountered exception")
    assert ("Traceback" in told.getvalue()) == traced


def test_a_log_line_on_a_terminal_says_its_time_and_kind_once() -> None:
    screen = io.StringIO()
    log = logging.Logger("lednet")
    log.addHandler(log_handler(Console(file=screen, force_terminal=True, width=80, no_color=True)))
    log.info("pit: published")
    words = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).split()
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\]", words[0]) or re.fullmatch(r"\d\d:\d\d:\d\d", words[0])
    assert words[1:] == ["INFO", "pit:", "published"]
