"""Draws how trainings went, from their records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from models.errors import DataError
from models.plots.charts import COLORS, make_panels, save_chart
from models.records.record import Record

PANEL_HEIGHT, ROW_HEIGHT = 2.6, 0.17  # inches, of a panel and of a row of the legend
#: title and the metrics of an epoch, drawn as a full line and, paler, the next ones
PANELS = (
    ("Top-1", ("validation_top1", "train_top1")),
    ("Loss", ("validation_loss", "loss")),
    ("Learning rate", ("learning_rate",)),
)
PALE = 0.35
DASHES = ("-", "--", ":", "-.")  # where there are more runs than colours
STYLES: list[tuple[str, Any]] = [(color, dashes) for dashes, color in product(DASHES, COLORS)]


def write_curves(records: Sequence[Record], path: Path) -> None:
    """Writes top-1, loss and learning rate over the epochs, a line per run; training is paler.

    Raises DataError if no epoch is done yet.
    """
    drawn = [record for record in records if record.epochs]
    if not drawn:
        raise DataError("expected at least one epoch to draw, found none. Train first.")
    figure, panels = make_panels(len(PANELS), PANEL_HEIGHT, ROW_HEIGHT * len(drawn) + 0.3)
    for axes, (title, metrics) in zip(panels, PANELS, strict=True):
        hint = " (pale: training images, augmented)" if len(metrics) > 1 else ""
        axes.set_title(title + hint, loc="left", fontsize=10, fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for place, name in reversed(list(enumerate(metrics))):
            for record, style in zip(drawn, cycle(STYLES), strict=False):
                _draw(axes, record, name, style, PALE if place else 1.0)
        if title == "Top-1":
            axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    panels[-1].set_xlabel("epoch")
    handles = [
        Line2D([], [], color=color, linestyle=dashes, label=_describe(record))
        for record, (color, dashes) in zip(drawn, cycle(STYLES), strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower left", fontsize=8, frameon=False)
    save_chart(figure, path)


def _draw(axes: Axes, record: Record, name: str, style: tuple[str, Any], alpha: float) -> None:
    rows = [(row.epoch, getattr(row, name)) for row in record.epochs]
    if points := [(epoch, value) for epoch, value in rows if value is not None]:
        color, dashes = style
        mark = "o" if len(points) == 1 else None
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, color=color, linestyle=dashes, marker=mark, alpha=alpha)


def _describe(record: Record) -> str:
    text = (
        f"{record.network} on {record.data.name}, {record.preprocessing.crop} px, "
        f"{len(record.epochs)} of {record.recipe['epochs']} epochs"
    )
    if test := record.test:
        text += f"; {test.split}: top-1 {test.top1} %, top-5 {test.top5} %"
    return text
