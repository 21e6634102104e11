"""Stacked bars of resident memory by part, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.memory.parts import list_parts
from loadtests.memory.sides import SLIM
from loadtests.servers.processes import MIB
from loadtests.servers.steps import LIBRARY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from loadtests.memory.measured import Measured

LAYERS = ("server", LIBRARY, "model, when idle", "under load")
_COLOURS = ("#4c78a8", "#9ecae9", "#f58518", "#e45756")


def list_layers(one: Measured) -> list[int]:
    """Bytes of each of LAYERS; together they are the peak.

    A peer does not tell what of its server is the inference library.
    """
    library = one.breakdown.add_up(LIBRARY).rss if one.breakdown else 0
    return [
        one.no_model - library,
        library,
        max(0, one.idle.rss - one.no_model),
        one.peak - max(one.idle.rss, one.no_model),
    ]


def draw_memory(found: Sequence[Measured], path: Path) -> str:
    """Writes SVG or PNG, by the name's ending; returns a sentence for the report."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"No chart in {path.name}: matplotlib is not installed."
    slim = next((one for one in found if one.side.name == SLIM), None)
    heights = [0.8 * len(found), 3.2 if slim else 0.01]
    figure = Figure(figsize=(9, 1.5 + sum(heights)), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=heights)
    _draw_sides(above, found)
    if slim:
        _draw_parts(below, slim)
    else:
        below.set_axis_off()
    figure.savefig(path)
    return f"Chart: {path.name}."


def _draw_sides(axes: Axes, found: Sequence[Measured]) -> None:
    """A bar for each server."""
    names = [f"{one.side.name}\n{one.side.bundle.name}" for one in found]
    left = [0.0] * len(found)
    for index, (layer, colour) in enumerate(zip(LAYERS, _COLOURS, strict=True)):
        widths = [list_layers(one)[index] / MIB for one in found]
        axes.barh(names, widths, left=left, label=layer, color=colour)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, end in enumerate(left):
        axes.text(end, row, f" {end:.0f}", va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, max(left) * 1.08)
    axes.set_xlabel("peak RSS of all processes, MiB")
    axes.legend(loc="lower right", fontsize="small")


def _draw_parts(axes: Axes, slim: Measured) -> None:
    """One part of the native service's peak after the other, each where the one before ends."""
    start = 0.0
    parts = list_parts(slim)
    for row, part in enumerate(parts):
        width = part.rss / MIB
        axes.barh(row, width, left=start, color=_COLOURS[0 if part.memory else 3])
        axes.text(start + max(width, 0.0), row, f" {width:.1f}", va="center", fontsize="small")
        start += width
    axes.set_yticks(range(len(parts)), [part.name.partition(":")[0] for part in parts])
    axes.tick_params(axis="y", labelsize="small")
    axes.invert_yaxis()
    axes.set_xlim(0, start * 1.08)
    axes.set_xlabel(f"of what the peak of {slim.side.name} consists, MiB")
