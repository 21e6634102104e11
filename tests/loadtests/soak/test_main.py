"""The soak tool: a short real run against this service, in which nothing may be wrong."""

from pathlib import Path

import pytest

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
    assert "<svg" in plot.read_text()
