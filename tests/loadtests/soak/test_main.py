"""The soak tool: a short real run against this service, in which nothing may be wrong."""

import json
from pathlib import Path

import pytest

from loadtests.clients.http_client import Answer
from loadtests.errors import ServerFault
from loadtests.soak.__main__ import _read_limit
from tests.loadtests.conftest import RunTool


@pytest.mark.slow
def test_short_run_against_this_service(run_tool: RunTool, tmp_path: Path) -> None:
    plot = tmp_path / "usage.svg"
    status, found, printed = run_tool(
        *("soak", "--requests", "250", "--env", "BNN_ENGINE=native", "--seed", "5"),
        *("--plot", str(plot)),
    )
    assert status in (0, 1, 3), printed  # so few requests are its warm-up
    results = found["results"]
    assert results["wrong"] == {}, printed
    assert results["requests"] == 250
    assert sum(sum(labels.values()) for labels in results["answers"].values()) == 250
    held = {check["name"]: check["held"] for check in found["checks"]}
    assert held["the service lives"]
    assert held["/readyz afterwards"]
    assert plot.exists() or "matplotlib is not installed" in printed


def answer(content: object) -> Answer:
    """Of /info."""
    return Answer(200, {}, json.dumps(content).encode(), 0.0, keep_alive=True)


def test_limit_is_the_service_s_own() -> None:
    assert _read_limit(answer({"limits": {"max_body_bytes": 5}})) == 5


@pytest.mark.parametrize("content", [{}, [], {"limits": {"max_body_bytes": "x"}}])
def test_service_without_limits_is_none(content: object) -> None:
    with pytest.raises(ServerFault, match="is this the service"):
        _read_limit(answer(content))
