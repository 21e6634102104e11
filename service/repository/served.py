"""A served model: its name, its classifier and the findings of its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime import Engine, SelfTest
from service.classification.classifier import Classifier
from service.classification.predictor import Predictor


@dataclass(frozen=True, eq=False)  # each is itself: a newer one of the same name is another
class ServedModel:
    """One model, warm and tested. A request keeps its model until its end."""

    name: str  # by which it is asked for
    classifier: Classifier
    self_test: SelfTest
    predictor: Predictor  # of the time that its images take
    unit: int = 1  # images to compute together
    folder: Path | None = None  # of its bundle; None: it was made in this process
    stamp: bytes = b""  # digest of the folder's manifest
    kept_bytes: int = 0  # memory that it takes as long as it is served, by plan
    load_seconds: float = 0.0
    warm_up_seconds: float = 0.0

    @property
    def engine(self) -> Engine:
        """What computes."""
        return self.classifier.engine

    @property
    def input_pixels(self) -> int:
        """Pixels of the network's input."""
        _, height, width = self.classifier.manifest.input
        return height * width
