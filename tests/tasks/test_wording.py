"""The texts of findings: the same keys and placeholders in every language, and sentences with their figures."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import Any

import pytest

from tasks.findings import Finding
from tasks.wording import LANGUAGES, finding_texts, say, title

KINDS = "covered defocused moved frozen blown dark dusty infrared clock_drift missing_hours worse better".split()


def flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def placeholders(text: str) -> set[tuple[str, str]]:
    return {(name, spec or "") for _, name, spec, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_has_a_title_and_a_sentence(language: str) -> None:
    assert all(title(kind, language) and finding_texts(language)[kind]["sentence"] for kind in KINDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_hold_the_same_keys_with_the_same_figures(language: str) -> None:
    english, other = (dict(flat(finding_texts(name))) for name in ("en", language))
    assert english.keys() == other.keys()
    assert {k: placeholders(v) for k, v in english.items()} == {k: placeholders(v) for k, v in other.items()}


def test_a_sentence_holds_its_figures_and_the_limit() -> None:
    finding = Finding("pit", "dark", "attention", {"value": 0.97, "threshold": 0.95, "slot": 3.0})
    assert "97%" in say(finding, "en")
    assert "95%" in say(finding, "zh")


def test_a_worse_model_is_called_so_with_both_models() -> None:
    values = {"case": "model", "metric": "psnr", "value": 21.0, "usual": 23.0, "threshold": 22.8,
              "before": "small (aaaa)", "after": "small (bbbb)"}  # fmt: skip
    text = say(Finding("pit", "worse", "bad", values), "en")
    assert all(word in text for word in ("small (aaaa)", "small (bbbb)", "synthesised night", "21", "23"))


def test_braces_in_a_value_mean_nothing() -> None:
    values = {"value": 0.5, "share": 0.5, "threshold": 0.02, "gap": "{threshold}"}
    assert "{threshold}" in say(Finding("pit", "missing_hours", "bad", values), "en")


def test_a_language_without_texts_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'fr'"):
        say(Finding("pit", "dark", "note", {}), "fr")


@pytest.mark.parametrize(("metric", "words"), [("contrast_after", "14 (limit"), ("sharpness_after", "0.14 (limit")])
def test_a_share_is_said_in_per_cent_and_another_figure_as_it_is(metric: str, words: str) -> None:
    values = {"case": "unproven", "metric": metric, "before": "a", "after": "b"}
    finding = Finding("pit", "worse", "attention", values | {"value": 0.07, "usual": 0.14, "threshold": 0.1})
    assert f"instead of {words}" in say(finding, "en")
