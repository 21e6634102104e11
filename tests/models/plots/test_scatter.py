"""models.plots.scatter: a mark for each network, numbers that do not lie on each other."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from models.plots import scatter
from models.plots.scatter import Point, join_labels, write_scatter

POINTS = [
    Point("binary <1>", "pets", True, (61.0, 63.0), 0.5, 0.25),
    Point("float", "pets", False, (72.0,), 4.0, 8.0),
    Point("untimed", "birds", False, (50.0,), 2.0, None),
]


def test_each_network_has_a_mark_in_both_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(scatter, "save_chart", lambda figure, _: drawn.append(figure))
    write_scatter(POINTS, Path())
    by_size, by_latency = drawn[0].axes
    assert [len(axes.containers) for axes in (by_size, by_latency)] == [3, 2]
    marks = [container.lines[0] for container in by_size.containers]
    assert [list(mark.get_ydata()) for mark in marks] == [[62.0], [72.0], [50.0]]
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [False, True, True]
    assert [text.get_text() for text in by_size.texts] == ["2", "1", "3"]
    assert by_size.get_xlim()[0] < 0.5 < 4.0 < by_size.get_xlim()[1]


def test_names_are_in_the_legend(tmp_path: Path) -> None:
    write_scatter(POINTS, tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    texts = {item.text for item in root.iter() if item.tag.endswith("text")}
    assert {"1  binary <1>", "2  float", "3  untimed"} <= texts


def test_one_network_alone_is_drawn(tmp_path: Path) -> None:
    write_scatter([Point("one", "pets", True, (100.0,), 1.0, None)], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size


def test_labels_that_would_lie_on_each_other_are_one() -> None:
    labels = [("1", 1.0, 50.0), ("2", 1.01, 52.0), ("3", 1.0, 20.0), ("4", 9.0, 90.0)]
    assert join_labels(labels) == [("4", 9.0, 90.0), ("2, 1", 1.01, 52.0), ("3", 1.0, 20.0)]
