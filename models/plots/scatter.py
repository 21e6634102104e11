"""Draws accuracy against file size and against latency as one SVG picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.plots.curves import COLORS, draw_text
from runtime.bench.svg import FAINT, FONT, GRID, PAPER

WIDTH, HEIGHT, MARGIN, LEFT = 960, 320, 28, 56  # pixels, of a panel
TICKS = 5


@dataclass(frozen=True)
class Point:
    """One run."""

    name: str
    data: str  # a colour each
    is_binary: bool  # a disc, else a ring
    top1: float  # percent
    mib: float
    ms: float | None


def write_scatter(points: Sequence[Point], path: Path) -> None:
    """Writes the picture: a panel for size, and one for latency if any point has it."""
    colors = {
        name: COLORS[i % len(COLORS)]
        for i, name in enumerate(dict.fromkeys(p.data for p in points))
    }
    parts: list[str] = []
    y = MARGIN + 14.0
    for name, color in colors.items():
        parts.append(f'<rect x="{MARGIN}" y="{y - 11:g}" width="12" height="12" fill="{color}"/>')
        parts.append(draw_text(MARGIN + 20, y, f"{name} (disc: binary, ring: float)", size=13))
        y += 20
    y = _draw_panel("Top-1 against file size", "MiB", points, lambda p: p.mib, colors, y, parts)
    timed = [point for point in points if point.ms is not None]
    if timed:
        title = "Top-1 against latency"
        y = _draw_panel(title, "ms", timed, lambda p: p.ms or 0.0, colors, y + 16, parts)
    height = round(y + MARGIN)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="{FONT}">\n'
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PAPER}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n",
        encoding="utf-8",
    )


def _draw_panel(
    title: str,
    unit: str,
    points: Sequence[Point],
    value: Callable[[Point], float],
    colors: dict[str, str],
    y: float,
    parts: list[str],
) -> float:
    """Appends one panel from y downwards, x on a logarithmic scale; returns where it ends."""
    parts.append(draw_text(MARGIN, y + 14, title, size=15, weight=600))
    bottom, right = y + 28 + HEIGHT, WIDTH - MARGIN
    low = 10 * math.floor(min(p.top1 for p in points) / 10)
    high = 10 * math.ceil((max(p.top1 for p in points) + 1) / 10)
    least = min(map(value, points)) / 1.3
    most = max(map(value, points)) * 1.3

    def across(x: float) -> float:
        return LEFT + math.log(x / least) / math.log(most / least) * (right - LEFT)

    for i in range(TICKS + 1):
        percent = low + (high - low) * i / TICKS
        at = bottom - HEIGHT * i / TICKS
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="{GRID}" stroke-width="1"/>')
        text = f"{percent:g}%"
        parts.append(draw_text(LEFT - 6, at + 4, text, size=11, color=FAINT, anchor="end"))
        x = least * (most / least) ** (i / TICKS)
        text = f"{x:.2g} {unit}"
        parts.append(draw_text(across(x), bottom + 16, text, size=11, color=FAINT, anchor="middle"))
    for point in points:
        cx, cy = across(value(point)), bottom - (point.top1 - low) / (high - low) * HEIGHT
        color = colors[point.data]
        fill = f'fill="{color}"' if point.is_binary else f'fill="none" stroke="{color}"'
        parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="5" stroke-width="2" {fill}/>')
        near_edge = cx > right - 200
        anchor, move = ("end", -9) if near_edge else ("start", 9)
        parts.append(draw_text(cx + move, cy + 4, point.name, size=11, anchor=anchor))
    return bottom + 22
