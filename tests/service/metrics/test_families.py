"""service.metrics.families: names, labels and values; what is not to be had has no sample."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from service.metrics.families import make_counter, make_counter_by, make_gauge, make_gauge_by


def expose(*families: Metric) -> str:
    """The samples' lines."""

    class Reader:
        def collect(self) -> tuple[Metric, ...]:
            return families

    registry = CollectorRegistry()
    registry.register(Reader())  # type: ignore[arg-type]
    lines = generate_latest(registry).decode().splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def test_values_and_labels() -> None:
    assert expose(make_gauge("a_bytes", "text", 2.5)) == "a_bytes 2.5"
    assert expose(make_counter("a_things", "text", 3)) == "a_things_total 3.0"
    by = {"x": 1.0, "y": 0.0}
    assert expose(make_gauge_by("k", "a", "text", by)) == 'a{k="x"} 1.0\na{k="y"} 0.0'
    assert expose(make_counter_by("k", "a", "text", {"x": 7})) == 'a_total{k="x"} 7.0'


def test_zero_is_a_value_and_none_is_not() -> None:
    assert expose(make_gauge("a", "text", 0)) == "a 0.0"
    assert expose(make_counter("a", "text", 0)) == "a_total 0.0"
    assert expose(make_gauge("a", "text", None)) == ""
    assert expose(make_counter("a", "text", None)) == ""
    assert expose(make_gauge_by("k", "a", "text", {})) == ""
