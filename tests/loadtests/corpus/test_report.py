"""The report of a corpus: answers by ending, faults by name, thresholds."""

from pathlib import Path

import pytest

from loadtests.clients.http_client import How
from loadtests.clients.outcomes import Outcome
from loadtests.corpus.report import add_results
from loadtests.corpus.run import Posted
from loadtests.output.report import Report
from loadtests.servers.processes import Usage

GOOD = Outcome(0, 0, 0.01, 200)
USAGE = Usage(2**20, 2 * 2**20, 4, 17)


def judge(*outcomes: Outcome, after: Outcome = GOOD) -> Report:
    """One file for each outcome."""
    report = Report("t", {})
    posted = [Posted(Path(f"{index}.jpg"), 9, each) for index, each in enumerate(outcomes)]
    add_results(report, posted, after, USAGE)
    return report


def test_answers_are_counted_by_ending() -> None:
    report = judge(GOOD, GOOD, Outcome(0, 0, 0.5, 422, "invalid_image"))
    assert report.exit_status == 0
    assert report.data["answers"] == {".jpg": {"200": 2, "422 invalid_image": 1}}
    assert report.data["slowest"][0] == {
        "file": "2.jpg",
        "bytes": 9,
        "ms": 500.0,
        "answer": "422 invalid_image",
    }
    assert report.data["faults"] == []


@pytest.mark.parametrize(
    ("fault", "missed"),
    [
        (Outcome(0, 0, 1, 500, "internal"), "answers 500, 501, 502, ..."),
        (Outcome(0, 0, 1, lost=How.TIMEOUT), "files without an answer"),
    ],
)
def test_a_fault_is_named_and_missed(fault: Outcome, missed: str) -> None:
    report = judge(GOOD, fault)
    assert [check.name for check in report.checks if not check.held] == [missed]
    assert [each["file"] for each in report.data["faults"]] == ["1.jpg"]
    assert "| 1.jpg | 9 | 1000 |" in report.format_markdown([0.0, 0.0, 0.0])


def test_a_service_that_does_not_classify_afterwards() -> None:
    report = judge(GOOD, after=Outcome(0, 0, 1, 503))
    assert [check.name for check in report.checks if not check.held] == [
        "an ordinary image afterwards"
    ]
