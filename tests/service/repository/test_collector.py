"""service.repository.collector: the metrics of the models."""

from prometheus_client import CollectorRegistry

from service.messages.problems import Problem
from service.repository.catalogue import Catalogue
from service.repository.collector import ModelCollector
from tests.service.conftest import make_served


def check_started() -> None:
    raise Problem("not_ready", "")


def test_models_that_are_served_and_those_that_are_not() -> None:
    catalogue, registry = Catalogue(check_started), CollectorRegistry()
    registry.register(ModelCollector(catalogue))
    assert registry.get_sample_value("bnn_models", {"state": "served"}) == 0
    for name in ("tiny", "birds"):
        catalogue.put(make_served(name), is_default=name == "tiny")
    catalogue.faults["cats"] = "why"
    assert registry.get_sample_value("bnn_models", {"state": "served"}) == 2
    assert registry.get_sample_value("bnn_models", {"state": "failed"}) == 1
    model_id = catalogue.default.classifier.model_id
    for name, is_default in (("tiny", "true"), ("birds", "false")):
        labels = {"model": name, "id": model_id, "is_default": is_default}
        labels["engine"] = "native/generic"
        assert registry.get_sample_value("bnn_served_model", labels) == 1
