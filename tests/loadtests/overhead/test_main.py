"""The overhead tool: a short real run against this service, and wrong options."""

import sys
from pathlib import Path

import pytest

from loadtests.overhead.__main__ import main
from tests.loadtests.conftest import RunTool


@pytest.mark.slow
def test_short_run_against_this_service(run_tool: RunTool, repository: Path) -> None:
    services = [f"--service={name}={sys.executable}:{repository}" for name in ("new", "today")]
    short = ["--repeats", "1", "--seconds", "0.2", "--concurrency", "2", "--bundle", "default"]
    status, found, printed = run_tool("overhead", *services, *short)
    assert status in (0, 1, 3), printed  # thresholds are for longer runs
    cells = found["results"]["cells"]
    assert [(c["bundle"], c["concurrency"]) for c in cells] == [("default", 2)] * 2
    for row in (row for cell in cells for row in cell["rows"]):
        assert row["engine"].startswith("native/")
        assert row["cpu_ms"][0] > 0
        assert row["rates"][0] > 0
        assert row["agreement"].endswith(", 0.000")
    assert "| today (`native/" in printed


@pytest.mark.parametrize(
    "options",
    [
        ["--peer", "nobody"],
        ["--peer-bundle", "."],
        ["--onnx-bundle", "."],
        ["--bundle", "none"],
        ["--repeats", "0"],
        ["--seconds", "-1"],
    ],
)
def test_wrong_options(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as found:
        main(options)
    assert found.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_bundle_that_is_not_measured_is_wrong_usage(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(repository / "service" / "bundles" / "mobilenet_v1")
    with pytest.raises(SystemExit) as found:
        main(["--onnx-bundle", bundle, "--bundle", "default"])
    assert found.value.code == 2
    assert "expected --bundle mobilenet_v1 too" in capsys.readouterr().err
