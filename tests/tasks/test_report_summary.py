"""The night in three sentences and four figures: they add up, and their colours are those of the states."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from tasks.findings import Finding
from tasks.report_page import render
from tasks.report_summary import sentences, tiles
from tasks.report_table import by_attention, camera_table
from tasks.report_values import ReportPage
from tasks.types import CameraNight
from tests.tasks.report_example import SECOND, START, Reader, page, quality, section

DUSTY = {"value": 0.5, "usual": 0.3, "threshold": 0.4, "contrast": 0.5}


def found(severity: str, camera: str = "pit") -> tuple[Finding, ...]:
    return (Finding(camera, "dusty", severity, DUSTY),)


def kinds(report: ReportPage) -> list[str]:
    return [kind for _, _, kind in tiles(report)]


def test_a_good_night_calls_nobody() -> None:
    assert [figure for _, figure, _ in tiles(page(section()))] == ["1 / 1", "0", "100%", "0"]
    assert kinds(page(section())) == ["", "good", "", ""]


def test_the_colour_of_those_that_need_attention_is_that_of_the_gravest() -> None:
    assert kinds(replace(page(section()), findings=found("attention"))) == ["", "attention", "", ""]
    assert kinds(replace(page(section()), findings=found("bad"))) == ["", "bad", "", ""]
    assert kinds(page(section(), unpublished=(CameraNight("gate", "failed"),))) == ["bad", "bad", "", ""]


def test_files_of_cameras_without_a_night_are_counted_with_the_others() -> None:
    problem = [{"url": "file:///a.mp4", "reason": "no index", "frames": 0}]
    report = page(section(problems=problem), unpublished=(CameraNight("gate", "no footage", quarantined=3),))
    assert tiles(report)[3][1:] == ("4", "attention")
    assert "4 files quarantined" in sentences(report)[1]


def test_three_cameras_are_named_and_the_others_counted() -> None:
    def called(count: int) -> str:
        lost = tuple(CameraNight(f"c{n}", "failed") for n in range(count))
        return sentences(page(unpublished=lost))[1].partition(";")[0]

    assert called(3) == "3 cameras need attention: c0, c1 and c2"
    assert called(5) == "5 cameras need attention: c0, c1, c2 and 2 more"


def test_cameras_without_a_night_stand_by_how_little_they_hold() -> None:
    lost = (CameraNight("a", "partial", coverage=0.6), CameraNight("b", "partial", coverage=0.1))
    assert camera_table(page(unpublished=lost))["camera"].tolist() == ["b", "a"]


def test_of_cameras_in_one_state_those_with_more_grave_findings_and_then_more_broken_files_come_first() -> None:
    files = [[{"url": f"{k}.mp4", "reason": "cut", "frames": 0} for k in range(count)] for count in (1, 2, 0)]
    a, b, c = (section(camera=name, problems=broken) for name, broken in zip("abc", files, strict=True))
    report = page(a, b, c)
    both = (*found("bad", "c"), *found("bad", "c"), *found("bad", "a"), *found("bad", "b"))
    assert [s.camera for s in by_attention(replace(report, findings=both))] == ["c", "b", "a"]


def test_a_black_night_is_not_so_many_times_as_bright() -> None:
    assert sentences(page(section(rows=quality(dark=0.0, bright=0.1))))[2].startswith(
        "The restored pictures are on average 10.0% of full white instead of 0.0%"
    )


def test_a_night_without_a_picture_does_not_count_as_restored() -> None:
    broken = section(rows=pd.DataFrame(), camera="b", frames=0, coverage=0.0)
    unseen = pd.DataFrame([{"camera": "b", "verdict": "missing"}, {"camera": "pit", "verdict": "good"}])
    text = Reader(render(replace(page(section(), broken), summary=unseen))).text
    assert "1 of 2 cameras restored" in text
    assert "Cameras restored1 / 2" in text
    assert "missing: 1 camera without a restored night and 12 s without a picture" in text


def test_every_gap_of_every_camera_is_counted() -> None:
    gap = [[START + k * SECOND, START + (k + 1) * SECOND] for k in (1, 5)]
    report = page(section(frames=50, gaps=gap), section(camera="b", frames=55, gaps=gap[:1]))
    assert "3 s without a picture (3 gaps)" in sentences(report)[1]


def test_the_figure_of_the_synthesised_night_is_the_mean_of_the_cameras() -> None:
    known = pd.DataFrame([{"camera": c, "verdict": "good", "psnr": psnr} for c, psnr in (("pit", 20.0), ("b", 25.0))])
    assert "PSNR is 22.5 dB on average" in sentences(replace(page(section(), section(camera="b")), summary=known))[2]


def truth(before: float, after: float) -> str:
    """What the third sentence says of a camera whose PSNR is known, in dB."""
    rows = quality().assign(psnr_before=before, psnr_after=after)
    return sentences(page(section(rows=rows)))[2].partition("; ")[2]


def test_figures_that_rise_are_not_rounded_to_one() -> None:
    assert truth(25.01, 25.04) == "against the known truth, PSNR rises from 25.01 to 25.04 dB."
    assert truth(25.0, 26.0) == "against the known truth, PSNR rises from 25.0 to 26.0 dB."


def test_a_figure_that_is_the_same_neither_rises_nor_falls() -> None:
    assert truth(25.0, 25.0) == "against the known truth, PSNR stays at 25.0 dB."


def test_pictures_that_are_brighter_do_not_look_as_dark_as_before() -> None:
    told = sentences(page(section(rows=quality(dark=0.1001, bright=0.1003))))[2]
    assert "at 10.03% of full white instead of 10.01%" in told
