"""The figures of the comparison: one record a frame and method, their means, intervals and the table in three formats.

Covers metrics and their means. Not covered: frames (`lednet.table_pairs`), methods (`lednet.baselines.registry`), the
means' intervals (`lednet.student`).
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lednet.student import half_width


@dataclass(frozen=True)
class Record:
    """One frame restored by one method."""

    source: str
    recipe: str
    scene: str
    method: str
    group: str
    name: str
    psnr: float
    mse: float
    ssim: float
    mae: float
    lpips: float | None
    """None: not computed."""
    seconds: float


@dataclass(frozen=True)
class Mean:
    """A mean over frames with its 95 % interval, which is infinite where there is but one."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One method on one source, recipe and scene. Figures are None where there are none; `note` says why."""

    source: str
    recipe: str
    scene: str
    method: str
    title: str
    frames: int = 0
    groups: int = 0
    psnr: Mean | None = None
    """Mean of the frames' PSNR, in dB."""
    psnr_of_mean_mse: float | None = None
    ssim: Mean | None = None
    mae: Mean | None = None
    rmse_to_mae: float | None = None
    """Root of the mean squared error over the mean absolute one: 1.1 to 1.4 in restorations, 4 in the paper's table."""
    lpips: Mean | None = None
    ahead: Mean | None = None
    """By how many dB the LEDNet row is ahead of this one, frame by frame; None in that row itself."""
    frames_per_s: float | None = None
    """From the median time a frame."""
    parameters: int | None = None
    gmacs: float | None = None
    """Multiply-adds at 256x256, in thousand millions (`lednet.cost`); None where torch sees nothing of the work."""
    memory_mb: float | None = None
    """Peak of the tensors of one pass over a frame of the table, beside the weights, in MiB; None likewise."""
    note: str = ""


def mean_of(values: Sequence[float], groups: Sequence[str]) -> Mean:
    """Mean of the values and its interval over groups; infinite if any value is (PSNR of equal pictures)."""
    if not all(map(math.isfinite, values)):
        whole = math.fsum(values)  # plus or minus infinity, or NaN of both
        return Mean(whole, whole, whole)
    mean, half = math.fsum(values) / len(values), half_width(values, groups)
    return Mean(mean, mean - half, mean + half)


def summarise(records: Sequence[Record], title: str, parameters: int, best: Sequence[Record] | None) -> Row:
    """One row from the records of one method; `best` are the LEDNet row's, of the same frames in the same order."""
    first, groups = records[0], [r.group for r in records]
    mse, mae = (statistics.fmean(getattr(r, name) for r in records) for name in ("mse", "mae"))
    known = [r.lpips for r in records if r.lpips is not None]
    ahead = [b.psnr - r.psnr for b, r in zip(best, records, strict=True)] if best else []
    return Row(
        *(first.source, first.recipe, first.scene, first.method, title),
        frames=len(records),
        groups=len(set(groups)),
        psnr=mean_of([r.psnr for r in records], groups),
        psnr_of_mean_mse=-10 * math.log10(mse) if mse else math.inf,
        ssim=mean_of([r.ssim for r in records], groups),
        mae=mean_of([r.mae for r in records], groups),
        rmse_to_mae=math.sqrt(mse) / mae if mae else None,
        lpips=mean_of(known, groups) if len(known) == len(records) else None,
        ahead=mean_of(ahead, groups) if ahead else None,
        frames_per_s=1 / max(statistics.median(r.seconds for r in records), 1e-9),
        parameters=parameters,
    )


def _flat(row: Row) -> dict[str, object]:
    flat: dict[str, object] = {}
    for f in fields(Row):
        value = getattr(row, f.name)
        if f.name in ("psnr", "ssim", "mae", "lpips", "ahead"):
            mean = value or Mean(math.nan, math.nan, math.nan)
            flat |= {f"{f.name}_{part}".removesuffix("_value"): x for part, x in asdict(mean).items()}
        else:
            flat[f.name] = value
    return {name: "" if value is None or value != value else value for name, value in flat.items()}


