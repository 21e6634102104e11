"""The chart of resident memory: a bar of layers for each server, parts of the native one."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.memory.measured import Measured
from loadtests.memory.parts import list_parts
from loadtests.memory.sides import SLIM
from loadtests.output.charts import Panel, draw_panels, show_layers, show_steps, write_chart
from loadtests.servers.processes import MIB
from loadtests.servers.steps import LIBRARY

LAYERS = ("server", LIBRARY, "model, when idle", "under load")


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


def draw_memory(found: Sequence[Measured], path: Path) -> None:
    """Writes SVG or PNG, by the name's ending."""
    rows, heights = [[_show_sides(found)]], [0.8 * len(found)]
    if slim := next((one for one in found if one.side.name == SLIM), None):
        rows.append([_show_parts(slim)])
        heights.append(3.2)
    figure = draw_panels(rows, heights, width=9, height=1.5 + sum(heights))
    write_chart(figure, path)


def _show_sides(found: Sequence[Measured]) -> Panel:
    names = [f"{one.side.name}\n{one.side.bundle.name}" for one in found]
    table = [[size / MIB for size in list_layers(one)] for one in found]
    layers = dict(zip(LAYERS, zip(*table, strict=True), strict=True))
    return show_layers("peak RSS of all processes, MiB", names, layers)


def _show_parts(slim: Measured) -> Panel:
    steps = [
        (part.name.partition(":")[0], part.rss / MIB, part.memory is not None)
        for part in list_parts(slim)
    ]
    return show_steps(f"parts of the peak of {slim.side.name}, MiB", steps)
