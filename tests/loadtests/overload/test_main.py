"""The overload tool: a short real run against this service; the rate that counts."""

import argparse

import pytest

from loadtests.clients.outcomes import Outcome
from loadtests.overload.__main__ import OverloadRun, parse_share
from tests.loadtests.conftest import RunTool


@pytest.mark.slow
def test_short_run_against_this_service(run_tool: RunTool) -> None:
    status, found, printed = run_tool(
        "overload",
        *("--seconds", "0.5", "--capacity-seconds", "0.2", "--images", "tiny", "--times", "2"),
        *("--stalled", "0.2", "--env", "BNN_BODY_IDLE_TIMEOUT_MS=1000"),
        *("--env", "BNN_ENGINE=native"),
    )
    assert status in (0, 1, 3), printed  # thresholds are for longer runs
    runs = found["results"]["runs"]
    assert [run["connections"] for run in runs] == ["kept", "new"]
    for run in runs:
        assert run["best_rate"] > 0
        assert run["accepted"]["count"] > 0
        assert sum(run["stalled"].values()) > 0
        assert len(run["probes"]) == 6
        assert run["rss_peak_bytes"] > 2**20
        assert run["answers_after"]
    assert "Thresholds:" in printed


def test_rate_counts_what_was_answered_while_the_overload_lasted() -> None:
    run = OverloadRun("kept", 10.0, seconds=4.0, began=100.0)
    for ended in (100.5, 101.5, 102.0, 103.9, 104.5):  # the first second is left out
        run.outcomes.append(Outcome(100.0, 100.0, ended, 200))
    run.outcomes.append(Outcome(100.0, 100.0, 102.0, 429))
    assert run.rate == 3 / 3
    assert run.offered_rate == 6 / 4
    assert (run.accepted.count, run.refused.count) == (5, 1)


@pytest.mark.parametrize("text", ["-0.1", "1.1", "x", "nan"])
def test_shares(text: str) -> None:
    assert parse_share("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match="share of 0 to 1"):
        parse_share(text)
