"""Tables and thresholds of the overhead: by hand-made figures whose ratios are known."""

import argparse
from typing import Any

import pytest

from loadtests.output.report import Report
from loadtests.overhead.report import Cell, add_tables
from loadtests.servers.processes import Usage

OPTIONS = argparse.Namespace(max_of_service=0.65, max_of_peer=1.2, min_of_bare=0.88)


def add_row(cell: Cell, name: str, overhead: float, **changes: Any) -> None:
    """A contestant whose bare loop takes 2 ms and 500 images/s."""
    fields: dict[str, Any] = {
        "name": name,
        "is_peer": False,
        "engine": "native/generic",
        "cpu_ms": [2 + overhead, 2.2 + overhead],
        "rates": [450.0, 450.0],
        "latencies": [0.001, 0.002],
        "bare_cpu_ms": [2.0, 2.2],
        "bare_rates": [500.0, 500.0],
        "usage": Usage(2**20, 2**21, 3, 9),
        "agreement": "1/1, 0.000",
    }
    cell.add(**{**fields, **changes})


def judge(cell: Cell) -> Report:
    """The report of this cell alone."""
    report = Report("t", {})
    add_tables(report, [cell], OPTIONS)
    return report


@pytest.mark.parametrize(("overhead", "held"), [(0.5, True), (0.7, False)])
def test_first_service_is_judged_against_the_others(overhead: float, held: bool) -> None:
    cell = Cell("mobilenet_v1", "73-pixel JPEG", 8)
    add_row(cell, "new", overhead)
    add_row(cell, "today", 1.0)
    report = judge(cell)
    (check,) = report.checks
    assert (check.name, check.held) == (
        "overhead, new / today: mobilenet_v1, 73-pixel JPEG, 8 clients",
        held,
    )
    assert float(check.found) == pytest.approx(overhead)
    assert "2.60" not in report.paragraphs[0]
    row = report.data["cells"][0]["rows"][1]
    assert row["overhead_ratio"]["median"] == pytest.approx(overhead)
    assert row["cpu_ratio"]["median"] < 1


def test_peers_have_a_limit_of_their_own() -> None:
    cell = Cell("mobilenet_v1", "73-pixel JPEG", 1)
    add_row(cell, "new", 1.1)
    add_row(cell, "fastapi", 1.0, is_peer=True)
    (check,) = judge(cell).checks
    assert (check.limit, check.held) == ("<= 1.2", True)


@pytest.mark.parametrize(("new", "today", "which"), [(0.5, -0.1, "latter"), (-0.1, 0.5, "former")])
def test_overhead_below_the_noise_is_no_measurement(new: float, today: float, which: str) -> None:
    cell = Cell("mobilenet_v1", "73-pixel JPEG", 1)
    add_row(cell, "new", new)
    add_row(cell, "today", today)
    report = judge(cell)
    assert not report.checks
    assert f"no overhead of the {which}" in report.unfit[0]


def test_a_round_without_overhead_does_not_spoil_the_others() -> None:
    cell = Cell("mobilenet_v1", "73-pixel JPEG", 1)
    add_row(cell, "new", 0.5, cpu_ms=[2.5, 2.5, 2.5], bare_cpu_ms=[2.0, 2.0, 2.0])
    noisy = {"rates": [1.0] * 3, "bare_rates": [1.0] * 3}
    cell.rows[0].rates[:] = cell.rows[0].bare_rates[:] = [1.0] * 3
    add_row(cell, "today", 1.0, cpu_ms=[1.9, 3.0, 3.0], bare_cpu_ms=[2.0, 2.0, 2.0], **noisy)
    (check,) = judge(cell).checks
    assert float(check.found) == pytest.approx(0.5)


@pytest.mark.parametrize(("rate", "held"), [(450.0, True), (400.0, False)])
def test_images_per_second_of_the_default_bundle(rate: float, held: bool) -> None:
    cell = Cell("default", "512-pixel photos", 8)
    add_row(cell, "new", 0.5, rates=[rate, rate])
    (check,) = judge(cell).checks
    assert check.name.startswith("images/s, new / bare loop")
    assert check.held is held


def test_tables_have_a_row_for_each_contestant_and_concurrency() -> None:
    cell = Cell("default", "512-pixel photos", 1)
    add_row(cell, "new", 0.5)
    add_row(cell, "today", 1.0, usage=Usage(1, 1, 1, 1, processes=5))
    text = judge(cell).format_markdown([0.0, 0.0, 0.0])
    assert "| new (`native/generic`) | 1 | 2.60 [2.50, 2.70] |" in text
    assert "| 0.50 [0.50, 0.50] |" in text
    assert "(5 processes)" in text
