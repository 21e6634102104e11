"""What counts as growth: medians of tenths, the first one left out."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loadtests.output.report import Report
from loadtests.servers.processes import Usage
from loadtests.servers.server import ServerSpec
from loadtests.soak.report import PARTS, add_results, measure_growth
from loadtests.soak.run import Point, SoakRun

SPEC = ServerSpec("new", ("python",), Path.cwd())
MIB = 2**20


def make_points(rss: list[float], descriptors: int = 10) -> list[Point]:
    """Two points a tenth, of so many MiB."""
    return [
        (
            100 * part + step,
            part + step / 100,
            Usage(int(mib * MIB), int(mib * MIB), 5, descriptors),
        )
        for part, mib in enumerate(rss)
        for step in (0, 99)
    ] + [(1000, 10.0, Usage(int(rss[-1] * MIB), int(rss[-1] * MIB), 5, descriptors))]


def judge(rss: list[float], **changes: Any) -> Report:
    """A soak with this memory; 5 % are allowed."""
    idle = Usage(50 * MIB, 90 * MIB, 5, 8)
    fields: dict[str, Any] = {
        "done": 1000,
        "labels": {"form": Counter({"200": 1000})},
        "points": make_points(rss),
        "before": idle,
        "after": idle,
        "alive": True,
        "ready_after": True,
    }
    report = Report("t", {})
    add_results(report, SPEC, SoakRun(**{**fields, **changes}), 0.05)
    report.format_markdown([0, 0, 0])
    return report


def missed(report: Report) -> list[str]:
    """Names of the thresholds that did not hold."""
    return [check.name for check in report.checks if not check.held]


def test_the_first_tenth_may_be_smaller() -> None:
    report = judge([60, 100, *[100] * 8])
    assert report.exit_status == 0
    assert report.data["growth"]["RSS, MiB"]["share"] == 0


@pytest.mark.parametrize("last", [106, 200])
def test_growth_is_a_miss(last: int) -> None:
    assert missed(judge([100] * 9 + [last])) == ["RSS, MiB: highest tenth after the second"]


def test_shrinking_is_none() -> None:
    assert not missed(judge([100, 100, *[90] * 8]))


def test_a_single_peak_is_none() -> None:
    points = make_points([100] * 10)
    points.insert(7, (350, 3.5, Usage(500 * MIB, 500 * MIB, 5, 10)))
    assert not missed(judge([100] * 10, points=points))


def test_few_descriptors_more_are_none_and_left_ones_are() -> None:
    points = make_points([100] * 5, descriptors=10) + [
        (done + 500, at, usage) for done, at, usage in make_points([100] * 5, descriptors=13)
    ]
    assert not missed(judge([100] * 10, points=points))
    left = Usage(50 * MIB, 90 * MIB, 5, 20)
    assert missed(judge([100] * 10, after=left)) == ["descriptors left open"]


def test_wrong_answers_and_death() -> None:
    assert missed(judge([100] * 10, wrong=Counter({"form: 500": 1}))) == ["wrong answers"]
    assert missed(judge([100] * 10, alive=False)) == ["the service lives"]
    assert missed(judge([100] * 10, ready_after=False)) == ["/readyz afterwards"]


def test_too_few_samples_show_nothing() -> None:
    points = make_points([100] * 10)[:3]
    assert measure_growth(points, [1.0] * 3) is None
    assert "too few samples" in judge([100] * 10, points=points).unfit[0]
    growth = measure_growth(make_points([100] * 10), list(range(21)))
    assert growth is not None
    assert len(growth.medians) == PARTS
    assert growth.medians == sorted(growth.medians)
