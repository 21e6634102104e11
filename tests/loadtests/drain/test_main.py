"""The drain tool: a short real run against this service, and its options."""

import argparse

import pytest

from loadtests.drain.__main__ import parse_ms
from tests.loadtests.conftest import RunTool


@pytest.mark.slow
def test_short_run_against_this_service(run_tool: RunTool) -> None:
    status, found, printed = run_tool(
        *("drain", "--env", "BNN_ENGINE=native", "--clients", "4", "--after", "0.3"),
        *("--kinds", "connect", "burst", "--images", "tiny"),
    )
    assert status in (0, 1), printed
    scenarios = found["results"]["scenarios"]
    assert [each["clients"] for each in scenarios] == ["connect", "burst"]
    for each in scenarios:
        assert each["front"] == "direct"
        assert each["exit_status"] == 0
        assert each["before"]["answered 200"] > 0
    assert "| direct: burst |" in printed


@pytest.mark.slow
def test_missing_nginx_is_told_loudly(run_tool: RunTool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADTESTS_NGINX", "/nowhere/nginx")
    _, found, printed = run_tool(
        *("drain", "--env", "BNN_ENGINE=native", "--nginx", "--clients", "1", "--after", "0.1"),
        *("--kinds", "burst"),
    )
    assert "NOT RUN: the scenarios behind nginx" in printed
    assert len(found["results"]["scenarios"]) == 1


@pytest.mark.parametrize("text", ["-1", "1.5", "x"])
def test_milliseconds(text: str) -> None:
    assert parse_ms("0") == 0
    with pytest.raises(argparse.ArgumentTypeError, match="milliseconds"):
        parse_ms(text)
