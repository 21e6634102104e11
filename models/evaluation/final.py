"""The figures at the end of a training: accuracy, calibration, and what is confused with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.data.decoded import LabelledImages
from models.evaluation.metrics import (
    calibration_error,
    fit_temperature,
    measure,
    predict_logits,
    watch_activations,
    write_confusion,
)
from models.records.figures import Accuracy, FinalAccuracy, Temperature
from runtime.images import Preprocessing


@dataclass(frozen=True)
class FinalFigures:
    """None where there are no such images.

    test: of the test split, else of the validation split; calibration: the temperature, fitted on
    validation; validation: accuracy there.
    """

    test: FinalAccuracy | None
    calibration: Temperature | None
    validation: Accuracy | None


def measure_final(
    network: nn.Module,
    test: LabelledImages | None,
    validation: LabelledImages | None,
    preprocessing: Preprocessing,
    labels: Sequence[str],
    table: Path,
    progress: bool = False,
) -> FinalFigures:
    """Measures a trained network, and writes the confusion table, a .csv file."""
    images, split = (validation, "validation") if test is None else (test, "test")
    if images is None:
        return FinalFigures(None, None, None)

    def predict(some: LabelledImages) -> Tensor:
        with torch.no_grad():
            return predict_logits(network.eval(), some, preprocessing, progress=progress)

    with watch_activations(network) as positive_share:
        logits = predict(images)
    write_confusion(table, logits, images.labels, labels)
    temperature, on_validation, after = None, None, None
    if validation is not None:
        known = logits if images is validation else predict(validation)
        temperature = Temperature(fit_temperature(known, validation.labels), len(validation))
        on_validation = measure(known, validation.labels)
        after = calibration_error(logits, images.labels, temperature.temperature)
    accuracy = FinalAccuracy(
        split=split,
        **asdict(measure(logits, images.labels)),
        positive_share=positive_share(),
        calibration_error=calibration_error(logits, images.labels),
        calibration_error_with_temperature=after,
    )
    return FinalFigures(accuracy, temperature, on_validation)
