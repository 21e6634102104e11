"""Thresholds of the overload: by hand-made outcomes."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from loadtests.clients.http_client import How
from loadtests.clients.loops import Lag
from loadtests.clients.outcomes import Outcome
from loadtests.output.report import Report
from loadtests.overload.probes import KEPT, ProbeLog
from loadtests.overload.report import add_results
from loadtests.overload.run import OverloadRun
from loadtests.servers.processes import Usage
from loadtests.servers.sampling import Samples
from loadtests.servers.server import ServerSpec

SPEC = ServerSpec("new", ("python",), Path.cwd())


def make_run(**changes: Any) -> OverloadRun:
    """A run of 10 s that holds everything: best rate 10/s, 10 accepted and 40 refused a second."""
    moments = [10 + i / 10 for i in range(100)]
    outcomes = [Outcome(t, t, t + 0.05, 200) for t in moments]
    refused = [Outcome(t, t, t + 0.01, 429, "overloaded", retry_after=True) for t in moments]
    probes = ProbeLog({("/livez", KEPT): [Outcome(10, 10, 10.01, 200)]})
    fields: dict[str, Any] = {
        "connections": "kept",
        "best_rate": 10.0,
        "seconds": 10.0,
        "began": 10.0,
        "outcomes": outcomes + refused * 4,
        "probes": probes,
        "samples": Samples([0.0], [Usage(50 * 2**20, 90 * 2**20, 5, 50)]),
        "lag": Lag([0.001]),
        "answers_after": True,
    }
    return OverloadRun(**{**fields, **changes})


def judge(run: OverloadRun, **changes: Any) -> dict[str, bool]:
    """Thresholds by name, without the connections."""
    options = {
        "deadline_ms": 3000,
        "max_refusal_ms": 50.0,
        "max_probe_ms": 100.0,
        "min_rate": 0.9,
        "max_lag_ms": 20.0,
        "memory_budget": 100 * 2**20,
        "times": 5.0,
        "stalled": 0.0,
    }
    report = Report("t", {})
    add_results(report, SPEC, [run], argparse.Namespace(**{**options, **changes}))
    report.format_markdown([0, 0, 0])
    return {check.name.removeprefix("kept connections: "): check.held for check in report.checks}


def test_all_holds() -> None:
    run = make_run()
    assert all(judge(run).values())
    assert run.rate == pytest.approx(10)
    assert run.offered_rate == 50


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Outcome(11, 11, 20, 200), "accepted, p99"),
        (Outcome(11, 11, 20, 429, retry_after=True), "429, p99"),
        (Outcome(11, 11, 11.01, 429), "429 without Retry-After"),
        (Outcome(11, 11, 12, lost=How.RESET), "requests without an answer"),
        (Outcome(11, 11, 12, 500), "answers 500, 501, 502, ..."),
    ],
)
def test_each_threshold_can_be_missed(outcome: Outcome, name: str) -> None:
    found = judge(make_run(outcomes=make_run().outcomes + [outcome] * 20))
    assert [key for key, held in found.items() if not held] == [name]


def test_answers_in_order_are_no_faults() -> None:
    more = [Outcome(11, 11, 12, status) for status in (503, 504, 408)]
    assert all(judge(make_run(outcomes=make_run().outcomes + more)).values())


def test_nothing_refused_at_several_times_the_best_rate_is_a_miss() -> None:
    accepted = [o for o in make_run().outcomes if o.status == 200]
    assert not judge(make_run(outcomes=accepted))["429, p99"]
    assert "429, p99" not in judge(make_run(outcomes=accepted), times=0.5)
    assert "429, p99" not in judge(make_run(outcomes=accepted), times=2.0, stalled=0.5)


def test_nothing_accepted_is_a_miss() -> None:
    refused = [o for o in make_run().outcomes if o.status == 429]
    found = judge(make_run(outcomes=refused))
    assert not found["accepted, p99"]
    assert not found["accepted / best rate"]


def test_probes_memory_and_life() -> None:
    slow = ProbeLog({("/livez", KEPT): [Outcome(10, 10, 10.2, 200)]})
    assert not judge(make_run(probes=slow))["slowest probe"]
    dead = ProbeLog({("/livez", KEPT): [Outcome(10, 10, 10.01, lost=How.RESET)]})
    assert not judge(make_run(probes=dead))["probes not answered 200"]
    assert not judge(make_run(), memory_budget=80 * 2**20)["RSS peak"]
    assert "RSS peak" not in judge(make_run(), memory_budget=None)
    assert not judge(make_run(answers_after=False))["a request afterwards"]


def test_late_generator_is_told() -> None:
    report = Report("t", {})
    options = argparse.Namespace(
        deadline_ms=3000,
        max_refusal_ms=50.0,
        max_probe_ms=100.0,
        min_rate=0.9,
        max_lag_ms=20.0,
        memory_budget=None,
        times=5.0,
        stalled=0.0,
    )
    add_results(report, SPEC, [make_run(lag=Lag([1.0]))], options)
    assert report.exit_status == 3
