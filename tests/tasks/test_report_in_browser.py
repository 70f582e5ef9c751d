"""The report page in a real headless browser: no complaint, nothing loaded, working sliders, every width and scheme.

Not covered: how it looks to the eye.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.report_page import render
from tests.tasks.report_example import judged

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (dev group)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP, PHONE = 1280, 390
PATIENCE_MS = 200_000
"""For one step of the browser; a machine that trains and tests at once is slow."""


@dataclass
class Opened:
    """An open page with all that went wrong on it and all that it asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE_MS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for language in ("en", "zh"):
        (folder / f"{language}.html").write_text(render(judged(language)), encoding="utf-8")
    return {language: folder / f"{language}.html" for language in ("en", "zh")}


def opened(browser: Any, file: Path, width: int = DESKTOP, **options: Any) -> Opened:
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    page.set_default_timeout(PATIENCE_MS)
    seen = Opened(page)
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(file.as_uri())
    return seen


def cut(page: Any) -> int:
    """Where the first slider's cut stands, in per cent."""
    return int(page.evaluate("parseFloat(document.querySelector('.stage').style.getPropertyValue('--cut'))"))


@pytest.mark.parametrize(
    ("language", "scheme", "width"),
    [("en", "light", PHONE), ("en", "dark", DESKTOP), ("zh", "light", DESKTOP), ("zh", "dark", PHONE)],
)
def test_it_opens_without_complaint_request_or_overflow(
    browser: Any, files: dict[str, Path], language: str, scheme: str, width: int
) -> None:
    seen = opened(browser, files[language], width, color_scheme=scheme)
    wide, ground = seen.page.evaluate(
        "[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
    )
    broken = seen.page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
    seen.page.close()
    assert seen.complaints == []
    assert [url for url in seen.requests if not url.startswith(("data:", files[language].as_uri()))] == []
    assert broken == 0
    assert wide <= width
    assert (sum(map(int, ground[4:-1].split(","))) > 382) == (scheme == "light")


def test_the_slider_moves_by_keyboard(browser: Any, files: dict[str, Path]) -> None:
    page = opened(browser, files["en"]).page
    slider = page.locator(".stage input").first
    slider.focus()
    for key, wanted in (("ArrowRight", 51), ("ArrowLeft", 50), ("PageUp", 60), ("Home", 0), ("End", 100)):
        page.keyboard.press(key)
        assert cut(page) == wanted, key
    assert slider.get_attribute("aria-valuetext") == "0% restored"
    assert slider.get_attribute("aria-label") == "Before and after, Typical moment (median sharpness), 23:41:12"
    page.close()


def test_the_slider_follows_the_mouse_and_uncovers_the_picture(browser: Any, files: dict[str, Path]) -> None:
    page = opened(browser, files["en"]).page
    stage = page.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, middle, steps=4)
    page.mouse.up()
    assert abs(cut(page) - 20) <= 3
    after = page.locator(".stage .after").first
    assert f"{cut(page)}%" in after.evaluate("e => getComputedStyle(e).clipPath")
    page.close()


def test_without_script_every_figure_is_readable_and_the_pictures_stand_side_by_side(
    browser: Any, files: dict[str, Path]
) -> None:
    with_script = opened(browser, files["en"]).page
    without = opened(browser, files["en"], java_script_enabled=False).page
    figures = [page.locator("table").all_inner_texts() for page in (without, with_script)]
    assert figures[0] == figures[1]
    assert any("29.6 … 32.8" in text for text in figures[0])
    left, right = (without.locator(f".stage .{side}").first.bounding_box() for side in ("before", "after"))
    assert left["x"] + left["width"] <= right["x"]
    assert left["y"] == right["y"]
    assert without.locator(".stage input").count() == 0
    with_script.close()
    without.close()


def test_nothing_overlaps_in_a_camera_s_part(browser: Any, files: dict[str, Path]) -> None:
    script = """() => [...document.querySelectorAll('.camera, .moments, .trends, .pair')].flatMap(parent => {
        const boxes = [...parent.children].map(c => c.getBoundingClientRect()).filter(b => b.width && b.height);
        return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a.left < b.right - 1 && b.left < a.right - 1
            && a.top < b.bottom - 1 && b.top < a.bottom - 1).map(b => parent.className));
    })"""
    page = opened(browser, files["en"]).page
    for width in (PHONE, 800, DESKTOP):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(script) == [], width
    page.close()


def test_it_prints_with_both_pictures_and_all_details(browser: Any, files: dict[str, Path], tmp_path: Path) -> None:
    page = opened(browser, files["en"]).page
    page.pdf(path=str(tmp_path / "report.pdf"), format="A4", print_background=True)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator(".grip").first.evaluate("e => getComputedStyle(e).display") == "none"
    assert page.locator(".stage .after").first.evaluate("e => getComputedStyle(e).clipPath") == "none"
    assert page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
    page.close()
