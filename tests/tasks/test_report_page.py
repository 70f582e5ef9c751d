"""The report page: escaping, self-containment, completeness, order of attention, and one look in a real browser.

Not covered: gathering a night from a store (tests of tasks.report), and how the page looks to the eye.
"""

from __future__ import annotations

import base64
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.report_page import render
from tasks.report_table import camera_table
from tasks.report_values import METRICS, CameraSection, Picture, ReportPage
from tasks.types import CameraNight

SECOND = 1_000_000_000
START = 1_768_471_200 * SECOND
"""2026-01-15 18:00 in Shanghai."""
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LOADING = {"src", "srcset", "poster", "data", "action", "background", "xlink:href"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>'


def manifest(name: str = "Pit", camera: str = "pit", zone: str = "Asia/Shanghai", **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "format": 1, "night": "2026-01-15", "run": "0123456789abcdef", "model": {"name": "small", "sha256": "ab" * 32},
        "camera": {"id": camera, "name": name, "scene": "outdoor", "timezone": zone, "rate": "5"},
        "slots": 60, "frames": 60, "coverage": 1.0, "shards": [0, 1, 2], "bytes": 123_456, "height": 360, "width": 640,
        "frames_url": f"file:///store/enhanced/{camera}/2026-01-15/r/frames.zarr",
        "preview_url": f"file:///store/enhanced/{camera}/2026-01-15/r/preview.mp4",
        "gaps": [], "segments": [], "problems": [],
    }  # fmt: skip
    return base | changes


def quality(slots: range | list[int] = range(60), dark: float = 0.1, bright: float = 0.3) -> pd.DataFrame:
    figures = {f"{m.key}_{side}": value for m in METRICS for side, value in (("before", dark), ("after", bright))}
    return pd.DataFrame({"slot": slots, "time_ns": [START + s * SECOND // 5 for s in slots]}).assign(**figures)


def section(pictures: tuple[Picture, ...] = (), **changes: Any) -> CameraSection:
    return CameraSection(manifest(**changes), quality(), pictures)


def page(*sections: CameraSection, unpublished: tuple[CameraNight, ...] = ()) -> ReportPage:
    return ReportPage("2026-01-15", sections, unpublished, "file:///store")


class Reader(HTMLParser):
    """Checks that tags balance; keeps elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for t, attributes in self.elements if t == tag]


@pytest.fixture
def full() -> ReportPage:
    """A night with everything in it, hostile text wherever text from outside goes."""
    gap = [START + 4 * SECOND, START + 8 * SECOND]
    hostile = manifest(
        HOSTILE, HOSTILE, frames=40, coverage=2 / 3, gaps=[gap], run=HOSTILE, frames_url=HOSTILE, preview_url=HOSTILE,
        model={"name": HOSTILE, "sha256": HOSTILE}, problems=[{"url": HOSTILE, "reason": HOSTILE, "frames": 0}],
    )  # fmt: skip
    moment = Picture(HOSTILE, b"before", b"after", b"truth")
    truth = pd.DataFrame(
        {"slot": [0], "psnr_before": [12.0], "psnr_after": [24.5], "ssim_before": [0.3], "ssim_after": [0.8]}
    )
    lost = CameraNight(HOSTILE, HOSTILE, HOSTILE)
    first = CameraSection(hostile, quality([*range(20), *range(40, 60)]), (moment, moment), truth)
    second = CameraSection(manifest("Silo"), pd.DataFrame(), ())
    return replace(page(first, second, unpublished=(lost,)), store_url=HOSTILE)


def test_text_from_outside_is_escaped(full: ReportPage) -> None:
    reader = Reader(full.html())
    assert len(reader.all("script")) == 1
    assert not any("onerror" in attributes for _, attributes in reader.elements)
    assert HOSTILE in reader.text


def test_nothing_is_loaded_or_linked_from_elsewhere(full: ReportPage) -> None:
    reader = Reader(full.html())
    for tag, attributes in reader.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not any(re.match(r"\s*(https?:)?//", value or "") for value in attributes.values())
        assert all((attributes[k] or "").startswith("data:image/jpeg;base64,") for k in LOADING & set(attributes))
        assert (attributes.get("href") or "#").startswith(("#", "../../"))
    assert not re.search(r"@import|url\(", full.html())


def test_policy_forbids_every_source_but_its_own(full: ReportPage) -> None:
    policies = [a["content"] or "" for a in Reader(full.html()).all("meta") if "http-equiv" in a]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")
    assert "unsafe" not in policies[0]


def test_tags_balance_and_ids_are_unique(full: ReportPage) -> None:
    reader = Reader(full.html())
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert not reader.open
    assert len(ids) == len(set(ids))
    assert reader.all("html") == [{"lang": "en"}]


def test_every_problem_is_listed() -> None:
    problems: list[dict[str, Any]] = [
        {"url": f"file:///archive/{n:04}.mp4", "reason": f"broken in way {n}", "frames": n} for n in range(500)
    ]
    text = Reader(page(section(problems=problems)).html()).text
    assert all(p["url"] in text and p["reason"] in text for p in problems)
    assert "500 files quarantined" in text


def test_a_file_with_two_problems_counts_once() -> None:
    problems = [{"url": "file:///a.mp4", "reason": reason, "frames": 0} for reason in ("no index", "cut short")]
    assert camera_table(page(section(problems=problems))).quarantined.tolist() == [1]


def test_gaps_are_told_in_the_cameras_zone() -> None:
    night = section(frames=40, coverage=2 / 3, gaps=[[START + 4 * SECOND, START + 8 * SECOND + SECOND // 5]])
    text = Reader(page(night).html()).text
    assert "18:00:04" in text
    assert "18:00:08.200" in text
    assert "4.2 s" in text


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    first = 1_792_888_200 * SECOND  # 2026-10-25 02:30 in Berlin, before the clock goes back
    text = Reader(page(section(zone="Europe/Berlin", gaps=[[first, first + 3600 * SECOND]])).html()).text
    assert "02:30:00 CEST" in text
    assert "02:30:00 CET" in text


def test_unknown_figures_are_dashes() -> None:
    night = CameraSection(manifest(), quality(dark=math.nan, bright=math.nan), ())
    html = page(night).html()
    assert "nan" not in Reader(html).text.lower()
    assert '<span class="was">–</span>' in html


def test_equal_frames_have_infinite_psnr() -> None:
    truth = pd.DataFrame({"slot": [0], "psnr_before": [20.0], "psnr_after": [np.inf]})
    assert "∞" in Reader(page(replace(section(), reference=truth)).html()).text


def test_only_a_whole_night_is_shown_as_100_per_cent() -> None:
    assert "100% covered" not in page(section(frames=43_199, slots=43_200, coverage=43_199 / 43_200)).html()
    assert "100% covered" in page(section()).html()


def test_cameras_that_need_attention_come_first() -> None:
    problem = [{"url": "file:///a.mp4", "reason": "no index", "frames": 0}]
    well, flawed = section(camera="a"), section(camera="z", problems=problem)
    short, lost = section(camera="m", frames=30, coverage=0.5), CameraNight("x", "failed", "worker lost")
    report = page(well, flawed, short, unpublished=(lost,))
    assert camera_table(report).camera.tolist() == ["x", "m", "z", "a"]
    places = [report.html().index(f"<code><bdi>{c}</bdi></code>, 5 pictures") for c in "mza"]
    assert places == sorted(places)


def test_a_camera_that_got_worse_is_marked() -> None:
    truth = pd.DataFrame({"slot": [0], "psnr_before": [20.0], "psnr_after": [18.0]})
    report = page(replace(section(), reference=truth))
    assert "PSNR fell" in report.html()
    assert "PSNR falls from 20.0 to 18.0 dB" in report.html()


def test_why_a_camera_has_no_night_is_told() -> None:
    text = Reader(page(unpublished=(CameraNight("gate", "failed", "worker lost three times"),)).html()).text
    assert all(said in text for said in ("gate", "failed", "worker lost three times"))


def test_pictures_are_embedded_as_they_are() -> None:
    moment = Picture("median, 22:00:04", b"\xff\xd8before", b"\xff\xd8after", b"\xff\xd8truth")
    sources = [a["src"] or "" for a in Reader(page(section((moment,))).html()).all("img")]
    assert [base64.b64decode(s.partition(",")[2]) for s in sources] == [moment.before, moment.after, moment.truth]


def test_summary_tells_footage_missing_and_gain() -> None:
    night = section(frames=40, coverage=2 / 3, gaps=[[START, START + 4 * SECOND]])
    text = Reader(page(night, unpublished=(CameraNight("b", "failed"),)).html()).text
    assert "1 of 2 cameras restored: 8 s of footage, 66.7% of the night." in text
    assert "Missing: 1 camera without a restored night, 4 s without a picture (1 gap)." in text
    assert "3.0 times as bright" in text
    assert "no true picture of a real night exists" in text


def test_summary_means_weigh_cameras_by_frames() -> None:
    long = CameraSection(manifest(frames=90, slots=90), quality(dark=0.1, bright=0.2), ())
    short = CameraSection(manifest(frames=10, slots=10), quality(dark=0.1, bright=0.6), ())
    assert "2.4 times as bright as before, at 24.0% of full white instead of 10.0%" in page(long, short).html()


def test_table_has_its_columns_and_raw_units() -> None:
    table = camera_table(page(section()))
    metrics = ["brightness", "contrast", "noise", "sharpness", "psnr", "ssim"]
    assert list(table) == ["camera", "name", "scene", "coverage", "frames", "gaps_s", "quarantined",
                           *(f"{m}_{side}" for m in metrics for side in ("before", "after")), "status"]  # fmt: skip
    row = table.iloc[0]
    assert row.brightness_after == pytest.approx(0.3)
    assert math.isnan(row.psnr_after)


def test_page_without_any_camera_says_so() -> None:
    report = page()
    assert "No camera was planned" in report.html()
    assert camera_table(report).empty


def test_camera_without_pictures_and_figures_says_so() -> None:
    text = Reader(page(CameraSection(manifest(frames=0, coverage=0.0), pd.DataFrame(), ())).html()).text
    assert "No pictures were kept" in text
    assert "No figures were measured" in text


def test_trend_breaks_where_no_picture_is() -> None:
    night = CameraSection(manifest(frames=40), quality([*range(20), *range(40, 60)]), ())
    reader = Reader(page(night).html())
    before = next(a["d"] or "" for a in reader.all("path") if a.get("class") == "p-before")
    assert before.count("M") == 2
    assert {"x": "333.333", "width": "333.333", "height": "100"} in reader.all("rect")


def test_preview_is_linked_only_inside_a_folder_store() -> None:
    def links(url: str | None, store: str) -> list[str]:
        anchors = Reader(replace(page(section(preview_url=url)), store_url=store).html()).all("a")
        return [a["href"] or "" for a in anchors if not (a["href"] or "").startswith("#")]

    assert links("file:///store/enhanced/pit/p.mp4", "file:///store/") == ["../../enhanced/pit/p.mp4"]
    for url in ("file:///store/../etc/p.mp4", "file:///elsewhere/p.mp4", "javascript:alert(1)", None):
        assert links(url, "file:///store") == []
    assert links("s3://mine/enhanced/p.mp4", "s3://mine") == []


def test_file_names_that_are_no_text_do_not_cost_the_report() -> None:
    html = page(section(problems=[{"url": "file:///\udcff.mp4", "reason": "no index", "frames": 0}])).html()
    assert "\\udcff.mp4" in html.encode().decode()


def test_same_values_give_the_same_bytes(full: ReportPage) -> None:
    assert full.html() == full.html()


def test_fifty_cameras_stay_below_five_megabytes() -> None:
    moment = Picture("median", bytes(7_500), bytes(7_500))
    long = quality(range(20_000))
    cameras = [CameraSection(manifest(camera=f"c{n}", slots=20_000), long, (moment,) * 3) for n in range(50)]
    assert len(page(*cameras).html().encode()) < 5_000_000


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_browser_starts_the_sliders_without_complaint(full: ReportPage, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(full.html(), encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "index.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    reader = Reader(done.stdout)
    assert [a["class"] for a in reader.all("div") if "stage" in (a.get("class") or "").split()] == ["stage live"] * 2
    assert [a["type"] for a in reader.all("input")] == ["range"] * 2
    assert "CONSOLE" not in done.stderr
