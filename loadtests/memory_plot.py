"""Stacked bars of resident memory by part, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.memory_steps import LIBRARY
from loadtests.processes import MIB

if TYPE_CHECKING:
    from loadtests.memory import Measured

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
    figure = Figure(figsize=(9, 1.2 + 0.5 * len(found)), layout="constrained")
    axes = figure.subplots()
    names = [f"{one.side.name}\n{one.side.bundle.name}" for one in found]
    left = [0.0] * len(found)
    for index, (layer, colour) in enumerate(zip(LAYERS, _COLOURS, strict=True)):
        widths = [list_layers(one)[index] / MIB for one in found]
        axes.barh(names, widths, left=left, label=layer, color=colour)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, end in enumerate(left):
        axes.text(end, row, f" {end:.0f}", va="center")
    axes.invert_yaxis()
    axes.set_xlabel("RSS of all processes, MiB")
    axes.legend(loc="lower right", fontsize="small")
    figure.savefig(path)
    return f"Chart: {path.name}."
