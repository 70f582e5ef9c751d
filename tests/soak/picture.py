"""The picture of a soak: resident memory of every process over time, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.soak.record import Sample

WIDTH, HEIGHT, LEFT, BELOW = 900, 360, 60, 40
MOST_POINTS = 400
COLOURS = ("#1b6ca8", "#c0392b", "#1e8449", "#8e44ad", "#b9770e", "#34495e", "#d35400")


def draw(samples: Sequence[Sample], path: Path) -> None:
    """One line a process, by name and id, MB over minutes."""
    processes = sorted({(look.name, look.pid) for s in samples for look in s.looks})
    most = max(look.memory_mb for s in samples for look in s.looks) * 1.05
    span = max(samples[-1].seconds, 1.0)
    thinned = samples[:: max(1, len(samples) // MOST_POINTS)]
    parts = [_axes(span / 60, most)]
    for k, (name, pid) in enumerate(processes):
        points = " ".join(
            f"{LEFT + s.seconds / span * WIDTH:.1f},{HEIGHT - look.memory_mb / most * HEIGHT:.1f}"
            for s in thinned
            for look in s.looks
            if (look.name, look.pid) == (name, pid)
        )
        colour = COLOURS[k % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        place = f'x="{LEFT + WIDTH + 12}" y="{20 + 20 * k}"'
        parts.append(f'<text {place} fill="{colour}">{escape(name)}</text>')
    box = f'viewBox="0 -10 {LEFT + WIDTH + 170} {HEIGHT + BELOW + 10}"'
    style = '<style>text{font:13px sans-serif}</style><rect y="-10" width="100%" height="100%" fill="#fff"/>'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{style}{"".join(parts)}</svg>\n', encoding="utf-8")


def _axes(minutes: float, most: float) -> str:
    lines = [f'<path d="M{LEFT} 0V{HEIGHT}H{LEFT + WIDTH}" fill="none" stroke="#888"/>']
    for k in range(5):
        x, y = LEFT + k * WIDTH / 4, HEIGHT - k * HEIGHT / 4
        lines.append(f'<text x="{x:.0f}" y="{HEIGHT + 20}" text-anchor="middle">{minutes * k / 4:.0f} min</text>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{most * k / 4:.0f} MB</text>')
    return "".join(lines)
