"""How charts look, and how one is written: as SVG, the same bytes for the same figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that people with any colour vision tell apart (Okabe and Ito).
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
FAINT, GRID = "#66727f", "#e3e8ed"
WIDTH = 9.6  # inches
_STYLE: Any = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "bnn-service",  # names of clips are not random
    "text.parse_math": False,  # a $ in a name is one
}


def save_chart(figure: Figure, path: Path) -> None:
    """Writes an SVG file without day and version."""
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def make_panels(count: int, panel_height: float, more_height: float) -> tuple[Figure, list[Axes]]:
    """A figure with panels below each other, heights in inches; `more_height` is for its legend."""
    with matplotlib.rc_context(_STYLE):
        size = (WIDTH, count * panel_height + more_height)
        figure = Figure(figsize=size, layout="constrained")
        panels = [figure.add_subplot(count, 1, place + 1) for place in range(count)]
    for axes in panels:
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=FAINT)
    return figure, panels
