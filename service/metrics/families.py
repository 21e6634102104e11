"""Makes metric families of numbers that were just read; None is a number that is unknown."""

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def make_gauge(name: str, text: str, value: float | None) -> Metric:
    """A gauge; without a sample if the value is None."""
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def make_gauge_by(label: str, name: str, text: str, values: Mapping[str, float]) -> Metric:
    """A gauge with one sample for each value of its label."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def make_counter(name: str, text: str, value: float | None) -> Metric:
    """A counter, named without _total; without a sample if the value is None."""
    family = CounterMetricFamily(name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def make_counter_by(label: str, name: str, text: str, values: Mapping[str, float]) -> Metric:
    """A counter, named without _total, with one sample for each value of its label."""
    family = CounterMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
