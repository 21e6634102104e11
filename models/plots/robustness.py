"""Draws how many right answers stay, against how far an attack may change the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from models.plots.charts import COLORS, make_panels, save_chart
from models.records.attack import Share

PANEL_HEIGHT, ROW_HEIGHT = 3.0, 0.17  # inches, of a panel and of a row of the legend


@dataclass(frozen=True)
class Curve:
    """Of a network: attack -> eps -> what stays right."""

    name: str
    is_binary: bool  # a full line, else a dashed one
    stays: Mapping[str, Mapping[float, Share]]


def write_robustness(curves: Sequence[Curve], attacks: Sequence[str], path: Path) -> None:
    """Writes a panel for each attack, a line for each network, bars for 95 % intervals."""
    figure, panels = make_panels(len(attacks), PANEL_HEIGHT, ROW_HEIGHT * len(curves) + 0.3)
    styles = dict(zip([curve.name for curve in curves], cycle(COLORS), strict=False))
    for axes, attack in zip(panels, attacks, strict=True):
        every: set[float] = set()
        for curve in curves:
            shares = curve.stays.get(attack, {})
            if not shares:
                continue
            eps = sorted(shares)
            every |= set(eps)
            values = [shares[e].percent for e in eps]
            below = [shares[e].percent - shares[e].low for e in eps]
            above = [shares[e].high - shares[e].percent for e in eps]
            axes.errorbar(
                eps,
                values,
                yerr=[below, above],
                color=styles[curve.name],
                linestyle="-" if curve.is_binary else "--",
                marker="o",
                capsize=2,
            )
        axes.set_title(f"Stay right: {attack}", loc="left", fontsize=10, fontweight="bold")
        axes.set_xscale("log")
        axes.set_xticks(sorted(every))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        axes.set_ylim(-3, 103)
    panels[-1].set_xlabel("largest change of a value, of 255")
    handles = [
        Line2D(
            [],
            [],
            color=styles[curve.name],
            linestyle="-" if curve.is_binary else "--",
            label=curve.name,
        )
        for curve in curves
    ]
    figure.legend(handles=handles, loc="outside lower left", fontsize=8, frameon=False)
    save_chart(figure, path)
