"""The memory tool: a short real run against this service, and what it refuses."""

from pathlib import Path

import pytest

from loadtests.memory.__main__ import main
from tests.loadtests.conftest import RunTool


@pytest.mark.slow
def test_short_run_against_this_service(run_tool: RunTool, tmp_path: Path) -> None:
    report = tmp_path / "memory.md"
    short = ["--side", "native", "--clients", "2", "--seconds", "0.3", "--slices", "3"]
    status, found, printed = run_tool("memory", *short, "--markdown", str(report))
    assert status in (0, 1, 3), printed  # a peak may still rise in so short a time
    (side,) = found["results"]["sides"]
    assert side["heavy"] == []
    assert side["usage"]["processes"] == 1
    assert sum(part["rss_bytes"] for part in side["parts"]) == side["peak_bytes"]
    assert side["no_model_bytes"] < side["idle"]["rss"] <= side["peak_bytes"]
    steps = sum(step["added"]["rss"] for step in side["breakdown"]["steps"])
    assert abs(side["idle"]["rss"] - steps) <= 0.25 * side["idle"]["rss"], "the steps are its own"
    held = {check["name"]: check["held"] for check in found["checks"]}
    assert held["torch or ONNX Runtime in it"]
    assert report.read_text().startswith("# Resident memory")


@pytest.mark.parametrize(
    "options",
    [
        ["--side", "nobody"],
        ["--peer", "native"],
        ["--clients", "0"],
        ["--slices", "0"],
        ["--max-mib", "-1"],
    ],
)
def test_wrong_usage(options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2


def test_bundle_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--side", "native", "--network", str(tmp_path)]) == 2
    assert "expected a bundle" in capsys.readouterr().err
