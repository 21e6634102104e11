"""The reader of a service's metrics: histograms add up, and the real service has what is read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.clients.metrics import Histogram, read_scrape
from loadtests.errors import ServerFault

METRICS = """
# TYPE process_cpu_seconds counter
process_cpu_seconds_total 1.5
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1048576
# TYPE bnn_request_duration_seconds histogram
bnn_request_duration_seconds_bucket{le="0.01",method="POST",route="/classify",status="200"} 3
bnn_request_duration_seconds_bucket{le="0.1",method="POST",route="/classify",status="200"} 9
bnn_request_duration_seconds_bucket{le="+Inf",method="POST",route="/classify",status="200"} 10
bnn_request_duration_seconds_count{method="POST",route="/classify",status="200"} 10
bnn_request_duration_seconds_sum{method="POST",route="/classify",status="200"} 0.75
bnn_request_duration_seconds_bucket{le="+Inf",method="POST",route="/classify",status="429"} 99
bnn_request_duration_seconds_sum{method="POST",route="/classify",status="429"} 99
"""


def test_reads_answered_classifications_alone() -> None:
    found = read_scrape(METRICS)
    assert (found.cpu_seconds, found.resident_bytes) == (1.5, 2**20)
    assert found.classify == Histogram([0.01, 0.1, math.inf], [3, 9, 10], 0.75)
    assert found.classify.count == 10
    assert found.classify.find_bucket(0.3) == (0, 0.01)
    assert found.classify.find_bucket(0.5) == (0.01, 0.1)
    assert found.classify.find_bucket(0.99) == (0.1, math.inf)


def test_a_service_that_has_answered_nothing() -> None:
    text = "".join(line + "\n" for line in METRICS.splitlines() if "bnn_" not in line)
    assert read_scrape(text).classify.count == 0


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ServerFault, match="process_cpu_seconds_total"):
        read_scrape("process_resident_memory_bytes 1\n")


DURATIONS = st.lists(st.sampled_from([0.001, 0.01, 0.05, 0.5, 7.0]), max_size=30)


def fill(durations: list[float]) -> Histogram:
    bounds = [0.01, 0.1, 1.0, math.inf]
    counts = [float(sum(d <= bound for d in durations)) for bound in bounds]
    return Histogram(bounds, counts, sum(durations))


@given(DURATIONS, DURATIONS)
def test_difference_is_what_came_since(before: list[float], since: list[float]) -> None:
    found = fill(before + since) - fill(before)
    assert found.counts == fill(since).counts
    assert found.sum == pytest.approx(sum(since))
    if since:
        low, high = found.find_bucket(1.0)
        assert low < max(since) <= high
