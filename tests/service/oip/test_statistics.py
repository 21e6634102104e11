"""service.oip.statistics: what was asked of a model, summed up."""

import time
from typing import Any

import numpy as np

from service.classification.classifier import Prepared
from service.oip.statistics import Statistics
from service.work.inference import Classified
from tests.service.oip.bodies import make_model

IMAGE = Prepared(np.zeros((3, 1, 1), np.float32), "tensor", 1, 1, 0.0, 0.0, 0.0)


def classified(began: float, **seconds: float) -> Classified:
    """An image with times."""
    every = {"queue": 0.0, "decode": 0.0, "preprocess": 0.0, "infer": 0.0, **seconds}
    return Classified([], IMAGE, every, 1, began, np.zeros(3, np.float32))


def read(statistics: Statistics) -> dict[str, Any]:
    """Those of one model."""
    (only,) = statistics.describe([make_model()])["model_stats"]
    found: dict[str, Any] = only
    return found


def test_nothing_was_asked_yet() -> None:
    found = read(Statistics())
    assert (found["name"], found["version"]) == ("tiny", "1")
    assert (found["inference_count"], found["execution_count"], found["last_inference"]) == (0,) * 3
    assert all(step == {"count": 0, "ns": 0} for step in found["inference_stats"].values())


def test_requests_and_their_times() -> None:
    statistics = Statistics()
    together = [classified(1.0, queue=0.25, infer=0.5), classified(1.0, queue=0.125, infer=0.5)]
    before = int(time.time() * 1000)
    statistics.count_success(make_model(), together, output=0.5, total=2.0)
    other = classified(2.0, decode=0.25, preprocess=0.5)
    statistics.count_success(make_model(), [other], output=0.0, total=1.0)
    statistics.count_failure(make_model(), 0.75)
    found = read(statistics)
    assert (found["inference_count"], found["execution_count"]) == (3, 2)
    assert found["last_inference"] >= before
    assert {step: value["ns"] / 1e9 for step, value in found["inference_stats"].items()} == {
        **{"success": 3.0, "fail": 0.75, "queue": 0.25, "compute_input": 0.75},
        **{"compute_infer": 1.0, "compute_output": 0.5, "cache_hit": 0.0, "cache_miss": 0.0},
    }
    counts = {step: value["count"] for step, value in found["inference_stats"].items()}
    assert (counts["success"], counts["fail"], counts["queue"]) == (2, 1, 2)


def test_models_are_counted_apart() -> None:
    statistics = Statistics()
    statistics.count_failure(make_model(takes_files=True), 1.0)
    assert read(statistics)["inference_stats"]["fail"]["count"] == 0
