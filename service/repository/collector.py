"""The metrics of the models: which are served, which are not."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.messages.problems import Problem
from service.metrics.families import make_gauge_by
from service.repository.catalogue import Catalogue


class ModelCollector(Collector):
    """Reads a catalogue when metrics are requested, in a thread beside the event loop."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def collect(self) -> Iterable[Metric]:
        """The families."""
        catalogue = self._catalogue
        yield make_gauge_by(
            "state",
            "bnn_models",
            "Models that are served, and names whose newest bundle cannot be.",
            {"served": catalogue.served, "failed": len(catalogue.faults)},
        )
        served = GaugeMetricFamily(
            "bnn_served_model",
            "1 for each model that is served.",
            labels=("model", "id", "engine", "is_default"),
        )
        try:
            models = catalogue.list()
        except Problem:  # nothing is loaded yet, or any more
            models = []
        for index, model in enumerate(models):
            classifier = model.classifier
            labels = (model.name, classifier.model_id, classifier.engine_name)
            served.add_metric((*labels, str(index == 0).lower()), 1)
        yield served
