"""Reads a service's own metrics: its CPU time, its memory, its histogram of request durations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from loadtests.clients.http_client import Address, ask, build_request
from loadtests.errors import ServerFault

DURATION = "bnn_request_duration_seconds"
CPU, RESIDENT = "process_cpu_seconds_total", "process_resident_memory_bytes"
_SECONDS = 30.0


@dataclass(frozen=True)
class Histogram:
    """Requests by duration, as Prometheus has it: the last bound is infinite."""

    bounds: Sequence[float]
    counts: Sequence[float]  # cumulative
    sum: float  # seconds

    @property
    def count(self) -> float:
        """All requests."""
        return self.counts[-1] if self.counts else 0.0

    def __sub__(self, earlier: "Histogram") -> "Histogram":
        """What came since then."""
        before = dict(zip(earlier.bounds, earlier.counts, strict=True))
        counts = [
            count - before.get(bound, 0.0)
            for bound, count in zip(self.bounds, self.counts, strict=True)
        ]
        return Histogram(self.bounds, counts, self.sum - earlier.sum)

    def find_bucket(self, share: float) -> tuple[float, float]:
        """Between which bounds, in seconds, the percentile lies."""
        wanted, low = share * self.count, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= wanted:
                return low, bound
            low = bound
        return low, math.inf


@dataclass(frozen=True)
class Scrape:
    """What /metrics said at one moment."""

    cpu_seconds: float
    resident_bytes: float
    classify: Histogram  # POST /classify with status 200


def read_scrape(text: str) -> Scrape:
    """Out of the text of /metrics. Raises ServerFault if a family is missing."""
    values: dict[str, float] = {}
    buckets: dict[float, float] = {}
    total = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in (CPU, RESIDENT):
                values[sample.name] = sample.value
            elif _is_classify(sample.labels):
                if sample.name == f"{DURATION}_bucket":
                    buckets[float(sample.labels["le"])] = sample.value
                elif sample.name == f"{DURATION}_sum":
                    total = sample.value
    if missing := [name for name in (CPU, RESIDENT) if name not in values]:
        raise ServerFault(f"expected {' and '.join(missing)} in /metrics, found none")
    bounds = sorted(buckets)
    histogram = Histogram(bounds, [buckets[bound] for bound in bounds], total)
    return Scrape(values[CPU], values[RESIDENT], histogram)


async def scrape(address: Address) -> Scrape:
    """GET /metrics. Raises ServerFault."""
    request = build_request("GET", "/metrics", headers={"Connection": "close"})
    answer = await ask(address, request, _SECONDS)
    if answer.status != 200:
        raise ServerFault(f"GET /metrics: expected 200, found {answer.status}")
    return read_scrape(answer.body.decode())


def _is_classify(labels: Mapping[str, str]) -> bool:
    return (labels.get("method"), labels.get("route"), labels.get("status")) == (
        *("POST", "/classify", "200"),
    )
