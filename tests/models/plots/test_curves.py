"""models.plots.curves: a line for each figure of a record."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from models.errors import DataError
from models.plots import curves
from models.plots.curves import STYLES, write_curves
from models.records.record import Record
from tests.models.recorded_runs import make_record, parse_record


def make_run(epochs: int = 3, name: str = "<photos>") -> Record:
    rows = [
        {"epoch": i + 1, "loss": 2.0 / (i + 1), "train_top1": 10.0 * i, "learning_rate": 0.002}
        | {"validation_top1": 20.0 * i, "validation_loss": 1.0}
        for i in range(epochs)
    ]
    content = make_record()
    content["recipe"] |= {"epochs": 5}
    return parse_record(content | {"data": content["data"] | {"name": name}, "epochs": rows})


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What was drawn last."""
    drawn: list[Figure] = []
    monkeypatch.setattr(curves, "save_chart", lambda figure, _: drawn.append(figure))
    return drawn


def draw(figure: list[Figure], *records: Record) -> list[list[Any]]:
    """The lines of each panel."""
    write_curves(records, Path())
    return [list(axes.lines) for axes in figure[-1].axes]


def test_each_figure_is_a_line(figure: list[Figure]) -> None:
    panels = draw(figure, make_run(), make_run())
    assert [len(lines) for lines in panels] == [4, 4, 2]
    for lines in panels:
        assert {(line.get_color(), line.get_linestyle()) for line in lines} == set(STYLES[:2])
        assert all(list(line.get_xdata()) == [1, 2, 3] for line in lines)
    assert (
        sorted(list(line.get_ydata()) for line in panels[0])
        == [[0, 10, 20]] * 2 + [[0, 20, 40]] * 2
    )
    assert {line.get_alpha() for line in panels[0]} == {curves.PALE, 1.0}


def test_a_metric_that_is_not_always_measured_has_fewer_points(figure: list[Figure]) -> None:
    record = make_run()
    rows = [row if row.epoch != 2 else type(row)(**{**vars(row), "validation_top1": None})
            for row in record.epochs]  # fmt: skip
    panels = draw(figure, type(record)(**{**vars(record), "epochs": tuple(rows)}))
    assert [list(line.get_xdata()) for line in panels[0]] == [[1, 2, 3], [1, 3]]


def test_a_single_epoch_is_a_dot(figure: list[Figure]) -> None:
    for lines in draw(figure, make_run(1)):
        assert all(line.get_marker() == "o" for line in lines)


def test_more_runs_than_styles_are_drawn(figure: list[Figure]) -> None:
    panels = draw(figure, *[make_run()] * (len(STYLES) + 1))
    assert len(panels[2]) == len(STYLES) + 1


def test_runs_are_told_apart_by_name(tmp_path: Path) -> None:
    write_curves([make_run(), make_run(name="$other")], tmp_path / "curves.svg")
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    texts = {item.text for item in root.iter() if item.tag.endswith("text")}
    rest = "32 px, 3 of 5 epochs; test: top-1 80.0 %, top-5 100.0 %"
    assert {f"meliusnet13 on {name}, {rest}" for name in ("<photos>", "$other")} <= texts


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(DataError, match="at least one epoch"):
        write_curves([make_run(0)], Path("none.svg"))
