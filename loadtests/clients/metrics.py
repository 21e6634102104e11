"""Reads a service's own metrics: its CPU time, its memory, its histogram of request durations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from loadtests.clients.asking import ask

DURATION = "bnn_request_duration_seconds"
CPU, RESIDENT = "process_cpu_seconds_total", "process_resident_memory_bytes"


@dataclass(frozen=True)
class Histogram:
    """Requests by duration, as Prometheus has it: the last bound is infinite."""

    bounds: Sequence[float] = ()
    counts: Sequence[float] = ()  # cumulative
    sum: float = 0.0  # seconds

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
class Metrics:
    """What /metrics says at one moment; None for what a service does not report."""

    cpu_seconds: float | None = None
    resident_bytes: float | None = None
    durations: Histogram = field(default_factory=Histogram)  # of POST /classify with status 200


def read_metrics(address: str) -> Metrics:
    """GET /metrics of http://HOST:PORT. Raises ServerFault without an answer."""
    status, text = ask(address, "/metrics")
    return parse_metrics(text.decode(errors="replace")) if status == 200 else Metrics()


def parse_metrics(text: str) -> Metrics:
    """Parses the text of /metrics; all is None if Prometheus would not accept the text."""
    values: dict[str, float] = {}
    buckets: dict[float, float] = {}
    total = 0.0
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in (CPU, RESIDENT) and not sample.labels:
                    values[sample.name] = sample.value
                elif _is_classify(sample.labels):
                    if sample.name == f"{DURATION}_bucket":
                        buckets[float(sample.labels["le"])] = sample.value
                    elif sample.name == f"{DURATION}_sum":
                        total = sample.value
    except ValueError:
        return Metrics()
    bounds = sorted(buckets)
    durations = Histogram(bounds, [buckets[bound] for bound in bounds], total)
    return Metrics(values.get(CPU), values.get(RESIDENT), durations)


def _is_classify(labels: Mapping[str, str]) -> bool:
    return (labels.get("method"), labels.get("route"), labels.get("status")) == (
        *("POST", "/classify", "200"),
    )
