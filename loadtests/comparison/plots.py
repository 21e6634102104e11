"""Draws a comparison as SVG: CPU time, latency percentiles, latency by rate, accuracy by cost."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_OURS, _OTHERS = "#1f5fa8", ("#c8641e", "#8a8a8a", "#3c8c5a", "#8a5aa8", "#b03060")


_Drawing = Callable[[Axes, Sequence[dict[str, Any]]], None]


def draw_case(case: dict[str, Any]) -> str:
    """One SVG of a case's figures (`results.cases[i]` of the JSON)."""
    sides = case["sides"]
    rows: list[Sequence[_Drawing]] = [(_draw_cpu, _draw_memory)]
    if "open_loop" in sides[0]:
        rows.append((_draw_percentiles, _draw_rates))
    if sum("accuracy" in side for side in sides) > 1:  # on the same files, or they do not compare
        rows.append((_draw_accuracy_by_cpu, _draw_accuracy_by_memory))
    height = 1.5 + 0.4 * len(sides) + 4 * (len(rows) - 1)
    figure = Figure(figsize=(12, height), layout="constrained")
    heights = [1.5 + 0.4 * len(sides), *[4.0] * (len(rows) - 1)]
    table = figure.subplots(len(rows), 2, squeeze=False, height_ratios=heights)
    for axes, drawings in zip(table, rows, strict=True):
        for one, draw in zip(axes, drawings, strict=True):
            draw(one, sides)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "bnn"}):  # the same figures give the same file
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _color(index: int) -> str:
    return _OTHERS[(index - 1) % len(_OTHERS)] if index else _OURS


def _name_rows(axes: Axes, sides: Sequence[dict[str, Any]]) -> list[int]:
    rows = list(range(len(sides)))
    axes.set_yticks(rows, [side["name"] for side in sides], fontsize=8)
    axes.invert_yaxis()
    return rows


def _draw_cpu(axes: Axes, sides: Sequence[dict[str, Any]]) -> None:
    rows = _name_rows(axes, sides)
    for row, side in zip(rows, sides, strict=True):
        found = side["cpu_ms"]
        middle = found["median"]
        reach = [[middle - found["low"]], [found["high"] - middle]]
        axes.barh(row, middle, xerr=reach, color=_color(row), capsize=2)
        axes.annotate(f" {middle:.2f}", (found["high"], row), va="center", fontsize=8)
    axes.set_xlim(0, 1.15 * max(side["cpu_ms"]["high"] for side in sides))
    axes.set_title("CPU time an image, ms: median, range", fontsize=9)


def _draw_percentiles(axes: Axes, sides: Sequence[dict[str, Any]]) -> None:
    for index, side in enumerate(sides):
        shares = [float(share) for share in side["open_loop"]["ms"]]
        slower = [1 - share for share in shares]
        axes.plot(
            slower, list(side["open_loop"]["ms"].values()), color=_color(index), label=side["name"]
        )
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set_xticks([0.5, 0.1, 0.05, 0.01, 0.001], ["p50", "p90", "p95", "p99", "p99.9"])
    axes.set_xlim(0.9, 0.001)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    rate = sides[0]["open_loop"]["rate"]
    axes.set_title(f"latency from the time due, ms, {rate:.0f} requests/s", fontsize=9)


def _draw_rates(axes: Axes, sides: Sequence[dict[str, Any]]) -> None:
    for index, side in enumerate(sides):
        steps = sorted(side["slo"], key=lambda step: step["rate"])
        xs, ys = [s["rate"] for s in steps], [s["p99_ms"] for s in steps]
        axes.plot(xs, ys, color=_color(index), linewidth=1)
        for step in steps:
            axes.plot(
                step["rate"],
                step["p99_ms"],
                marker="o" if step["holds"] else "x",
                color=_color(index),
            )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("requests/s (o: held the target, x: missed it)", fontsize=8)
    axes.set_title("p99 by rate, ms", fontsize=9)


def _draw_memory(axes: Axes, sides: Sequence[dict[str, Any]]) -> None:
    rows = _name_rows(axes, sides)
    for row, side in zip(rows, sides, strict=True):
        idle, peak = side["idle_rss_bytes"] / 2**20, side["peak_rss_bytes"] / 2**20
        axes.barh(row, idle, color=_color(row))
        axes.barh(row, peak - idle, left=idle, color=_color(row), alpha=0.4)
        axes.annotate(f" {peak:.0f}", (peak, row), va="center", fontsize=8)
    axes.set_xlim(0, 1.15 * max(side["peak_rss_bytes"] for side in sides) / 2**20)
    axes.set_title("resident memory, MiB: idle, peak (pale)", fontsize=9)


def _draw_accuracy_by_cpu(axes: Axes, sides: Sequence[dict[str, Any]]) -> None:
    _draw_accuracy(axes, sides, [side["cpu_ms"]["median"] for side in sides])
    axes.set_title("top-1 on the same files, %, by CPU time an image, ms", fontsize=9)


def _draw_accuracy_by_memory(axes: Axes, sides: Sequence[dict[str, Any]]) -> None:
    _draw_accuracy(axes, sides, [side["peak_rss_bytes"] / 2**20 for side in sides])
    axes.set_title("top-1 on the same files, %, by peak memory, MiB", fontsize=9)


def _draw_accuracy(axes: Axes, sides: Sequence[dict[str, Any]], costs: Sequence[float]) -> None:
    for index, (side, cost) in enumerate(zip(sides, costs, strict=True)):
        if found := side.get("accuracy"):
            top1 = 100 * found["top1"] / found["images"]
            axes.plot(cost, top1, marker="o", color=_color(index))
            axes.annotate(f"  {side['name']}", (cost, top1), va="center", fontsize=8)
    axes.set_xlim(0, 2 * max(costs))
    axes.set_ylim(0, 100)
