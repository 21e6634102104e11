"""The reader of a service's metrics: histograms add up, and the real service has what is read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.clients.metrics import Histogram, Metrics, parse_metrics, read_metrics
from tests.loadtests.stub_service import StubService, run_stub

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
    found = parse_metrics(METRICS)
    assert (found.cpu_seconds, found.resident_bytes) == (1.5, 2**20)
    assert found.durations == Histogram([0.01, 0.1, math.inf], [3, 9, 10], 0.75)
    assert found.durations.count == 10
    assert found.durations.find_bucket(0.3) == (0, 0.01)
    assert found.durations.find_bucket(0.5) == (0.01, 0.1)
    assert found.durations.find_bucket(0.99) == (0.1, math.inf)


def test_a_service_that_has_answered_nothing() -> None:
    text = "".join(line + "\n" for line in METRICS.splitlines() if "bnn_" not in line)
    assert parse_metrics(text).durations.count == 0


def test_what_a_service_does_not_tell_is_none() -> None:
    assert parse_metrics("process_resident_memory_bytes 1\n") == Metrics(None, 1, Histogram([], []))
    assert parse_metrics('process_cpu_seconds_total{of="another"} 2\n').cpu_seconds is None
    assert parse_metrics("{ { {") == Metrics()


def test_a_running_service_is_asked() -> None:
    service = StubService(cpu_per_image=0.25, delay=0)
    service.requests["POST", "/", ""] = 4
    with run_stub(service) as address:
        found = read_metrics(address)
        assert (found.cpu_seconds, found.resident_bytes) == (1.0, 5e7)
    with run_stub(StubService(delay=0)) as address:  # 404
        assert read_metrics(address) == Metrics()


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
