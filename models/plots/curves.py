"""Draws how trainings went, from their records, as one SVG picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from models.errors import DataError
from models.records.record import read_record
from runtime.bench.svg import FAINT, FONT, GRID, INK, PAPER

# Colours that people with any colour vision tell apart.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
WIDTH, HEIGHT, MARGIN, LEFT = 960, 230, 28, 56  # pixels, of a panel
TICKS = 4

#: title, unit, and the keys of an epoch's metrics, drawn as a full line and, paler, the next ones
PANELS = (
    ("Top-1", "%", ("validation_top1", "train_top1")),
    ("Loss", "", ("validation_loss", "loss")),
    ("Learning rate", "", ("learning_rate",)),
)


@dataclass(frozen=True)
class _Line:
    points: list[tuple[float, float]]
    color: str
    pale: bool


def write_curves(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes the picture. Raises DataError if no epoch is done yet."""
    path.write_text(draw_curves(records), encoding="utf-8")


def draw_curves(records: Sequence[Mapping[str, Any]]) -> str:
    """Top-1, loss and learning rate over the epochs, a colour per run; training is paler."""
    if not any(entry["epochs"] for entry in records):
        raise DataError("expected at least one epoch to draw, found none; train first")
    parts: list[str] = []
    y = MARGIN + 14.0
    for entry, color in _colored(records):
        parts.append(f'<rect x="{MARGIN}" y="{y - 11:g}" width="12" height="12" fill="{color}"/>')
        parts.append(draw_text(MARGIN + 20, y, _describe(entry), size=13))
        y += 20
    for title, unit, keys in PANELS:
        lines = [
            _Line(points, color, pale=place > 0)
            for entry, color in _colored(records)
            for place, key in reversed(list(enumerate(keys)))
            if (points := _points(entry, key))
        ]
        if lines:
            hint = " (pale: training pictures, augmented)" if len(keys) > 1 else ""
            y = _draw_panel(title + hint, unit, lines, y + 12, parts)
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


def _colored(records: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], str]]:
    return [(entry, COLORS[i % len(COLORS)]) for i, entry in enumerate(records)]


def _describe(entry: Mapping[str, Any]) -> str:
    done = len(entry["epochs"])
    text = (
        f"{entry['network']} on {entry['data']['name']}, {entry['preprocessing']['crop']} px, "
        f"{done} of {entry['recipe']['epochs']} epochs"
    )
    if test := entry.get("test"):
        text += f"; {test['split']}: top-1 {test['top1']} %, top-5 {test['top5']} %"
    return text


def _points(entry: Mapping[str, Any], key: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[key]) for row in entry["epochs"] if key in row]


def _draw_panel(title: str, unit: str, lines: list[_Line], y: float, parts: list[str]) -> float:
    """Appends one panel from y downwards; returns where it ends."""
    parts.append(draw_text(MARGIN, y + 14, title, size=15, weight=600))
    bottom, right = y + 28 + HEIGHT, WIDTH - MARGIN
    last = max(max(x for x, _ in line.points) for line in lines)
    values = [value for line in lines for _, value in line.points]
    low, high = (0.0, max(values)) if unit == "%" else (min(0.0, *values), max(values))
    high = high if high > low else low + 1

    def place(x: float, value: float) -> str:
        across = (x - 1) / max(last - 1, 1)
        up = (value - low) / (high - low)
        return f"{LEFT + across * (right - LEFT):.1f},{bottom - up * HEIGHT:.1f}"

    for i in range(TICKS + 1):
        value = low + (high - low) * i / TICKS
        line_y = bottom - HEIGHT * i / TICKS
        parts.append(
            f'<path d="M{LEFT} {line_y:.1f}H{right}" stroke="{GRID}" stroke-width="1"/>'
            + draw_text(
                LEFT - 6, line_y + 4, f"{value:.3g}{unit}", size=11, color=FAINT, anchor="end"
            )
        )
    for epoch in (1, last):
        x = float(place(epoch, low).split(",")[0])
        anchor = "start" if epoch == 1 else "end"
        parts.append(
            draw_text(x, bottom + 16, f"epoch {epoch:g}", size=11, color=FAINT, anchor=anchor)
        )
    for line in lines:
        style = f'stroke="{line.color}" stroke-opacity="{0.4 if line.pale else 1}"'
        if len(line.points) == 1:
            cx, cy = place(*line.points[0]).split(",")
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{line.color}"/>')
        else:
            path = " ".join(place(*point) for point in line.points)
            parts.append(f'<polyline points="{path}" fill="none" {style} stroke-width="2"/>')
    return bottom + 22


def draw_text(
    x: float,
    y: float,
    text: str,
    *,
    size: int,
    color: str = INK,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{color}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def read_drawable(path: Path) -> dict[str, Any]:
    """A record that has what is drawn. Raises DataError naming what it lacks."""
    entry = read_record(path)
    try:
        _describe(entry)
        points = [point for _, _, keys in PANELS for key in keys for point in _points(entry, key)]
        if not all(math.isfinite(number) for point in points for number in point):
            raise ValueError("a metric that is no finite number")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        found = f"none of {error}" if isinstance(error, KeyError) else error
        raise DataError(
            f"{path}: expected the record of a run, with its network, data, recipe and metrics; "
            f"found {found}. Give a record.json that models.train wrote."
        ) from error
    return entry
