"""Plots of a comparison: SVG with every side's name and figure in it."""

import xml.etree.ElementTree as ET

import pytest

from loadtests.comparison.plots import draw_case
from loadtests.comparison.tables import add_case
from loadtests.output.report import Report
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


def test_accuracy_is_drawn_where_two_have_it_on_the_same_files() -> None:
    report, run = Report("t", {}), make_run(whole=False, measured=True)
    add_case(report, run, OPTIONS, {})
    run.results[1].accuracy = run.results[0].accuracy
    add_case(report, run, OPTIONS, {})
    one, two = (draw_case(case) for case in report.data["cases"])
    assert ("top-1 on the same files" in one, "top-1 on the same files" in two) == (False, True)
