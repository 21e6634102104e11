"""service.repository.report: the names, put together and in the log."""

import logging

import pytest

from service.repository.report import Report


def test_two_become_one() -> None:
    report = Report(loaded=["a"], failed=["b"])
    report.add(Report(loaded=["c"], unchanged=["d"]))
    assert report == Report(["a", "c"], [], ["b"], ["d"])


@pytest.mark.parametrize(("failed", "level"), [([], logging.INFO), (["b"], logging.WARNING)])
def test_a_line_of_the_log(failed: list[str], level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Report(loaded=["a", "c"], failed=failed).log("models read")
    (line,) = caplog.records
    assert (line.levelno, line.message) == (level, "models read")
    assert line.loaded == "a, c"  # type: ignore[attr-defined]
    assert not hasattr(line, "unloaded")
    assert hasattr(line, "failed") is bool(failed)
