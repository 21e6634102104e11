"""Plots of a comparison: SVG with every side's name and figure in it."""

import xml.etree.ElementTree as ET

import pytest

from loadtests.comparison.plots import draw_case
from loadtests.comparison.tables import add_case
from loadtests.report import Report
from tests.loadtests.comparison.made_up import OPTIONS, make_run


@pytest.mark.parametrize("whole", [True, False])
def test_draws_every_side(whole: bool) -> None:
    report = Report("t", {})
    add_case(report, make_run(whole), OPTIONS, {})
    svg = draw_case(report.data["cases"][0])
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    for text in ("meliusnet13, 160x160", "mobilenet_v1, 160x160", "4.00", "2.00", "85"):
        assert text in svg  # as comments beside the outlines of its letters
    assert ("p99 by rate" in svg) == whole
    assert svg == draw_case(report.data["cases"][0])
