"""Report pages from made-up values, and a reader of HTML, for the tests of the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pandas as pd

from tasks.findings import Finding
from tasks.picture import jpeg
from tasks.report_values import METRICS, CameraSection, Picture, ReportPage, camera_section
from tasks.types import CameraNight

NIGHT = "2026-01-15"
SECOND = 1_000_000_000
START = 1_768_471_200 * SECOND
"""2026-01-15 18:00 in Shanghai."""
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LOADING = {"src", "srcset", "poster", "data", "action", "background", "xlink:href"}


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


def section(pictures: tuple[Picture, ...] = (), rows: pd.DataFrame | None = None, **changes: Any) -> CameraSection:
    return camera_section(manifest(**changes), quality() if rows is None else rows, pictures)


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


def facts(cameras: Sequence[str], nights: int = 30, verdict: str = "good", **changes: Any) -> pd.DataFrame:
    """Facts of cameras over the nights up to NIGHT: calm figures, and a new model in the middle."""
    last, rows = date.fromisoformat(NIGHT), []
    levels = {
        "brightness_after": 0.3,
        "contrast_after": 0.14,
        "noise_after": 0.012,
        "sharpness_after": 1.5,
        "psnr": 21.0,
        "ssim": 0.67,
    }
    for camera in cameras:
        for n in range(nights):
            row: dict[str, Any] = {
                "camera": camera, "name": camera, "scene": "outdoor",
                "night": (last - timedelta(nights - 1 - n)).isoformat(),
                "model": "small-1" if n < nights // 2 else "small-2", "frames": 60, "coverage": 1.0, "quarantined": 0,
                "gaps_s": 0.0, "verdict": verdict,
            }  # fmt: skip
            for name, level in levels.items():
                value = level * (1 + 0.01 * (n % 5))
                row |= {name: value, f"{name}_low": value * 0.95, f"{name}_high": value * 1.05}
                row |= {f"{name}_change7": level * 0.02, f"{name}_change28": -level * 0.1}
            rows.append(row | changes)
    return pd.DataFrame(rows)


def drawn(seed: int, width: int = 320, light: float = 1.0) -> bytes:
    """A picture as JPEG: blocks of light on a dark ground."""
    rng = np.random.default_rng(seed)
    coarse = (rng.integers(20, 200, (6, 10, 3)) * light).astype(np.uint8)
    frame = cv2.resize(coarse, (width, width * 9 // 16), interpolation=cv2.INTER_LINEAR)
    return jpeg(np.ascontiguousarray(frame), width)


def moments() -> tuple[Picture, ...]:
    """The three moments of a camera."""
    times = {"median": "23:41:12", "best": "19:02:24", "worst": "04:13:36"}
    return tuple(Picture(m, t, drawn(n, light=0.25), drawn(n)) for n, (m, t) in enumerate(times.items()))


def judged(language: str = "en", count: int = 4, **changes: Any) -> ReportPage:
    """A night with everything a report shows: facts, findings with a picture, gaps, files, a camera without a night."""
    ids = [f"cam-{n:02}" for n in range(count)]
    gap = [START + 4 * SECOND, START + 8 * SECOND]
    problem = {"url": "file:///a/22-30.mp4", "reason": "the file ends in the middle of a frame", "frames": 3}
    names = ["Pit", "<script>alert(1)</script>", "Silo", "北坡"]
    flaws: dict[str, Any] = {"gaps": [gap], "frames": 40, "problems": [problem]}
    sections = [
        section(moments(), **{"name": names[n % 4], "camera": camera, **(flaws if n == 2 else {}), **changes})
        for n, camera in enumerate(ids)
    ]
    findings = (
        Finding(ids[0], "covered", "bad", {"value": 0.82, "threshold": 0.5}, drawn(9)),
        Finding(ids[1], "moved", "attention", {"since": "2026-01-14", "value": 0.11, "threshold": 0.03}),
    )
    history = facts(ids)
    lost = (CameraNight("gate", "failed", "planning: access was denied; check the keys"),)
    tonight = history[history["night"] == NIGHT]
    return ReportPage(NIGHT, tuple(sections), lost, "file:///store", language, tonight, findings, history)
