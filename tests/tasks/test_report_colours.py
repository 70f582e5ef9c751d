"""The report page's colours: text stands out from its ground by 4.5:1 or more (WCAG AA), in light and dark."""

from __future__ import annotations

import re

import pytest

from tasks.report_page import render
from tests.tasks.report_example import page


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_stands_out_from_its_ground_in_light_and_dark(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", render(page()), re.S)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    pairs = [(ink, ground) for ink in ("ink", "soft", "accent") for ground in ("page", "card")]
    pairs += [(state, f"{state}-bg") for state in ("good", "attention", "bad", "note")]
    pairs += [(state, "card") for state in ("good", "attention", "bad")]
    assert {
        pair: contrast(*(colours[c] for c in pair)) for pair in pairs if contrast(*(colours[c] for c in pair)) < 4.5
    } == {}
