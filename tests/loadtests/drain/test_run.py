"""The run of a drain: how long a server may take to end."""

import argparse

import pytest

from loadtests.drain.run import limit_exit


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 35.0),  # 30 s, as Kubernetes waits, and 5
        ({"drain_delay_ms": 2000, "grace_ms": 1000}, 8.0),
        ({"grace_ms": 0}, 5.0),
        ({"exit_within": 3, "grace_ms": 1000}, 3.0),
    ],
)
def test_time_to_end_is_delay_and_grace_and_some(given: dict[str, int], seconds: float) -> None:
    none = {"exit_within": None, "grace_ms": None, "drain_delay_ms": None}
    assert limit_exit(argparse.Namespace(**(none | given))) == seconds
