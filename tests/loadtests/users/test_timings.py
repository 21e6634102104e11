"""The load test's summary of the timings in answer headers."""

import pytest

from loadtests.users.timings import StageTimings


@pytest.fixture
def timings() -> StageTimings:
    collected = StageTimings()
    for value in range(1, 101):
        collected.record([("X-Time-Infer-Ms", f"{value}.0"), ("Content-Type", "text/plain")])
    return collected


def test_percentiles_are_nearest_rank(timings: StageTimings) -> None:
    assert timings.summarize() == {
        "infer": {
            "count": 100,
            "mean_ms": 50.5,
            "p50_ms": 50.0,
            "p95_ms": 95.0,
            "p99_ms": 99.0,
            "max_ms": 100.0,
        }
    }


def test_header_names_have_no_case() -> None:
    collected = StageTimings()
    collected.record([("x-time-decode-ms", "2.5"), ("X-TIME-DECODE-MS", "3.5")])
    assert collected.summarize()["decode"]["mean_ms"] == 3.0


def test_table_names_stage_and_columns(timings: StageTimings) -> None:
    header, row = timings.format_table().splitlines()
    assert "p95_ms" in header
    assert row.split()[:2] == ["infer", "100"]


def test_table_says_when_there_is_nothing(timings: StageTimings) -> None:
    timings.clear()
    assert "no answer" in timings.format_table()
