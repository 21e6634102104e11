"""Charts: what is shown is in them, and the same figures give the same file."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from loadtests.output.charts import (
    Panel,
    Range,
    draw_panels,
    format_svg,
    show_layers,
    show_lines,
    show_percentiles,
    show_points,
    show_ranges,
    show_rises,
    show_steps,
    show_trials,
    write_chart,
)

NAMES = ["first", "second"]
LAYERS = {name: [3.0, 4.0] for name in ("server", "library", "model", "load")}
PANELS: dict[str, tuple[Panel, list[str]]] = {
    "ranges": (show_ranges("CPU", NAMES, [Range(1, 2.25, 3), Range(0, 1, 1)]), ["2.25", *NAMES]),
    "rises": (show_rises("memory", NAMES, [(10, 33), (20, 21)]), ["33", "21", "memory"]),
    "percentiles": (
        show_percentiles("latency", NAMES, [{0.5: 1, 0.999: 9}, {0.5: 2, 0.999: 3}]),
        ["p99.9", *NAMES],
    ),
    "trials": (show_trials("p99", "rate", [[(1, 2, True), (2, 9, False)]]), ["p99", "rate"]),
    "points": (show_points("top-1", [(1, "second", 5, 80)], 7), ["second", "top-1"]),
    "layers": (show_layers("MiB", NAMES, LAYERS), ["12", "16", "library", "MiB"]),
    "steps": (
        show_steps("MiB", [("stays", 5, True), ("goes", 2.5, False)]),
        ["5.0", "2.5", "goes"],
    ),
    "lines": (show_lines("x", "", [0, 1], {"a line": [1, 2], "another": [3, 1]}), ["a line"]),
}


@pytest.mark.parametrize("kind", PANELS)
def test_names_and_numbers_are_shown(kind: str) -> None:
    panel, texts = PANELS[kind]
    svg = format_svg(draw_panels([[panel]], [3], width=5))
    assert ET.fromstring(svg).get("width") == "360pt"  # 5 inches
    for text in texts:
        assert f"<!-- {text}" in svg or f"<!--  {text}" in svg or f"<!--   {text}" in svg, text
    assert svg == format_svg(draw_panels([[panel]], [3], width=5))


def test_file_is_of_the_kind_that_its_name_says(tmp_path: Path) -> None:
    panel, _ = PANELS["lines"]
    for name, head in (("chart.svg", b"<?xml"), ("chart.png", b"\x89PNG")):
        write_chart(draw_panels([[panel], [panel]], [2, 2], width=4), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(head)
