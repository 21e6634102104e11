"""The overload tool: a short real run against this service; its options."""

import argparse

import pytest

from loadtests.overload.__main__ import parse_share
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


@pytest.mark.parametrize("text", ["-0.1", "1.1", "x", "nan"])
def test_shares(text: str) -> None:
    assert parse_share("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match="share of 0 to 1"):
        parse_share(text)
