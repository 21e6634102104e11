"""The report of a tool: its exit status, its tables, its files."""

import io
import json
from pathlib import Path

import pytest

from loadtests.output.report import (
    HELD,
    MAX_SHOWN,
    MISSED,
    UNFIT,
    Check,
    Report,
    check_at_least,
    check_at_most,
    make_table,
)

GOOD, BAD = check_at_most("lost", 0, 0), check_at_least("rate", 0.5, 0.9, goal=">= 1")


@pytest.mark.parametrize(
    ("checks", "unfit", "status"),
    [([], [], HELD), ([GOOD], [], HELD), ([GOOD, BAD], [], MISSED), ([BAD], ["noise"], UNFIT)],
)
def test_exit_status(checks: list[Check], unfit: list[str], status: int) -> None:
    assert Report("t", {}, checks=checks, unfit=unfit).exit_status == status


def test_limits_belong_to_what_is_allowed() -> None:
    assert check_at_most("x", 5, 5).held
    assert check_at_least("x", 5, 5).held
    assert not check_at_most("x", 5.01, 5).held
    assert not check_at_least("x", 4.99, 5).held


def test_report_is_printed_and_written(tmp_path: Path) -> None:
    report = Report("A tool", {"seconds": 2, "server_cpus": (0,), "client_cpus": (1,)})
    report.add_table("Rates:", ["a", "b"], [["1", "2"]])
    report.checks = [GOOD, BAD]
    report.data["rate"] = 0.5
    stream = io.StringIO()
    status = report.write(tmp_path / "r.json", tmp_path / "r.md", stream)
    assert status == MISSED
    assert stream.getvalue() == (tmp_path / "r.md").read_text()
    for text in ("# A tool", "| 1 | 2 |", "1 of 2 held", "**NO**", "Server on CPUs (0,)"):
        assert text in stream.getvalue()
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["results"] == {"rate": 0.5}
    assert [check["held"] for check in content["checks"]] == [True, False]
    assert not content["held"]
    assert len(content["machine"]["load_average_after"]) == 3


def test_of_many_thresholds_the_missed_ones_are_shown() -> None:
    report = Report("t", {}, checks=[GOOD] * MAX_SHOWN + [BAD])
    text = report.format_markdown([0, 0, 0])
    assert f"{MAX_SHOWN} of {MAX_SHOWN + 1} held" in text
    assert "| rate |" in text
    assert "| lost |" not in text


def test_table() -> None:
    assert make_table(["a", "b"], [["1", ""]]) == "| a | b |\n| --- | --- |\n| 1 |  |"
