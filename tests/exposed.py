"""The names of the metrics that the service exposes, for tests of what asks for them."""

from functools import cache

from prometheus_client.core import Metric

from service.app import create_app
from service.metrics.metrics import Metrics
from service.settings.settings import Settings
from service.work.live_metrics import ConnectionCollector

_ENDS = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}


def list_families() -> set[str]:
    """Without the ends that samples have."""
    return {family.name for family in _collect()}


def list_samples() -> set[str]:
    """As Prometheus stores them."""
    return {family.name + end for family in _collect() for end in _ENDS.get(family.type, ("",))}


@cache
def _collect() -> list[Metric]:
    metrics: Metrics = create_app(Settings()).state.metrics
    metrics.watch(ConnectionCollector(lambda: [], 1))
    return list(metrics.registry.collect())
