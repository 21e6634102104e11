"""The picture of accuracy: a mark for each run, within its panel."""

from pathlib import Path
from xml.etree import ElementTree

from models.plots.scatter import WIDTH, Point, write_scatter

SVG = "{http://www.w3.org/2000/svg}"


def draw(points: list[Point], folder: Path) -> ElementTree.Element:
    write_scatter(points, folder / "a.svg")
    return ElementTree.parse(folder / "a.svg").getroot()


def test_each_run_has_a_mark_in_both_panels(tmp_path: Path) -> None:
    points = [
        Point("binary <1>", "pets", True, 61.0, 0.5, 0.25),
        Point("float", "pets", False, 72.0, 4.0, 8.0),
        Point("untimed", "birds", False, 50.0, 2.0, None),
    ]
    root = draw(points, tmp_path)
    marks = list(root.iter(f"{SVG}circle"))
    assert len(marks) == 5
    assert all(0 < float(mark.get("cx", "-1")) < WIDTH for mark in marks)
    assert sum(mark.get("fill") == "none" for mark in marks) == 3
    texts = [item.text for item in root.iter(f"{SVG}text")]
    assert texts.count("binary <1>") == 2
    assert texts.count("untimed") == 1


def test_one_run_alone_is_drawn(tmp_path: Path) -> None:
    root = draw([Point("one", "pets", True, 100.0, 1.0, None)], tmp_path)
    assert len(list(root.iter(f"{SVG}circle"))) == 1
