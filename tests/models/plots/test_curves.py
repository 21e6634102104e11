"""models.plots.curves: well-formed SVG of the figures in records."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from models.errors import DataError
from models.plots.curves import COLORS, draw_curves

SVG = "{http://www.w3.org/2000/svg}"


def make_record(epochs: int = 3, name: str = "<photos>") -> dict[str, Any]:
    rows = [
        {
            "epoch": i + 1,
            "loss": 2.0 / (i + 1),
            "train_top1": 10.0 * i,
            "learning_rate": 0.002,
            "validation_top1": 20.0 * i,
            "validation_loss": 1.0,
        }
        for i in range(epochs)
    ]
    test = {"split": "test", "top1": 61.5, "top5": 90.0}
    return {
        "format": 1,
        "network": "meliusnet13",
        "data": {"name": name},
        "preprocessing": {"crop": 64},
        "recipe": {"epochs": 5},
        "epochs": rows,
        "test": test if epochs else None,
    }


def test_each_figure_is_a_line() -> None:
    root = ET.fromstring(draw_curves([make_record(), make_record()]))
    lines = root.findall(f"{SVG}polyline")
    assert len(lines) == 2 * 5
    assert {line.get("stroke") for line in lines} == set(COLORS[:2])
    assert all(len((line.get("points") or "").split()) == 3 for line in lines)
    text = "".join(root.itertext())
    assert "meliusnet13 on <photos>, 64 px, 3 of 5 epochs; test: top-1 61.5 %" in text


def test_points_lie_inside_the_picture() -> None:
    root = ET.fromstring(draw_curves([make_record(40)]))
    width, height = (float(root.get(side) or 0) for side in ("width", "height"))
    for line in root.findall(f"{SVG}polyline"):
        for point in (line.get("points") or "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_a_single_epoch_is_a_dot() -> None:
    root = ET.fromstring(draw_curves([make_record(1)]))
    assert root.findall(f"{SVG}circle")
    assert not root.findall(f"{SVG}polyline")


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(DataError, match="at least one epoch"):
        draw_curves([make_record(0)])
