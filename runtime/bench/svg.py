"""Draws horizontal bar charts with spread as one SVG image; the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, MARGIN, LABELS, VALUES = 960, 28, 260, 92  # pixels; room left and right of the bars
BAR, GAP, GROUP_GAP, TICKS = 14, 3, 10, 5
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 17, 12, 11
INK, FAINT, GRID, PAPER = "#1f2933", "#66727f", "#e3e8ed", "#ffffff"
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Bar:
    """One value; 80 % of the runs lie between low and high. `text` replaces the printed value."""

    label: str
    value: float
    color: str
    low: float | None = None
    high: float | None = None
    text: str | None = None
    pale: bool = False


@dataclass(frozen=True)
class Group:
    """Bars that stand together under a name."""

    name: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Mark:
    """A vertical line through the whole chart."""

    value: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Groups of bars on one scale that starts at 0; `legend`: colour by meaning."""

    title: str
    subtitle: str
    unit: str
    groups: Sequence[Group]
    marks: Sequence[Mark] = ()
    legend: dict[str, str] = field(default_factory=dict)


def draw_charts(title: str, lines: Sequence[str], charts: Sequence[Chart]) -> str:
    """One image of all charts, one below the other, under a title and lines of explanation."""
    parts = [_text(MARGIN, MARGIN + 14, title, size=22, weight=600)]
    y = MARGIN + 40.0
    for line in lines:
        parts.append(_text(MARGIN, y, line, color=FAINT))
        y += 18
    for chart in charts:
        y += 26
        y = _draw_chart(chart, y, parts)
    height = round(y + MARGIN)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="{FONT}">',
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PAPER}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _draw_chart(chart: Chart, y: float, parts: list[str]) -> float:
    """Appends the chart's elements from y downwards; returns where it ends."""
    parts.append(_text(MARGIN, y + 14, chart.title, size=TITLE_SIZE, weight=600))
    parts.append(_text(MARGIN, y + 33, chart.subtitle, color=FAINT))
    y += 46
    if chart.legend:
        x: float = MARGIN
        for meaning, color in chart.legend.items():
            parts.append(f'<rect x="{x:g}" y="{y}" width="11" height="11" rx="2" fill="{color}"/>')
            parts.append(_text(x + 17, y + 10, meaning, size=SMALL_SIZE))
            x += 36 + 6.4 * len(meaning)
        y += 22
    y += 14 if chart.marks else 0
    bars = [bar for group in chart.groups for bar in group.bars]
    highest = max([*(bar.high or bar.value for bar in bars), *(m.value for m in chart.marks)])
    step = _choose_step(highest)
    left, right = MARGIN + LABELS, WIDTH - MARGIN - VALUES
    scale = (right - left) / (step * math.ceil(highest / step))
    top = y
    rows: list[str] = []
    for group in chart.groups:
        y += GROUP_GAP / 2
        if group.name and any(bar.label for bar in group.bars):
            rows.append(_text(MARGIN, y + 11, group.name, weight=600))
            y += BAR + GAP
        elif group.name:  # its bars tell themselves apart by colour
            middle = y + (len(group.bars) * (BAR + GAP) - GAP) / 2
            rows.append(_text(left - 8, middle + 4, group.name, anchor="end"))
        for bar in group.bars:
            rows += _draw_bar(bar, left, y, scale)
            y += BAR + GAP
        y += GROUP_GAP / 2
    ticks = math.ceil(highest / step)
    for i in range(ticks + 1):
        x = left + i * step * scale
        parts.append(_line(x, top, x, y, GRID))
        parts.append(
            _text(x, y + 15, f"{i * step:g}", size=SMALL_SIZE, color=FAINT, anchor="middle")
        )
    parts.append(_text(right + 24, y + 15, chart.unit, size=SMALL_SIZE, color=FAINT))
    parts += rows
    for mark in chart.marks:
        x = left + mark.value * scale
        parts.append(_line(x, top - 4, x, y, INK, dashes=True))
        parts.append(_text(x, top - 8, mark.label, size=SMALL_SIZE, anchor="middle"))
    return y + 24


def _draw_bar(bar: Bar, left: float, y: float, scale: float) -> list[str]:
    length = max(1.0, bar.value * scale)
    opacity = ' fill-opacity="0.5"' if bar.pale else ""
    middle = y + BAR / 2
    parts = [
        f'<rect x="{left:g}" y="{y:g}" width="{length:.1f}" height="{BAR}" rx="2" '
        f'fill="{bar.color}"{opacity}/>'
    ]
    if bar.label:
        parts.append(_text(left - 8, y + 11, bar.label, anchor="end"))
    end = left + length
    if bar.low is not None and bar.high is not None:
        low, high = left + bar.low * scale, left + bar.high * scale
        parts.append(_line(low, middle, high, middle, INK))
        parts += [_line(x, middle - 3, x, middle + 3, INK) for x in (low, high)]
        end = max(end, high)
    parts.append(_text(end + 6, y + 11, bar.text or format_value(bar.value), size=SMALL_SIZE))
    return parts


def format_value(value: float) -> str:
    """Three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _choose_step(highest: float) -> float:
    """Of the scale: 1, 2 or 5 times a power of ten, for about TICKS steps."""
    rough = highest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = TEXT_SIZE,
    color: str = INK,
    anchor: str = "start",
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str, dashes: bool = False) -> str:
    style = ' stroke-dasharray="4 3"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
        f'stroke-width="1.2"{style}/>'
    )
