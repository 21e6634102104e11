"""The charts of a comparison: CPU time, memory, latencies, accuracy by what it costs."""

from collections.abc import Sequence
from typing import Any

from loadtests.output.charts import (
    Panel,
    Range,
    draw_panels,
    format_svg,
    show_percentiles,
    show_points,
    show_ranges,
    show_rises,
    show_trials,
)
from loadtests.servers.processes import MIB


def draw_case(case: dict[str, Any]) -> str:
    """One SVG of a case's figures (`results.cases[i]` of the JSON)."""
    sides = case["sides"]
    rows: list[Sequence[Panel]] = [(_show_cpu(sides), _show_memory(sides))]
    if "open_loop" in sides[0]:
        rows.append((_show_percentiles(sides), _show_rates(sides)))
    if sum("accuracy" in side for side in sides) > 1:  # on the same files, or they do not compare
        rows.append((_show_accuracy_by_cpu(sides), _show_accuracy_by_memory(sides)))
    heights = [1.5 + 0.4 * len(sides), *[4.0] * (len(rows) - 1)]
    return format_svg(draw_panels(rows, heights, width=12))


def _list_names(sides: Sequence[dict[str, Any]]) -> list[str]:
    return [side["name"] for side in sides]


def _show_cpu(sides: Sequence[dict[str, Any]]) -> Panel:
    found = [side["cpu_ms"] for side in sides]
    ranges = [Range(each["low"], each["median"], each["high"]) for each in found]
    return show_ranges("CPU time an image, ms: median, range", _list_names(sides), ranges)


def _show_memory(sides: Sequence[dict[str, Any]]) -> Panel:
    rises = [(side["idle_rss_bytes"] / MIB, side["peak_rss_bytes"] / MIB) for side in sides]
    return show_rises("resident memory, MiB: idle, peak (pale)", _list_names(sides), rises)


def _show_percentiles(sides: Sequence[dict[str, Any]]) -> Panel:
    rate = sides[0]["open_loop"]["rate"]
    latencies = [
        {float(share): ms for share, ms in side["open_loop"]["ms"].items()} for side in sides
    ]
    title = f"latency from the time due, ms, {rate:.0f} requests/s"
    return show_percentiles(title, _list_names(sides), latencies)


def _show_rates(sides: Sequence[dict[str, Any]]) -> Panel:
    lines = [
        [
            (step["rate"], step["p99_ms"], step["holds"])
            for step in sorted(side["slo"], key=lambda step: step["rate"])
        ]
        for side in sides
    ]
    return show_trials("p99 by rate, ms", "requests/s (o: held the target, x: missed it)", lines)


def _show_accuracy_by_cpu(sides: Sequence[dict[str, Any]]) -> Panel:
    title = "top-1 on the same files, %, by CPU time an image, ms"
    return _show_accuracy(title, sides, [side["cpu_ms"]["median"] for side in sides])


def _show_accuracy_by_memory(sides: Sequence[dict[str, Any]]) -> Panel:
    title = "top-1 on the same files, %, by peak memory, MiB"
    return _show_accuracy(title, sides, [side["peak_rss_bytes"] / MIB for side in sides])


def _show_accuracy(title: str, sides: Sequence[dict[str, Any]], costs: Sequence[float]) -> Panel:
    points = [
        (index, side["name"], cost, 100 * found["top1"] / found["images"])
        for index, (side, cost) in enumerate(zip(sides, costs, strict=True))
        if (found := side.get("accuracy"))
    ]
    return show_points(title, points, max(costs))
