"""Draws charts with matplotlib, which no other module imports: panels in rows, as SVG or PNG."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Panel = Callable[[Axes], None]
_FIRST, _OTHERS = "#1f5fa8", ("#c8641e", "#8a8a8a", "#3c8c5a", "#8a5aa8", "#b03060")
_LAYERS = ("#4c78a8", "#9ecae9", "#f58518", "#e45756")
_SPARE = 1.15  # of the longest bar: for the figure beside it


@dataclass(frozen=True)
class Range:
    """A figure with its spread."""

    low: float
    middle: float
    high: float


def draw_panels(
    rows: Sequence[Sequence[Panel]],
    heights: Sequence[float],
    width: float,
    height: float | None = None,
) -> Figure:
    """Rows of as many panels each; sizes in inches. `height` is that of the whole, else the sum."""
    figure = Figure(figsize=(width, height or sum(heights)), layout="constrained")
    table = figure.subplots(len(rows), len(rows[0]), squeeze=False, height_ratios=heights)
    for axes, panels in zip(table, rows, strict=True):
        for one, draw in zip(axes, panels, strict=True):
            draw(one)
    return figure


def format_svg(figure: Figure) -> str:
    """The text of the file: the same figures give the same one."""
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "bnn"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def write_chart(figure: Figure, path: Path) -> None:
    """SVG or PNG, or what else matplotlib knows, by the ending of the name."""
    if path.suffix == ".svg":
        path.write_text(format_svg(figure))
    else:
        figure.savefig(path)


def show_ranges(title: str, names: Sequence[str], ranges: Sequence[Range]) -> Panel:
    """A bar for each name up to the middle, with its range and the middle as a number."""

    def draw(axes: Axes) -> None:
        for row, found in zip(_name_rows(axes, names), ranges, strict=True):
            reach = [[found.middle - found.low], [found.high - found.middle]]
            axes.barh(row, found.middle, xerr=reach, color=_choose_colour(row), capsize=2)
            text = f" {found.middle:.2f}"
            axes.annotate(text, (found.high, row), va="center", fontsize=8)
        axes.set_xlim(0, _SPARE * max(found.high for found in ranges))
        axes.set_title(title, fontsize=9)

    return draw


def show_rises(title: str, names: Sequence[str], rises: Sequence[tuple[float, float]]) -> Panel:
    """A bar for each name up to the first value, pale from there to the second, a number."""

    def draw(axes: Axes) -> None:
        for row, (low, high) in zip(_name_rows(axes, names), rises, strict=True):
            axes.barh(row, low, color=_choose_colour(row))
            axes.barh(row, high - low, left=low, color=_choose_colour(row), alpha=0.4)
            axes.annotate(f" {high:.0f}", (high, row), va="center", fontsize=8)
        axes.set_xlim(0, _SPARE * max(high for _, high in rises))
        axes.set_title(title, fontsize=9)

    return draw


def show_percentiles(
    title: str, names: Sequence[str], latencies: Sequence[Mapping[float, float]]
) -> Panel:
    """A line for each name: share of the requests -> latency, the slow ones spread out."""

    def draw(axes: Axes) -> None:
        for index, (name, found) in enumerate(zip(names, latencies, strict=True)):
            slower = [1 - share for share in found]
            axes.plot(slower, list(found.values()), color=_choose_colour(index), label=name)
        axes.set_xscale("log")
        axes.invert_xaxis()
        axes.set_xticks([0.5, 0.1, 0.05, 0.01, 0.001], ["p50", "p90", "p95", "p99", "p99.9"])
        axes.set_xlim(0.9, 0.001)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7)
        axes.set_title(title, fontsize=9)

    return draw


def show_trials(
    title: str, label: str, lines: Sequence[Sequence[tuple[float, float, bool]]]
) -> Panel:
    """A line for each sequence of x, y and whether that held: o if it did, else x."""

    def draw(axes: Axes) -> None:
        for index, trials in enumerate(lines):
            xs, ys = [x for x, _, _ in trials], [y for _, y, _ in trials]
            axes.plot(xs, ys, color=_choose_colour(index), linewidth=1)
            for x, y, held in trials:
                axes.plot(x, y, marker="o" if held else "x", color=_choose_colour(index))
        axes.set_ylim(bottom=0)
        axes.set_xlabel(label, fontsize=8)
        axes.set_title(title, fontsize=9)

    return draw


def show_points(title: str, points: Iterable[tuple[int, str, float, float]], max_x: float) -> Panel:
    """A named point for each index, name, x and y; the index chooses the colour, y is percent."""

    def draw(axes: Axes) -> None:
        for index, name, x, y in points:
            axes.plot(x, y, marker="o", color=_choose_colour(index))
            axes.annotate(f"  {name}", (x, y), va="center", fontsize=8)
        axes.set_xlim(0, 2 * max_x)
        axes.set_ylim(0, 100)
        axes.set_title(title, fontsize=9)

    return draw


def show_layers(label: str, names: Sequence[str], layers: Mapping[str, Sequence[float]]) -> Panel:
    """A bar for each name, of layers that are told apart by colour, and their sum as a number."""

    def draw(axes: Axes) -> None:
        left = [0.0] * len(names)
        for (layer, widths), colour in zip(layers.items(), _LAYERS, strict=True):
            axes.barh(names, widths, left=left, label=layer, color=colour)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for row, end in enumerate(left):
            axes.text(end, row, f" {end:.0f}", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, max(left) * 1.08)
        axes.set_xlabel(label)
        axes.legend(loc="lower right", fontsize="small")

    return draw


def show_steps(label: str, steps: Sequence[tuple[str, float, bool]]) -> Panel:
    """A bar for each name, width and whether it stays: each begins where the one before ends."""

    def draw(axes: Axes) -> None:
        start = 0.0
        for row, (_, width, stays) in enumerate(steps):
            axes.barh(row, width, left=start, color=_LAYERS[0 if stays else -1])
            axes.text(start + max(width, 0.0), row, f" {width:.1f}", va="center", fontsize="small")
            start += width
        axes.set_yticks(range(len(steps)), [name for name, _, _ in steps])
        axes.tick_params(axis="y", labelsize="small")
        axes.invert_yaxis()
        axes.set_xlim(0, start * 1.08)
        axes.set_xlabel(label)

    return draw


def show_lines(
    label_x: str, label_y: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> Panel:
    """A line for each name over the same xs, from 0 on; a legend where there are several."""

    def draw(axes: Axes) -> None:
        for name, ys in lines.items():
            axes.plot(xs, ys, label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(label_x)
        axes.set_ylabel(label_y)
        if len(lines) > 1:
            axes.legend()

    return draw


def _choose_colour(index: int) -> str:
    return _OTHERS[(index - 1) % len(_OTHERS)] if index else _FIRST


def _name_rows(axes: Axes, names: Sequence[str]) -> list[int]:
    rows = list(range(len(names)))
    axes.set_yticks(rows, names, fontsize=8)
    axes.invert_yaxis()
    return rows