def to_csv(rows: Sequence[Row]) -> str:
    """One line a row; intervals as `<figure>_low` and `<figure>_high`; empty where a figure was not computed."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(_flat(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_flat, rows))
    return out.getvalue()


def _shown(mean: Mean | None, digits: int, interval: bool = True) -> str:
    if mean is None:
        return "not computed"
    text = f"{mean.value:.{digits}f}"
    return f"{text} ({mean.low:.{digits}f} to {mean.high:.{digits}f})" if interval and math.isfinite(mean.low) else text


def _speed(frames_per_s: float | None) -> str:
    return "" if frames_per_s is None else "> 100" if frames_per_s > 100 else f"{frames_per_s:.2g}"


HEAD = (
    "method",
    "PSNR dB (95 %)",
    "of mean MSE",
    "SSIM",
    "MAE",
    "RMSE/MAE",
    "LPIPS",
    "LEDNet ahead, dB",
    "frames/s",
    "parameters",
    "GMACs at 256",
    "memory MiB",
)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of `HEAD`; a row without figures holds its note."""
    if row.psnr is None:
        return row.title, f"not computed: {row.note}"
    return (
        row.title,
        _shown(row.psnr, 2),
        f"{row.psnr_of_mean_mse:.2f}",
        _shown(row.ssim, 3, interval=False),
        _shown(row.mae, 4, interval=False),
        "" if row.rmse_to_mae is None else f"{row.rmse_to_mae:.2f}",
        _shown(row.lpips, 3, interval=False),
        "" if row.ahead is None else _shown(row.ahead, 2),
        _speed(row.frames_per_s),
        "none" if not row.parameters else f"{row.parameters:,}",
        "" if row.gmacs is None else f"{row.gmacs:.2f}",
        "" if row.memory_mb is None else f"{row.memory_mb:.0f}",
    )


def blocks(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows by source, recipe and scene, as titled blocks in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row.source}, recipe {row.recipe}, {row.scene}", []).append(row)
    return found


def size_of(rows: Sequence[Row]) -> str:
    """How much a block rests on."""
    frames, groups = max(r.frames for r in rows), max(r.groups for r in rows)
    kind = "pair" if rows[0].source == "real pairs" else "clip"
    if groups == 1:
        return f"{frames} frames of 1 {kind}: the intervals say nothing of other {kind}s"
    return f"{frames} frames of {groups} {kind}s"


def to_markdown(rows: Sequence[Row]) -> str:
    """A Markdown table a block."""
    lines: list[str] = []
    for title, block in blocks(rows).items():
        lines += [f"### {title}", "", size_of(block), "", "| " + " | ".join(HEAD) + " |", "| --- " * len(HEAD) + "|"]
        for row in block:
            texts = cells(row)
            lines.append(
                "| " + " | ".join(t.replace("|", "\\|") for t in (*texts, *[""] * (len(HEAD) - len(texts)))) + " |"
            )
        lines.append("")
    return "\n".join(lines)


def to_overview(rows: Sequence[Row]) -> str:
    """A Markdown table a recipe: a line a method, PSNR, SSIM and LPIPS of every source and scene side by side."""
    lines: list[str] = []
    for recipe in dict.fromkeys(row.recipe for row in rows):
        found = {((r.source, r.scene), r.method): r for r in rows if r.recipe == recipe}
        places = list(dict.fromkeys(place for place, _ in found))
        heads = [name for source, scene in places for name in (f"{source}, {scene}: PSNR dB (95 %)", "SSIM", "LPIPS")]
        lines += [f"Recipe `{recipe}`:", "", "| | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
        for method in dict.fromkeys(method for _, method in found):
            here = [found[place, method] for place in places]
            title = here[0].title
            if here[0].psnr is None:
                lines.append(f"| {title} | not computed " + "| " * len(heads) + "|")
                continue
            texts = (
                [_shown(r.psnr, 2, r.groups > 1) for r in here],
                *([_shown(getattr(r, f), 3, False) for r in here] for f in ("ssim", "lpips")),
            )
            lines.append(f"| {title} | " + " | ".join(t for place in zip(*texts, strict=True) for t in place) + " |")
        lines.append("")
    return "\n".join(lines)


def to_text(rows: Sequence[Row]) -> str:
    """The table for a plain terminal."""
    lines: list[str] = []
    for title, block in blocks(rows).items():
        texts = [HEAD, *map(cells, block)]
        whole = [t for t in texts if len(t) == len(HEAD)]
        widths = [max(len(t[i]) for t in whole) for i in range(len(HEAD))]
        widths[0] = max(len(t[0]) for t in texts)
        lines += ["", f"{title}: {size_of(block)}"]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(t, widths, strict=False)).rstrip() for t in texts]
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """Paths as text, and what JSON has no word for (infinity) as text too."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value
