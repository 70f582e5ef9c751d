"""The page's texts: every language says the same things with the same values, and the code asks for what is there."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from tasks.page_text import LANGUAGES, page_text

TASKS = Path(__file__).resolve().parents[2] / "tasks"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_language_has_the_same_keys_and_placeholders(language: str) -> None:
    known, other = page_text(LANGUAGES[0]).texts, page_text(language).texts
    assert set(known) == set(other)
    assert {k: placeholders(t) for k, t in known.items() if not k.startswith("summary.attention")} == {
        k: placeholders(t) for k, t in other.items() if not k.startswith("summary.attention")
    }


def test_chinese_texts_are_chinese() -> None:
    names = {"PSNR", "SSIM", "dB", "–", "{n}"}
    left = [t for t in page_text("zh").texts.values() if re.fullmatch(r"[ -~]{3,}", t) and t not in names]
    assert left == []


def test_every_key_that_templates_and_code_name_is_there() -> None:
    files = [*TASKS.glob("templates/*.j2"), *TASKS.glob("report_*.py")]
    source = "\n".join(f.read_text(encoding="utf-8") for f in files)
    known = page_text("en").texts
    asked = set(re.findall(r'\b(?:t|text)\("([a-z0-9_.]+)"[,)]', source))
    counted = {f"{key}.{form}" for key in re.findall(r'\.count\("([a-z0-9_.]+)"', source) for form in ("one", "other")}
    assert len(asked) > 60
    assert (asked | counted) - set(known) == set()


def test_one_is_told_from_many() -> None:
    text = page_text("en")
    assert [text.count("gaps", n) for n in (0, 1, 2, 1200)] == ["0 gaps", "1 gap", "2 gaps", "1,200 gaps"]


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0, "0 s", "0 秒"),
        (0.04, "<0.1 s", "<0.1 秒"),
        (4.2, "4.2 s", "4.2 秒"),
        (9.96, "10 s", "10 秒"),
        (75, "1 min 15 s", "1 分钟 15 秒"),
        (3600 * 30 + 1, "30 h", "30 小时"),
    ],
)
def test_durations_are_told_as_a_person_would(seconds: float, english: str, chinese: str) -> None:
    assert (page_text("en").duration(seconds), page_text("zh").duration(seconds)) == (english, chinese)


def test_days_carry_their_weekday() -> None:
    assert page_text("en").day("2026-01-15") == "Thursday 15 January 2026"
    assert page_text("zh").day("2026-01-15") == "2026年1月15日（星期四）"


def test_names_are_listed_as_in_prose() -> None:
    assert [page_text("en").listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_names_that_hold_a_comma_are_told_apart() -> None:
    assert page_text("en").listed(["Pit, north face", "Gate", "Silo"]) == "Pit, north face; Gate and Silo"
    assert page_text("zh").listed(["坑、北", "门", "仓"]) == "坑、北；门和仓"


def test_values_with_braces_stay_as_they_are() -> None:
    assert page_text("en")("mark.fell") == "PSNR fell"
    assert page_text("en")("camera.health_alt", camera="{kind}", kind="x") == "{kind}: x"


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no texts in language 'de'; known: en, zh"):
        page_text("de")
