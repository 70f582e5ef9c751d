"""Findings in words: what each kind is called, and the sentence that its figures make, in English and Chinese.

The texts stand in texts/findings.<language>.toml; every language holds the same keys with the same placeholders.
Not covered: what is found (`tasks.health`, `tasks.aggregate`) and how the page shows it. Nothing is escaped here.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from tasks.findings import Finding

LANGUAGES = ("en", "zh")
SHARES = ("contrast_after", "noise_after")
"""Metrics that are said in per cent, as the page shows them."""


def say(finding: Finding, language: str) -> str:
    """A finding as one sentence, with its figures and the limit that they were held against.

    Raises:
        ValueError: for a language that there are no texts in.
        KeyError: for a kind that is not known, or a figure that its sentence needs and that is not there.
    """
    texts = finding_texts(language)
    values = dict(finding.values)
    case = values.pop("case", "")
    if "share" in values and float(values["share"]) < 1:  # only a night without any picture lacks 100%
        values["share"] = min(float(values["share"]), 0.99)
    if "metric" in values:
        if values["metric"] in SHARES:
            values |= {n: 100 * float(values[n]) for n in ("value", "usual", "threshold") if n in values}
        values["metric"] = texts["metric"][values["metric"]]
    sentence: str = texts[finding.kind][f"sentence_{case}" if case else "sentence"]
    return sentence.format_map(values)


def title(kind: str, language: str) -> str:
    """What a kind of finding is called, in a word or two."""
    return str(finding_texts(language)[kind]["title"])


@cache
def finding_texts(language: str) -> dict[str, Any]:
    """All texts of a language. Raises ValueError for one that there are none in."""
    if language not in LANGUAGES:
        raise ValueError(f"no texts in language {language!r}; known: {', '.join(LANGUAGES)}")
    source = resources.files("tasks").joinpath("texts", f"findings.{language}.toml")
    return tomllib.loads(source.read_text(encoding="utf-8"))
