"""Thresholds of the drain: by hand-made logs."""

from pathlib import Path

import pytest

from loadtests.drain.clients import DrainLog, Fate
from loadtests.drain.report import add_results
from loadtests.drain.run import Drained
from loadtests.output.report import Report
from loadtests.servers.server import ServerSpec

SPEC = ServerSpec("new", ("python",), Path.cwd())


def judge(log: DrainLog, exit_status: int | None = 0, seconds: float = 1.0) -> Report:
    """One scenario, 5 s allowed."""
    report = Report("t", {})
    add_results(report, SPEC, [Drained("direct", "loop", log, exit_status, seconds)], 5.0)
    report.format_markdown([0, 0, 0])
    return report


def make_log(fate: Fate | None = None, before: bool = False) -> DrainLog:
    """Ten requests answered, some refused in order, and perhaps one with another fate."""
    log = DrainLog(told=100.0, latest=101.5)
    log.before[Fate.ANSWERED], log.after[Fate.ANSWERED] = 10, 1
    log.after[Fate.REFUSED], log.after[Fate.NOBODY] = 5, 4
    if fate is not None:
        (log.before if before else log.after)[fate] += 1
    return log


def missed(report: Report) -> list[str]:
    """Names of the thresholds that did not hold."""
    return [check.name.removeprefix("direct: loop: ") for check in report.checks if not check.held]


def test_all_holds() -> None:
    report = judge(make_log())
    assert report.exit_status == 0
    (scenario,) = report.data["scenarios"]
    assert scenario["last_answer_seconds"] == 1.5
    assert (
        "| direct: loop | 10 / 1 | 5 | 0 | 0 | 0 | 0 | 4 | 0 | 0 / 0 | 0 | 1.00 | 1.50 |"
        in (report.paragraphs[2])
    )


@pytest.mark.parametrize("fate", [Fate.CLOSED, Fate.RESET, Fate.UNANSWERED, Fate.WRONG, Fate.EARLY])
@pytest.mark.parametrize("before", [True, False])
def test_any_loss_is_a_miss(fate: Fate, before: bool) -> None:
    assert missed(judge(make_log(fate, before))) == ["lost requests"]


def test_readiness_status_and_time() -> None:
    log = make_log()
    log.ready_after = 1
    assert missed(judge(log)) == ["/readyz answered 200 after SIGTERM"]
    assert missed(judge(make_log(), exit_status=1)) == ["exit status"]
    assert missed(judge(make_log(), exit_status=None, seconds=6)) == [
        "exit status",
        "from SIGTERM to the end",
    ]


def test_a_scenario_without_answers_shows_nothing() -> None:
    assert "no request was answered" in judge(DrainLog(told=0.0)).unfit[0]
