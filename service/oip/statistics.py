"""Counts and times of each model since the start, in the form of the statistics extension."""

from collections import defaultdict
from dataclasses import dataclass, field
from time import time
from typing import Any

from service.oip.models import Model
from service.work.inference import Classified

_STEPS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


@dataclass
class _Counts:
    last: int = 0  # milliseconds since 1970
    images: int = 0
    executions: int = 0
    steps: dict[str, list[float]] = field(  # requests, seconds
        default_factory=lambda: {step: [0, 0.0] for step in _STEPS}
    )

    def add(self, step: str, seconds: float) -> None:
        """One request more."""
        self.steps[step][0] += 1
        self.steps[step][1] += seconds


class Statistics:
    """The counts of each model. To be used on the event loop alone."""

    def __init__(self) -> None:
        self._by_model: defaultdict[tuple[str, str], _Counts] = defaultdict(_Counts)

    def count_success(
        self, model: Model, classified: list[Classified], output: float, total: float
    ) -> None:
        """Counts an answered request: its images, seconds of making the answer, seconds in all."""
        counts = self._by_model[model.name, model.version]
        counts.last = int(time() * 1000)
        counts.images += len(classified)
        counts.executions += len({image.infer_began for image in classified})
        counts.add("success", total)
        stages = [image.seconds for image in classified]
        counts.add("queue", max(stage["queue"] for stage in stages))
        counts.add("compute_input", sum(stage["decode"] + stage["preprocess"] for stage in stages))
        counts.add("compute_infer", sum(stage["infer"] for stage in stages))
        counts.add("compute_output", output)

    def count_failure(self, model: Model, total: float) -> None:
        """Counts a request that had an error instead of an answer, after so many seconds."""
        self._by_model[model.name, model.version].add("fail", total)

    def describe(self, models: list[Model]) -> dict[str, Any]:
        """The answer to GET /v2/models/stats and the like; times in nanoseconds."""
        return {"model_stats": [self._describe(model) for model in models]}

    def _describe(self, model: Model) -> dict[str, Any]:
        counts = self._by_model.get((model.name, model.version), _Counts())
        steps = {
            step: {"count": int(requests), "ns": int(seconds * 1e9)}
            for step, (requests, seconds) in counts.steps.items()
        }
        nothing = {name: {"count": 0, "ns": 0} for name in ("cache_hit", "cache_miss")}
        return {
            "name": model.name,
            "version": model.version,
            "last_inference": counts.last,
            "inference_count": counts.images,
            "execution_count": counts.executions,
            "inference_stats": {**steps, **nothing},
            "batch_stats": [],
        }
