"""The report page: escaping, self-containment, completeness, order of attention, and what it says.

Not covered: gathering a night from a store (tests of tasks.report), and a real browser (test_report_in_browser.py).
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.findings import Finding
from tasks.page_text import LANGUAGES
from tasks.report import PICTURE_BYTES
from tasks.report_page import render
from tasks.report_table import camera_table
from tasks.report_values import Picture, ReportPage, camera_section
from tasks.types import CameraNight
from tests.tasks.report_example import (
    LOADING,
    NIGHT,
    SECOND,
    START,
    Reader,
    facts,
    judged,
    manifest,
    page,
    quality,
    section,
)

HOSTILE = '"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>'


@pytest.fixture
def full() -> ReportPage:
    """A night with everything in it, hostile text wherever text from outside goes."""
    gap = [START + 4 * SECOND, START + 8 * SECOND]
    hostile = manifest(
        HOSTILE, HOSTILE, frames=40, coverage=2 / 3, gaps=[gap], run=HOSTILE, frames_url=HOSTILE, preview_url=HOSTILE,
        model={"name": HOSTILE, "sha256": HOSTILE}, problems=[{"url": HOSTILE, "reason": HOSTILE, "frames": 0}],
    )  # fmt: skip
    moment = Picture("median", HOSTILE, b"before", b"after", b"truth")
    truth = pd.DataFrame(
        {"slot": [0], "psnr_before": [12.0], "psnr_after": [24.5], "ssim_before": [0.3], "ssim_after": [0.8]}
    )
    lost = CameraNight(HOSTILE, HOSTILE, HOSTILE)
    first = camera_section(hostile, quality([*range(20), *range(40, 60)]), (moment, moment), truth)
    second = section(rows=pd.DataFrame(), name="Silo")
    return replace(page(first, second, unpublished=(lost,)), store_url=HOSTILE)


def test_text_from_outside_is_escaped(full: ReportPage) -> None:
    reader = Reader(render(full))
    assert len(reader.all("script")) == 1
    assert not any("onerror" in attributes for _, attributes in reader.elements)
    assert HOSTILE in reader.text


def test_nothing_is_loaded_or_linked_from_elsewhere(full: ReportPage) -> None:
    reader = Reader(render(full))
    for tag, attributes in reader.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not any(re.match(r"\s*(https?:)?//", value or "") for value in attributes.values())
        assert all((attributes[k] or "").startswith("data:image/jpeg;base64,") for k in LOADING & set(attributes))
        assert (attributes.get("href") or "#").startswith(("#", "../../"))
    assert not re.search(r"@import|url\(", render(full))


def test_policy_forbids_every_source_but_its_own(full: ReportPage) -> None:
    policies = [a["content"] or "" for a in Reader(render(full)).all("meta") if "http-equiv" in a]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")
    assert "unsafe" not in policies[0]


def test_tags_balance_and_ids_are_unique(full: ReportPage) -> None:
    reader = Reader(render(full))
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert not reader.open
    assert len(ids) == len(set(ids))
    assert reader.all("html") == [{"lang": "en"}]


def test_every_problem_is_listed() -> None:
    problems: list[dict[str, Any]] = [
        {"url": f"file:///archive/{n:04}.mp4", "reason": f"broken in way {n}", "frames": n} for n in range(500)
    ]
    text = Reader(render(page(section(problems=problems)))).text
    assert all(p["url"] in text and p["reason"] in text for p in problems)
    assert "500 files quarantined" in text


def test_a_file_with_two_problems_counts_once() -> None:
    problems = [{"url": "file:///a.mp4", "reason": reason, "frames": 0} for reason in ("no index", "cut short")]
    assert camera_table(page(section(problems=problems))).quarantined.tolist() == [1]


def test_gaps_are_told_in_the_cameras_zone() -> None:
    night = section(frames=40, coverage=2 / 3, gaps=[[START + 4 * SECOND, START + 8 * SECOND + SECOND // 5]])
    text = Reader(render(page(night))).text
    assert "18:00:04" in text
    assert "18:00:08.200" in text
    assert "4.2 s" in text


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    first = 1_792_888_200 * SECOND  # 2026-10-25 02:30 in Berlin, before the clock goes back
    text = Reader(render(page(section(zone="Europe/Berlin", gaps=[[first, first + 3600 * SECOND]])))).text
    assert "02:30:00 CEST" in text
    assert "02:30:00 CET" in text


def test_unknown_figures_are_dashes() -> None:
    night = section(rows=quality(dark=math.nan, bright=math.nan))
    html = render(page(night))
    assert "nan" not in Reader(html).text.lower()
    assert '<span class="was">–</span>' in html


def test_equal_frames_have_infinite_psnr() -> None:
    truth = pd.DataFrame({"slot": [0], "psnr_before": [20.0], "psnr_after": [np.inf]})
    assert "∞" in Reader(render(page(replace(section(), reference=truth)))).text


def test_only_a_whole_night_is_shown_as_100_per_cent() -> None:
    assert "100% covered" not in render(page(section(frames=43_199, slots=43_200, coverage=43_199 / 43_200)))
    assert "100% covered" in render(page(section()))


def test_cameras_that_need_attention_come_first() -> None:
    problem = [{"url": "file:///a.mp4", "reason": "no index", "frames": 0}]
    well, flawed = section(camera="a"), section(camera="z", problems=problem)
    short, lost = section(camera="m", frames=30, coverage=0.5), CameraNight("x", "failed", "worker lost")
    report = page(well, flawed, short, unpublished=(lost,))
    assert camera_table(report).camera.tolist() == ["x", "m", "z", "a"]
    places = [render(report).index(f"<code><bdi>{c}</bdi></code>, 5 pictures") for c in "mza"]
    assert places == sorted(places)


def test_a_camera_that_got_worse_is_marked() -> None:
    truth = pd.DataFrame({"slot": [0], "psnr_before": [20.0], "psnr_after": [18.0]})
    report = page(replace(section(), reference=truth))
    assert "PSNR fell" in render(report)
    assert "PSNR falls from 20.0 to 18.0 dB" in render(report)


def test_why_a_camera_has_no_night_is_told() -> None:
    text = Reader(render(page(unpublished=(CameraNight("gate", "failed", "worker lost three times"),)))).text
    assert all(said in text for said in ("gate", "failed", "worker lost three times"))


def test_a_night_that_is_still_being_restored_is_under_way_and_needs_no_attention() -> None:
    ready = section(camera="m")
    waiting = replace(page(ready, unpublished=(CameraNight("gate", "under way", done=0.374),)), summary=facts(["m"]))
    text = Reader(render(waiting)).text
    assert "1 of 2 cameras restored" in text
    assert "; 1 camera is still being restored." in text
    assert "So far every camera is well" in text
    assert "Still being restored, 37% done." in text
    assert "No night" not in text.split("How to read this")[0]
    assert camera_table(waiting).set_index("camera")["state"].to_dict() == {"m": "good", "gate": "under way"}
    assert "仍在复原中，已完成 37%" in Reader(render(replace(waiting, language="zh"))).text


def test_a_published_night_that_a_fuller_one_will_replace_says_so() -> None:
    text = Reader(render(page(replace(section(), done=0.999)))).text
    assert "a fuller version is under way, 99% done" in text


def test_a_camera_without_a_night_is_called_by_its_name() -> None:
    lost = page(unpublished=(CameraNight("gate", "failed", "worker lost"),))
    named = replace(lost, summary=pd.DataFrame([{"camera": "gate", "name": "North gate", "verdict": "missing"}]))
    assert "1 camera needs attention: North gate" in Reader(render(named)).text


def test_pictures_are_embedded_as_they_are() -> None:
    moment = Picture("median", "22:00:04", b"\xff\xd8before", b"\xff\xd8after", b"\xff\xd8truth")
    sources = [a["src"] or "" for a in Reader(render(page(section((moment,))))).all("img")]
    assert [base64.b64decode(s.partition(",")[2]) for s in sources] == [moment.before, moment.after, moment.truth]


def test_summary_tells_footage_missing_and_gain() -> None:
    night = section(frames=40, coverage=2 / 3, gaps=[[START, START + 4 * SECOND]])
    text = Reader(render(page(night, unpublished=(CameraNight("b", "failed"),)))).text
    assert "1 of 2 cameras restored: 8 s of footage, 66.7% of their night." in text
    assert "2 cameras need attention: b and Pit; missing: 1 camera without a restored night and 4 s without a" in text
    assert "3.0 times as bright" in text
    assert "no true picture of a real night exists" in text


def test_summary_means_weigh_cameras_by_frames() -> None:
    long = section(rows=quality(dark=0.1, bright=0.2), frames=90, slots=90)
    short = section(rows=quality(dark=0.1, bright=0.6), frames=10, slots=10)
    assert "2.4 times as bright as before, at 24.0% of full white instead of 10.0%" in render(page(long, short))


def test_table_has_its_columns_and_raw_units() -> None:
    table = camera_table(page(section()))
    metrics = ["brightness", "contrast", "noise", "sharpness", "psnr", "ssim"]
    assert list(table) == ["camera", "name", "scene", "coverage", "frames", "gaps_s", "quarantined",
                           *(f"{m}_{side}" for m in metrics for side in ("before", "after")), "status", "state",
    ]  # fmt: skip
    row = table.iloc[0]
    assert row.brightness_after == pytest.approx(0.3)
    assert math.isnan(row.psnr_after)


def test_page_without_any_camera_says_so() -> None:
    report = page()
    assert "No camera was planned" in render(report)
    assert camera_table(report).empty


def test_camera_without_pictures_and_figures_says_so() -> None:
    text = Reader(render(page(section(rows=pd.DataFrame(), frames=0, coverage=0.0)))).text
    assert "No pictures were kept" in text
    assert "No figures were measured" in text


def test_trend_breaks_where_no_picture_is() -> None:
    night = section(rows=quality([*range(20), *range(40, 60)]), frames=40)
    reader = Reader(render(page(night)))
    before = next(a["d"] or "" for a in reader.all("path") if a.get("class") == "p-before")
    assert before.count("M") == 2
    assert {"x": "333.333", "width": "333.333", "height": "100"} in reader.all("rect")


def test_preview_is_linked_only_inside_a_folder_store() -> None:
    def links(url: str | None, store: str) -> list[str]:
        anchors = Reader(render(replace(page(section(preview_url=url)), store_url=store))).all("a")
        return [a["href"] or "" for a in anchors if not (a["href"] or "").startswith("#")]

    assert links("file:///store/enhanced/pit/p.mp4", "file:///store/") == ["../../enhanced/pit/p.mp4"]
    for url in ("file:///store/../etc/p.mp4", "file:///elsewhere/p.mp4", "javascript:alert(1)", None):
        assert links(url, "file:///store") == []
    assert links("s3://mine/enhanced/p.mp4", "s3://mine") == []


def test_file_names_that_are_no_text_do_not_cost_the_report() -> None:
    html = render(page(section(problems=[{"url": "file:///\udcff.mp4", "reason": "no index", "frames": 0}])))
    assert "\\udcff.mp4" in html.encode().decode()


def test_same_values_give_the_same_bytes(full: ReportPage) -> None:
    assert render(full) == render(full)


def test_fifty_judged_cameras_stay_below_five_megabytes() -> None:
    half = PICTURE_BYTES // 50 // 6
    moments = tuple(Picture(m, "22:00:04", bytes(half), bytes(half)) for m in ("median", "best", "worst"))
    gaps = [[START + n * 60 * SECOND, START + (n * 60 + 30) * SECOND] for n in range(12)]
    long = quality(range(20_000))
    cameras = [section(moments, long, camera=f"c{n}", slots=20_000, gaps=gaps) for n in range(50)]
    history = facts([f"c{n}" for n in range(50)], nights=60)
    found = tuple(
        Finding(f"c{n}", "missing_hours", "attention", {"value": 1.0, "share": 0.1, "threshold": 0.05, "gap": "1 h"})
        for n in range(50)
        for _ in range(3)
    )
    report = replace(page(*cameras), summary=history[history["night"] == NIGHT], history=history, findings=found)
    assert len(render(report).encode()) < 5_000_000


def test_a_judged_camera_shows_state_findings_interval_changes_and_trends() -> None:
    reader = Reader(render(judged()))
    for said in ("Act now", "Look at it", "Something seems to cover the lens", "points elsewhere", "29.6 … 32.8",
                 "+0.6", "−3.0", "PSNR, own daylight frames", "model changed",
                 "No restored night (failed)"):  # fmt: skip
        assert said in reader.text
    assert (
        len([a for a in reader.all("svg") if "30 nights from 2025-12-17 to 2026-01-15" in (a.get("aria-label") or "")])
        == 24
    )


def test_findings_decide_the_order_and_stand_in_the_table() -> None:
    report = judged()
    table = camera_table(report)
    assert table["camera"].tolist() == ["gate", "cam-00", "cam-01", "cam-02", "cam-03"]
    assert table["state"].tolist() == ["missing", "bad", "attention", "good", "good"]


def test_the_table_of_a_judged_night_has_the_bounds_and_changes_of_every_figure() -> None:
    row = camera_table(judged()).set_index("camera").loc["cam-00"]
    assert row.brightness_after_low == pytest.approx(0.312 * 0.95)
    assert row.psnr_synthesised == pytest.approx(21, rel=0.1)
    assert row.psnr_synthesised_change28 == pytest.approx(-2.1)
    assert math.isnan(row.psnr_after)


def test_figures_of_synthesised_nights_are_called_so_in_the_summary() -> None:
    assert "on the cameras’ own daylight frames, darkened and restored, PSNR is" in Reader(render(judged())).text


def test_a_verdict_and_findings_that_differ_give_the_graver_state() -> None:
    report = judged()
    assert report.summary is not None
    better = replace(report, summary=report.summary.assign(verdict="attention"))
    assert camera_table(better).set_index("camera")["state"].to_dict() == {
        "gate": "missing", "cam-00": "bad", "cam-01": "attention", "cam-02": "attention", "cam-03": "attention",
    }  # fmt: skip


def test_without_facts_there_are_no_trends_and_no_changes() -> None:
    reader = Reader(render(page(section())))
    assert "Over the last nights" not in reader.text
    assert "against the last 7 nights" not in reader.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_and_plot_is_described_and_every_table_has_headers(language: str) -> None:
    reader = Reader(render(judged(language)))
    assert all(a.get("alt") for a in reader.all("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in reader.all("svg"))
    assert all(a.get("scope") in ("col", "row") for a in reader.all("th"))


def test_the_chinese_page_has_no_english_sentence_left() -> None:
    html = render(judged("zh"))
    ours = re.sub(r'<(style|script|code)\b.*?</\1>|<bdi lang="en">.*?</bdi>', "", html, flags=re.S)
    words = " ".join(re.findall(r'(?:alt|aria-label|data-label|data-share)="([^"]*)"', ours)) + Reader(ours).text
    words = words.replace("Immerkær 的 sigma", "")
    assert not re.findall(r"[A-Za-z]{2,}(?:[ ,]+[A-Za-z]{2,})+", words)
    assert 'lang="zh-Hans"' in html
    assert "镜头似乎被遮挡" in words


def test_a_restored_camera_without_facts_has_a_night_and_is_said_to_be_unchecked() -> None:
    """Its facts failed, or `lednet report` came before any evaluation."""
    unknown = pd.DataFrame([{"camera": "pit", "verdict": "missing"}])
    report = replace(page(section(camera="pit")), summary=unknown)
    html = render(report)
    assert camera_table(report)["state"].tolist() == ["good"]
    assert "No camera needs attention; missing: the health check of 1 camera." in html
    assert ">health not checked</span>" in html
    assert ">No night</span>" not in html


def test_what_is_missing_is_not_called_the_length_of_the_gaps() -> None:
    problem = [{"url": "file:///a.mp4", "reason": "no index", "frames": 0}]
    night = section(frames=20, coverage=1 / 3, gaps=[[START, START + SECOND]], problems=problem)
    text = Reader(render(page(night))).text
    assert "8 s without a picture (1 gap)" in text
    assert "1 gap (8 s)" not in text
    assert "1 gap without footage, 1 s" in text


def test_a_share_that_is_not_nothing_is_not_shown_as_0() -> None:
    html = render(page(section(frames=1, slots=216_000, coverage=1 / 216_000)))
    assert "&lt;0.1% covered" in html
    assert "0% covered" in render(page(section(frames=0, coverage=0.0)))


def test_a_rate_is_a_decimal_number() -> None:
    night = section()
    camera = night.manifest["camera"] | {"rate": "30000/1001"}
    assert "29.97 pictures a second" in render(page(replace(night, manifest={**night.manifest, "camera": camera})))


def test_a_coarse_pass_is_not_taken_for_the_whole_night() -> None:
    assert "one picture in 4 is restored" in render(page(section(every=4)))


def test_how_the_slider_is_moved_is_said_at_the_first_one() -> None:
    none = section(rows=pd.DataFrame(), name="Nothing", camera="a", frames=0, coverage=0.0)
    html = render(page(none, judged().sections[0]))
    assert html.count("Drag the handle") == 1


def test_a_trend_that_ends_before_this_night_says_when() -> None:
    report = judged(count=2)
    assert report.history is not None
    tonight = (report.history["night"] == NIGHT).to_numpy()
    stopped = replace(report, history=report.history.assign(psnr=report.history["psnr"].mask(tonight)))
    html = render(stopped)
    assert "<small> dB</small><small> (2026-01-14)</small>" in html
    assert "<span>2026-01-14</span>" not in html
