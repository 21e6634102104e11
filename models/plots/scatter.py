"""Draws accuracy against file size and against latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from models.plots.charts import COLORS, make_panels, save_chart

PANEL_HEIGHT, ROW_HEIGHT = 3.6, 0.17  # inches, of a panel and of a row of the legend
NEAR_ACROSS, NEAR_DOWN = 0.03, 0.06  # shares of a panel
Label = tuple[str, float, float]  # with the place of its point


@dataclass(frozen=True)
class Point:
    """A network; repetitions with other seeds are one point with a bar from min to max."""

    name: str
    data: str  # a colour each
    is_binary: bool  # a disc, else a ring
    top1: tuple[float, ...]  # percent, of each repetition
    mib: float
    ms: float | None


def write_scatter(points: Sequence[Point], path: Path) -> None:
    """Writes a panel for size, and one for latency if any point has it; points are numbered."""
    names = list(dict.fromkeys(point.data for point in points))
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}
    timed = any(point.ms is not None for point in points)
    figure, panels = make_panels(1 + timed, PANEL_HEIGHT, ROW_HEIGHT * len(points) + 0.3)
    _draw(panels[0], "file size, MiB", points, lambda point: point.mib, colors)
    if timed:
        _draw(panels[1], "latency, ms", points, lambda point: point.ms, colors)
    handles = [
        _mark(point, colors[point.data], f"{number}  {point.name}")
        for number, point in enumerate(points, 1)
    ]
    figure.legend(handles=handles, loc="outside lower left", fontsize=7, frameon=False)
    save_chart(figure, path)


def _mark(point: Point, color: str, label: str | None = None) -> Line2D:
    fill = color if point.is_binary else "white"
    return Line2D([], [], color=color, marker="o", markerfacecolor=fill, linestyle="", label=label)


def _draw(
    axes: Axes,
    unit: str,
    points: Sequence[Point],
    value: Callable[[Point], float | None],
    colors: dict[str, str],
) -> None:
    axes.set_xscale("log")
    drawn = [
        (str(number), point, x, mean(point.top1))
        for number, point in enumerate(points, 1)
        if (x := value(point)) is not None
    ]
    for _, point, x, y in drawn:
        color = colors[point.data]
        reach = [[y - min(point.top1)], [max(point.top1) - y]]
        fill = color if point.is_binary else "white"
        axes.errorbar(x, y, yerr=reach, color=color, marker="o", markerfacecolor=fill, capsize=2)
    for text, x, y in join_labels([(text, x, y) for text, _, x, y in drawn]):
        axes.annotate(text, (x, y), (6, 3), textcoords="offset points", fontsize=8)
    axes.set_title(
        f"Top-1 against {unit} (disc: binary, ring: float)",
        loc="left",
        fontsize=10,
        fontweight="bold",
    )
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.08, y=0.1)


def join_labels(labels: Sequence[Label]) -> list[Label]:
    """Labels whose points would lie under each other's as one, at the highest of them."""
    width = math.log(max(x for _, x, _ in labels) / min(x for _, x, _ in labels)) or 1.0
    height = max(y for _, _, y in labels) - min(y for _, _, y in labels) or 1.0
    joined: list[Label] = []
    for text, x, y in sorted(labels, key=lambda label: -label[2]):
        for place, (above, other_x, other_y) in enumerate(joined):
            across, down = abs(math.log(x / other_x)) / width, (other_y - y) / height
            if across < NEAR_ACROSS and down < NEAR_DOWN:
                joined[place] = (f"{above}, {text}", other_x, other_y)
                break
        else:
            joined.append((text, x, y))
    return joined
