"""The figures at the end of a training: accuracy, calibration, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from runtime.images import Preprocessing


def measure_outcome(
    network: nn.Module,
    test: LabelledImages | None,
    validation: LabelledImages | None,
    preprocessing: Preprocessing,
    labels: Sequence[str],
    table: Path,
    progress: bool = False,
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, Any] | None]:
    """(accuracy on the test part, else on the validation part; temperature fitted on validation;
    figures of validation as models.evaluation.metrics.measure has them).

    None where there are no such pictures. Writes the confusion table, a .csv file.
    """
    images, name = (validation, "validation") if test is None else (test, "test")
    if images is None:
        return None, None, None

    def predict(some: LabelledImages) -> Tensor:
        with torch.no_grad():
            return predict_logits(network.eval(), some, preprocessing, progress=progress)

    with watch_activations(network) as positive_share:
        logits = predict(images)
    accuracy = {"split": name, **measure(logits, images.labels)}
    accuracy["positive_share"] = positive_share()
    accuracy["calibration_error"] = calibration_error(logits, images.labels)
    write_confusion(table, logits, images.labels, labels)
    if validation is None:
        return accuracy, None, None
    known = logits if images is validation else predict(validation)
    temperature = fit_temperature(known, validation.labels)
    after = calibration_error(logits, images.labels, temperature)
    accuracy["calibration_error_with_temperature"] = after
    calibration = {"temperature": temperature, "images": len(validation)}
    return accuracy, calibration, measure(known, validation.labels)
